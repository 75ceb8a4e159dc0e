"""Log-based metrics, a dashboard and alert policies as files, applied to a Google Cloud project and previewed without one.

- `apply`: creates or updates a project's log-based metrics, dashboard and alert policies from the files.
- `checks`: finds the faults that Google's own schemas do not see: in the files and their queries, against the log, the runbook and the grid.
- `differences`: compares what the files say with what a project holds, and says what has to be done. Pure.
- `files`: reads the files strictly: values put in, and every key known to Google's own messages.
- `log_filter`: reads and evaluates the part of Cloud Logging's query language that this project's filters use.
- `preview`: draws the dashboard from the log of a local run: what an operator will see, before there is a project.
- `query`: reads what a chart, a figure or an alert asks for: a Cloud Monitoring filter, or PromQL.
- `services`: lists, creates and updates metrics, dashboards and alert policies in the three services that hold them.
- `vocabulary`: everything that the files may name: the log's events and fields, metrics, and the labels of both.
"""

"""Log-based metrics, a dashboard and alert policies as files, applied to a Google Cloud project and previewed without one.

`apply` is the command, `files` reads the files, `checks` and `query_checks` find faults in them, `vocabulary` knows what they may name, and
`log_filter` and `query` read their query languages. `differences` compares them with a project, which `services` reads and changes.
"""

"""Log-based metrics, a dashboard and alert policies as files, applied to a Google Cloud project and previewed without one.

`apply` is the command. `files` reads the files, `log_filter` and `query` read their query languages, and `vocabulary` knows what they may name.
`checks` and `query_checks` find faults. `differences` compares the files with a project, which `services` reads and changes.
"""

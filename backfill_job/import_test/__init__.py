"""The import test: it does what the nightly DAG does with a day, on both paths, and compares the results.

- `loaded`: the path against the consumer's own table, day by day: verdicts, report, and the query of both engines. Pure.
- `table_duckdb`: that table in a DuckDB file
- `table_bigquery`: that table in BigQuery
- `night`: a whole run on both paths: presence, upstream, load, append; and which past nights were lost
- `results`: the results of a run, as a report and on a screen. Pure.
- `day`: which days; one day's presence, load and comparison, repeated while the folders change.
- `compare`: what was loaded from each path, the fingerprint of its rows, and the verdict over a day. Pure.
- `engines`: which engine loads the rows. Each is imported only when it is wanted, because both are optional.
- `duckdb`: the engine in this process, which judges each line by `backfill_job.contents.rows`.
- `bigquery`: the engine that is BigQuery, and the meaning of its errors.
"""

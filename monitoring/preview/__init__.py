"""Draws the dashboard from the log of a local run: what an operator will see, before there is a project.

- `__main__`: draws the dashboard from the log lines of a local run, before there is a project.
- `entries`: reads log files into entries, as Cloud Logging would hold them, with the resource that each would have been written on.
- `queries`: counts what the log-based metrics would count, and computes the dashboard's queries over these points. Pure.
- `tiles`: fills the dashboard's tiles from a log, drawings included. Pure.
"""

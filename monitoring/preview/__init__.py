"""Draws the dashboard from the log of a local run: what an operator will see, before there is a project.

- `__main__`: draws the dashboard from the log lines of a local run, before there is a project.
- `drawing`: places a chart's lines and stacked bars in a drawing 100 units wide and high; the axis ends at a round number. Pure.
- `entries`: reads log files into entries, as Cloud Logging would hold them, with the resource that each would have been written on.
- `points`: counts what the log-based metrics would count in a log: points, as Cloud Logging would make them. Pure.
- `queries`: computes the dashboard's queries over points: a chart's lines at each step, and a figure's value. Pure.
- `tiles`: fills the dashboard's tiles from a log. Pure.
"""

"""Draws the dashboard from the log of a local run: what an operator will see, before there is a project."""

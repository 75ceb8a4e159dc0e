"""The dashboard drawn from the JSON lines of a local run: what an operator will see, before there is a project."""

"""The import test: what the nightly DAG does with a day, done on both paths, and the results compared."""

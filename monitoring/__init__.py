"""What is watched in a Google Cloud project, as files: log-based metrics, a dashboard, alert policies; applied and previewed."""

"""The deployment: what a project must contain, as steps that can be printed or run. It needs only Python and gcloud."""

"""The deployment: what has to be in a project, as steps that can be printed or performed. Needs nothing but Python and gcloud."""

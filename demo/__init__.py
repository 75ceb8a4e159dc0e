"""The whole migration on one machine: a local Cloud Storage, years of exports in it, and the operator's commands."""

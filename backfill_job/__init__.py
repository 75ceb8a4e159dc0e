"""The Cloud Run job and the operator's commands: they bring listings to the replication rule in ``shared``."""

"""The mirror: a CloudEvent function that brings every finalized object to the replication rule in ``shared``."""

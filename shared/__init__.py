"""What the backfill and the mirror have in common: the migration asked for, the replication rule, and its gateway.

Nothing here knows of its callers; ``docs/architecture.md`` shows the arrows.
"""

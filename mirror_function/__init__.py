"""The mirror: a CloudEvent function that brings every finalized object to the replication rule in ``shared``.

- `handler`: the entry: takes a CloudEvent in an event loop, writes one structured line, answers an error status for a retry
- `event`: reads an object event from a CloudEvent
- `mirror`: what one event leads to, without HTTP or a clock
- `settings`: the environment variables, read once
- `status`: the status page's entry: a function of its own

The root's ``main.py`` re-exports both entries, because the function's buildpack needs them there.
"""

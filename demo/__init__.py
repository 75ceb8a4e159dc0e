"""The whole migration on one machine: a local Cloud Storage, years of exports in it, and the operator's commands.

- `__main__`: the whole migration on one machine, without any cloud account: ``make demo``.
- `data`: invented exports and an invented audit log of the legacy bucket; the tests use them, too.
- `function`: the mirror function as a process of its own, served by the functions framework as the cloud serves it.
- `stage`: the demo's screen, its local Cloud Storage, the operator's commands as processes, the consumer's nightly job.
- `story`: the chapters of the demo, in the order of the runbook: from a full legacy path to an empty one, and one day back.
- `writer`: uploads the history at once, and then submissions live at a rate that the mirrors carry.
"""

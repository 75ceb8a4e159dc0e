"""Deletes what was proven equal, generation by generation, from a manifest that was written before.

::

    survey, checks ─▶ confirmation ─▶ manifest, written and read back ─▶ phase ─▶ delete ─▶ records, counts

- `flow`: what follows what, what stops it, and the confirmation. The command has the arguments, `flow` the order of the steps.
- `prepare`: the survey and the checks together, and the manifest made of them.
- `survey`: the verification in this very run, which writes down every name that it finds equal.
- `manifest`: the manifest's format, read back strictly. Pure.
- `manifest_store`: its two files in both places: written, proven, found again and read.
- `phases`: the state's part: which manifest was begun, who wants it, and the end.
- `delete`: this task's chunks, at most 100 lines at a time, under conditions. It alone deletes what a manifest names.
- `records`: what became of each chunk: resumption, and the sum of all tasks.
- `run`: one process's part from the first chunk to the last line on the screen.
- `screen`: what would go, and which checks block. Pure.
- `traces`: every place where a name still exists, for the command ``erasure``.
- `erasing`: what that command records and deletes, on both paths.
"""

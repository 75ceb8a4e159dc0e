"""The scanner of consumer code: who still reads the legacy path, and who mixes the two.

Each module uses only those below it; a contract in ``pyproject.toml`` keeps that order.

- `screen`: the report as a person reads it
- `patch`: which findings can be changed together, the rehearsal of the change, and the diff
- `constants`: the new bucket by a constant, one that is there or one that is proposed
- `edits`: the smallest edits of one finding, and what else reads the edited text
- `scan`: which files there are and which can hold a name; what the gate and the deletion call
- `python`: which Python files matter, and that every place in them is covered
- `walk`: every expression of a Python file that comes to a prefix, judged where it is used
- `other_files`: every other file: lines, braces, blocks of YAML, variables, comments
- `pieces`: texts that other languages join with operators, by functions, or side by side
- `evaluate`: expressions, calls and things with parts, evaluated without running anything
- `mentions`: where a text names a prefix, and which bucket belongs to it
- `modules`: Python files as scopes of names; what imports mean
- `sites`: which places read a path: file, function, operation
- `findings`: what a scan finds, and what of it blocks
- `strings`: Python's strings: where their characters are written, what their methods do
- `targets`: what is looked for; a new class of findings (`FindingKind`) begins here
- `texts`: texts with holes that know where they are written, and files with their encodings
"""

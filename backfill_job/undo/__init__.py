"""Brings back what a deletion took, from its manifest.

- `options`: what is there now, and what can be done about each line.
- `restore`: chunk after chunk, one conditional request for each object, and a last look.
- `rehearsal`: the same with one object in a scratch prefix, before anything is deleted. It is a module of its own because it deletes.
- `screen`: what an operator reads. Pure, so that tests read it without storage.
"""

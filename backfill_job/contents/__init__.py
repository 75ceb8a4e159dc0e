"""What the exports contain, judged as a BigQuery load judges it: `rows` has the rules, `check` reads the objects.

- `rows`: the consumer's schema and the rules of a load, as one table. Pure.
- `lines`: an object's lines, judged in bounded memory. Pure.
- `reader`: one object read as it is stored, unpacked, and compared with its listed checksum.
- `check`: the contents of the objects on both sides, on which side a problem arose, and what was found in all.
"""

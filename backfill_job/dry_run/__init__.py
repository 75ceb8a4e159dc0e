"""The dry run: shows what an execution would do, and what it would take.

- `analyse`: lists and compares both sides, and plans each name
- `estimate`: operations, money and time; pure arithmetic, with what Google Cloud charges, its date and source
- `inventory`: what both sides hold and what is planned, in figures
- `plan`: what an execution would do with one name
- `quiet_hour`: the quietest hours of the week for the copy
- `screen`: shows the dry run on a screen
"""

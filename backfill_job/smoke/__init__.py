"""What the command ``smoke`` asks: of an account, of the logs, and, with ``--wire``, of Cloud Storage through both clients.

The wire's expected answers are those of `local_gcs`, on which everything here is tested. So an answer that differs is either a
defect there or something that Google does not promise. ``wire.json`` has every answer, so that it can become a fixture.

- `clients`: the two clients, asked for the same things; their answers; the account of another part
- `held`: which permissions an account holds, and which its part needs
- `observe`: what is seen of a canary in logs and metrics
- `probes`: the wire's objects, and what is asked of them
- `trial`: the table of what the code relies on; asks the wire's questions, judges the answers, and removes what it wrote
"""

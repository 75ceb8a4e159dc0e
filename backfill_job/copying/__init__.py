"""The copying: compares both prefixes, copies what differs, and proves the copies.

- `by_bytes`: compares by their bytes the pairs whose checksums prove nothing
- `catch_up`: brings one path up to date from the other, where the later write wins
- `compare`: compares both sides name by name, with a second look at each difference
- `counts`: objects by their outcome; every listed object is accounted for once
- `diff`: two sorted listings side by side, as lines of a diff
- `execution`: one execution: copies what differs, then verifies it
- `governor`: limits the rate of writes as Cloud Storage asks
- `lane`: copies many objects at once, one request for each
- `on_record`: comparisons on record: begun, and what they found
- `options`: how a run copies, and the arguments for it
- `progress`: shows the progress on a terminal and in the log
- `result`: how an execution ended
- `unwritten`: proof that no program wrote between two moments, for a cutover without a mirror
"""

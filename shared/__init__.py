"""What the backfill and the mirror share: the migration, the replication rule, and the gateway to Cloud Storage.

Nothing here imports its callers; ``docs/architecture.md`` shows the arrows. The rule reads from top to bottom:

- `migration`: two locations, the mapping of names, the excluded names; the QPI preset
- `objects`: one version of one object, and in what two versions differ
- `decision`: the rule as a pure table: what to do, under which conditions
- `erasures`: what counts as erased, by a comparison or by name
- `authority`: which side wins at this moment
- `store`: what the rule and the record need from Cloud Storage, and what is atomic
- `replicate`: one object by the rule; a deletion at the source, followed
- `storage_class`: the storage class of a copy
- `first_rewrite`: one object with one request, in the event loop; `replicate` goes on where that does not settle it
- `gateway`: keeps the promises of `store`; the only module that imports ``google.cloud.storage``
- `gcs`: the fast client, for work on millions of objects
- `answers`: maps HTTP error responses to our exceptions, for both clients
- `operations`: counts requests by the class in which they are billed
- `address`: the address of a Cloud Storage, for both clients
- `server_time`: Cloud Storage's own time, from the ``Date`` header of its answers

The migration's own objects:

- `phase`: where the migration stands; all that the mirror reads of the state
- `state`: the state: phase, sign-offs, runs, history; and its form
- `state_v1`: the form of version 1, which is read only
- `state_changes`: the changes of the state, as pure functions
- `green_days`: the days after the cutover, green or not, in a row
- `record`: the record of the state in the new bucket: read, change, begin, mend
- `late_marks`: the mirror's notes of writes at the legacy path after the cutover
- `loaded`: the path against the consumer's table, and its file
- `verification`: the result of a comparison of both paths, and its file

What every command uses:

- `partitions`: the day and the kind of an object, by its name
- `events_log`: the vocabulary of the structured log, and its two forms
- `report`: the report page and the status page
- `command_line`: wrong arguments and errors in one line
- `env_file`: ``deploy/ENV.env``, read strictly
- `json_io`: JSON, read strictly
- `text`: figures and names for people
- `errors`: everything that can go wrong, as a small tree
"""

"""The Cloud Run job and the operator's commands: from the dry run over the cutover to the deletion, and back.

- `__main__`: runs a command: ``python -m backfill_job COMMAND``
- `access`: whether an account's policies let it write or read a path
- `bucket_settings`: what a bucket's settings mean for the migration
- `check`: one check
- `checks`: the table of checks, and the checks that several commands share
- `commands`: the operator's commands, one module each
- `consumer`: what reads the path each night, as a file describes it
- `contents`: what a load takes, and the check of the objects' contents
- `copying`: compares both prefixes, copies what differs, and proves the copies
- `delete_old_qpi_exports`: the command that deletes the legacy path
- `deletion`: the deletion, by manifest
- `dry_run`: what an execution would do and take
- `gate`: GO or NO-GO for the cutover
- `import_test`: the nightly import, tried on both paths
- `migrate_qpi_exports`: the command that copies and verifies
- `readers`: who still uses the legacy path, by the audit log
- `references`: places in the consumers' code that read the legacy path
- `rights`: which part needs which permission, and where
- `run`: what every command shares
- `smoke`: what the command ``smoke`` asks of accounts, logs and Cloud Storage
- `undo`: the undo of a deletion
- `verify`: the parts of a verification
"""

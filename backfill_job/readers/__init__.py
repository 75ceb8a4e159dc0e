"""Who still reads or writes the legacy path, by Cloud Audit Logs.

- `accounts`: the table of principals, and the time for which an empty answer counts
- `cloud_logging`: reads the entries from Cloud Logging
- `entries`: what one entry of the log says, and the entries of a file
- `screen`: the table and what the log cannot say, for people
"""

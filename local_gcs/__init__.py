"""A strict local Cloud Storage: a test double for the demo, the tests and the benchmark, never a place to keep data.

It holds everything in the memory of one process and serves the part of the JSON API that ``google-cloud-storage``,
``gcloud storage`` and ``rclone`` need.

Faithful, because the replication rule rests on it:

- generation and metageneration conditions on every write, rewrite, compose, move, restore and delete, each operation
  atomic; 412, 404, 403 and 304 as Google answers them;
- generations that are unique but, unless asked otherwise, not ordered;
- rewrite with and without a body, in one call or in several with a token; soft delete and restore; versioning;
  holds and bucket retention; batch; resumable uploads; listings by UTF-8 order whose pages survive changes;
- object events at least once, unordered, with backoff and dead letters.

Not faithful: there is no authentication or permission check, no storage cost, no lifecycle, no quota unless a fault rule
plays one; access control lists are accepted and forgotten; object-level retention, customer-supplied keys,
hierarchical namespaces, managed folders and the XML API are absent; gzip content is always served as stored.
"""

from local_gcs.process import LocalServer, running

__all__ = ["LocalServer", "running"]

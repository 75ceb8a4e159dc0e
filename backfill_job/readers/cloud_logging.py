"""Reads the audit log's entries of the legacy bucket from Cloud Logging, page by page (``entries.list``).

Only ``readers`` uses it. It is apart from `entries` because it asks over the network, and `entries` is pure.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from backfill_job.run.clock import Clock
from backfill_job.run.google_apis import Apis, Unanswered
from shared.objects import time_text

__all__ = ["SCOPE", "items_from", "log_filter"]

SCOPE = "logging.read"

PAGE = 1_000
"""Entries of a page; the service takes no more."""

BUSY = frozenset({429, 500, 502, 503, 504})
PAUSES = (2.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds before another try. The service takes 60 such requests a minute of a project (Cloud Logging, "Quotas and limits")."""


def log_filter(bucket: str, since: datetime, own: Collection[str] = ()) -> str:
    """Which entries say something about who uses a bucket, in the query language of Cloud Logging.

    Args:
        own: Accounts of which only listings matter: a copy of a million objects leaves a million entries of reads.
    """
    lines = [
        'log_id("cloudaudit.googleapis.com/data_access")',
        'resource.type="gcs_bucket"',
        f'resource.labels.bucket_name="{bucket}"',
        f'timestamp>="{time_text(since)}"',
    ]
    if own:
        names = " OR ".join(f'"{name}"' for name in own)
        lines.append(
            f'(protoPayload.methodName="storage.objects.list" OR NOT protoPayload.authenticationInfo.principalEmail=({names}))'
        )
    return "\n".join(lines)


def items_from(apis: Apis, project: str, wanted: str, clock: Clock) -> Iterator[Any]:
    """The entries that a filter finds, the oldest first.

    Raises:
        Unanswered: The service refused, or did not answer for long. Entries that were given are not all.
    """
    asked = {
        "resourceNames": [f"projects/{project}"],
        "filter": wanted,
        "orderBy": "timestamp asc",
        "pageSize": PAGE,
    }
    while True:
        page = _page(apis, asked, clock)
        yield from page.get("entries") or ()
        token = page.get("nextPageToken")
        if not token:
            return
        if token == asked.get("pageToken"):
            raise Unanswered("logging.googleapis.com gives the same page again")
        asked["pageToken"] = token


def _page(apis: Apis, asked: dict[str, object], clock: Clock) -> dict[str, Any]:
    for pause in PAUSES:
        try:
            return apis.answer("logging", "POST", "/v2/entries:list", json=asked)
        except Unanswered as error:
            if error.status not in BUSY:
                raise
        clock.sleep(pause)
    return apis.answer("logging", "POST", "/v2/entries:list", json=asked)

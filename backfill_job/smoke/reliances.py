"""The table of ``smoke --wire``: what the code relies on, where it does so, and the answer that it expects. Pure.

An answer is the statuses of the requests, each once, and what the client made of them. A client is asked only for what the code
asks of it; so a row may have the answers of one client, or of both.
"""

from enum import Enum
from typing import NamedTuple

__all__ = ["RELIANCES", "Group", "Reliance"]


class Group(Enum):
    """What the rows are about; each is one line of the screen."""

    NAMES = "names and listings"
    METADATA = "metadata and checksums"
    REWRITE = "rewrites"
    ORDER = "patch and restore (later writes and erasures rest on it)"
    BATCH = "batch delete"
    SOFT_DELETE = "soft delete"
    UPLOAD = "uploads"
    READ = "reads"
    TOKEN = "tokens"  # noqa: S105 -- not a password


class Reliance(NamedTuple):
    """One row.

    Attributes:
        key: The probe, and its rows in ``wire.json``.
        relies: What the code relies on.
        where: The modules that rely on it.
        answer: The expected answer.
    """

    key: str
    group: Group
    relies: str
    where: str
    answer: str


_COPIES = "shared/replicate.py, backfill_job/copying/lane.py"
_LISTINGS = "shared/gcs/listing.py, shared/gateway.py"
_LATER = "shared/objects.py, shared/authority.py"
_UNDO = "backfill_job/undo"

RELIANCES = tuple(
    Reliance(*row)
    for row in (
        ("every-name", Group.NAMES, "every name comes back, over pages, in the order of its UTF-8 bytes",
         _LISTINGS, "200 all, in order, over several pages"),
        ("bounds", Group.NAMES, "a listing begins with startOffset and ends before endOffset",
         "backfill_job/run/key_ranges.py", "200 from the start on, before the end"),
        ("look-each", Group.NAMES, "an object looked at alone is as its listing shows it",
         "backfill_job/copying/lane.py", "200 each as listed"),
        ("absent", Group.NAMES, "the 404 of an absent object says 'No such object'",
         "shared/answers.py", "404 absent"),
        ("no-bucket", Group.NAMES, "the 404 of an absent bucket says something else",
         "shared/answers.py", "404 BucketNotFound"),
        ("gzip", Group.METADATA, "an object labelled gzip has size and checksums as stored",
         "shared/objects.py", "200 as written"),
        ("described", Group.METADATA, "custom time and all metadata come back as they were written",
         "shared/objects.py", "200 as written"),
        ("contexts", Group.METADATA, "object contexts come back as they were written",
         "shared/objects.py", "200 as written"),
        ("empty", Group.METADATA, "an empty object has a crc32c and an md5",
         "shared/objects.py", "200 as written"),
        ("composite", Group.METADATA, "a composite object has a crc32c and no md5",
         "shared/objects.py: proves", "200 crc32c, no md5"),
        ("large", Group.METADATA, "over 64 MiB, composed of one object 17 times",
         "shared/objects.py: proves", "200 crc32c, no md5"),
        ("fields", Group.METADATA, "the object resource has no field that the code does not know",
         "shared/objects.py: OBJECT_FIELDS", "none unknown"),
        ("rewrite-new", Group.REWRITE, "a rewrite onto an absent name (ifGenerationMatch=0) carries everything over",
         _COPIES, "200 the same"),
        ("rewrite-contexts", Group.REWRITE, "a rewrite carries object contexts over",
         _COPIES, "200 the same"),
        ("rewrite-large", Group.REWRITE, "a rewrite of over 64 MiB ends, by tokens or at once",
         _COPIES, "200 the same"),
        ("rewrite-there", Group.REWRITE, "ifGenerationMatch=0 is refused where an object is",
         _COPIES, "412 ConditionFailed"),
        ("rewrite-destination", Group.REWRITE, "another generation at the destination is refused",
         _COPIES, "412 ConditionFailed"),
        ("rewrite-source", Group.REWRITE, "another generation at the source is refused",
         _COPIES, "412 ConditionFailed"),
        ("rewrite-over", Group.REWRITE, "with both generations right, a rewrite replaces the object",
         _COPIES, "200 the same, another generation"),
        ("rewrite-absent", Group.REWRITE, "an absent source is a 404 that says so",
         _COPIES, "404 ObjectNotFound"),
        ("rewrite-times", Group.REWRITE, "a copy is not older than its source; updated is its creation",
         "shared/objects.py: proves", "created not before its source, updated then, metageneration 1"),
        ("patch", Group.ORDER, "a change of metadata moves updated and metageneration, and nothing else",
         _LATER, "200 updated later; created, generation as before; metageneration 2"),
        ("patch-stale", Group.ORDER, "a patch with an old metageneration is refused",
         _LATER, "412 ConditionFailed"),
        ("patch-order", Group.ORDER, "who changes metadata after a copy is the later writer",
         _LATER, "the patched one is later"),
        ("restore", Group.ORDER, "a restored object has another generation, its contents, and is created then",
         _UNDO, "200 the same, another generation, created after the deletion"),
        ("batch", Group.BATCH, "each deletion of a batch has its own condition and its own answer",
         "backfill_job/deletion/delete.py, shared/gcs/api.py", "200 204 204 412 204 404"),
        ("batch-effect", Group.BATCH, "the live version of a stale deletion stays, the good ones go",
         "backfill_job/deletion/delete.py", "200 only the stale one is left"),
        ("soft-deleted", Group.SOFT_DELETE, "a deleted generation is listed, with the time until which it is held",
         _UNDO, "200 the generation, held until a time"),
        ("soft-overwritten", Group.SOFT_DELETE, "so is an overwritten one",
         "backfill_job/copying/execution.py", "200 the generation, held until a time"),
        ("ended", Group.SOFT_DELETE, "its timeDeleted is not before its creation",
         "backfill_job/copying/execution.py", "200 ended after its creation"),
        ("restore-live", Group.SOFT_DELETE, "a restore onto a live object is refused (ifGenerationMatch=0)",
         _UNDO, "412 ConditionFailed"),
        ("restore-unknown", Group.SOFT_DELETE, "a restore of an unknown generation is a 404",
         _UNDO, "404 ObjectNotFound"),
        ("resumable", Group.UPLOAD, "an upload in pieces with ifGenerationMatch=0 makes the object",
         "backfill_job/deletion/manifest_store.py", "200 308 200 whole"),
        ("resumable-there", Group.UPLOAD, "and is refused where one is",
         "backfill_job/deletion/manifest_store.py", "412 ConditionFailed"),
        ("insert-there", Group.UPLOAD, "a small upload with ifGenerationMatch=0 is refused where an object is",
         "shared/record.py, shared/state_changes.py", "412 ConditionFailed"),
        ("range", Group.READ, "a range of a generation is that range",
         "backfill_job/copying/by_bytes.py", "206 the bytes"),
        ("range-gzip", Group.READ, "a range of an object labelled gzip is of the stored bytes",
         "backfill_job/copying/by_bytes.py", "206 the bytes"),
        ("whole-gzip", Group.READ, "an object labelled gzip can be read as it is stored",
         "backfill_job/contents/reader.py", "200 the bytes"),
        ("range-gone", Group.READ, "a generation that was overwritten cannot be read",
         "backfill_job/copying/by_bytes.py", "404 ObjectNotFound"),
        ("token-renewed", Group.TOKEN, "a token that is refused (401) is renewed, and the request sent again",
         "shared/gcs/credentials.py", "401 200 there"),
        ("token-refused", Group.TOKEN, "a token that stays refused is a missing permission, and not an absence",
         "shared/answers.py", "401 PermissionDenied"),
    )
)  # fmt: skip

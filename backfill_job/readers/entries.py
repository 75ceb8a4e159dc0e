"""What one entry of the audit log says about the legacy path, and the entries of an exported file. Pure, but for the file.

The form is Cloud Logging's ``LogEntry`` with an ``AuditLog`` in ``protoPayload`` (Cloud Storage documentation, "Cloud Audit Logs
with Cloud Storage"). Fields that nothing here uses may be of any form.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, TextIO

import msgspec
from msgspec import Meta

from shared.errors import UsageError
from shared.migration import Migration
from shared.state import PrincipalUse
from shared.state_changes import MAX_PRINCIPAL
from shared.text import shown

__all__ = ["NOT_NAMED", "SeenRequest", "UnreadableEntry", "decoded", "items_of", "seen_in"]

NOT_NAMED = "(not named by the log)"
"""The principal where the log leaves it out: for privacy it does so for some refused requests and foreign organisations."""

REFUSED = frozenset({7, 16})
"""The codes ``PERMISSION_DENIED`` and ``UNAUTHENTICATED`` of ``google.rpc.Code``."""

PROOFS = frozenset({"storage.objects.get", "storage.objects.list"})
"""The methods whose entries exist only while DATA_READ is on."""

LONGEST = 4 * 1024 * 1024
"""Characters of one entry at most; Cloud Logging takes 256 KiB."""

CHUNK = 256 * 1024

KEPT = 300
"""Characters that are kept of a text that only people read."""

_RESOURCE = re.compile(r"projects/[^/]+/buckets/([^/]+)(?:/([^/]+)/(.*))?", re.DOTALL)
"""A bucket, and what of it: its kind and its name."""

_FOLDERS = frozenset({"managedFolders", "folders"})
"""The kinds whose names are prefixes of objects' names."""

_KIND = re.compile("^(?:serviceAccount|user|group):")
_DIGEST = 16


class UnreadableEntry(ValueError):
    """A line that is not JSON, or an entry of the legacy bucket without what it must have. It may hide a reader."""


class _EntryPart(msgspec.Struct, frozen=True, rename="camel"):
    """A part of an entry; fields that it does not name are left out."""


class _Party(_EntryPart, frozen=True):
    principal_email: str = ""


class _Delegate(_EntryPart, frozen=True):
    principal_subject: str = ""
    first_party_principal: _Party = _Party()


class _History(_EntryPart, frozen=True):
    original_principal: str = ""


class _Authentication(_EntryPart, frozen=True):
    principal_email: str = ""
    principal_subject: str = ""
    service_account_delegation_info: tuple[_Delegate, ...] = ()
    service_delegation_history: _History = _History()


class _Request(_EntryPart, frozen=True):
    caller_supplied_user_agent: str = ""


class _Status(_EntryPart, frozen=True):
    code: int = 0


class _AuditLog(_EntryPart, frozen=True):
    method_name: str = ""
    resource_name: str = ""
    authentication_info: _Authentication = _Authentication()
    request_metadata: _Request = _Request()
    status: _Status = _Status()


class _Resource(_EntryPart, frozen=True):
    type: str = ""
    labels: dict[str, str] = {}


class AuditEntry(_EntryPart, frozen=True):
    """The fields of an entry that say something about the legacy path."""

    timestamp: Annotated[datetime, Meta(tz=True)]
    proto_payload: _AuditLog = _AuditLog()
    resource: _Resource = _Resource()


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request to the legacy bucket.

    Attributes:
        at: Aware.
        principal: Who, with those that it acted for; printable, and different for different principals.
        account: The principal's bare name, such as an address.
        agent: The program, as it names itself; may be empty.
        method: The request, such as ``storage.objects.get``.
        use: What it did to an object or a folder; None for what names the bucket and not the prefix, as a listing does.
        part: The first folder of the object below the legacy prefix, or its name; empty for all of it; None for one outside the prefix.
        refused: Whether the principal was not allowed to.
    """

    at: datetime
    principal: str
    account: str
    agent: str
    method: str
    use: PrincipalUse | None
    part: str | None
    refused: bool

    @property
    def proves(self) -> bool:
        """Whether such an entry exists only while the log of reads is on."""
        return self.method in PROOFS


def seen_in(entry: AuditEntry, migration: Migration) -> SeenRequest | None:
    """What an entry says about the legacy bucket; None where it is about another one.

    A request about the bucket itself, its listings, settings or caches, has no use. One for many objects that names only the
    bucket (``storage.objects.bulkRestore``) counts as one for the whole path.

    Raises:
        Unreadable: It is of that bucket, and says neither what was done nor to what.
    """
    source, audit = migration.source, entry.proto_payload
    found = _RESOURCE.fullmatch(audit.resource_name)
    bucket = found[1] if found else entry.resource.labels.get("bucket_name")
    if bucket != source.bucket:
        return None
    if not found or not audit.method_name:
        raise UnreadableEntry("an entry of the bucket without a method or a resource")
    _, kind, name = found.groups()
    method, verb = audit.method_name, audit.method_name.rpartition(".")[2].lower()
    bulk = kind is None and verb.startswith("bulk")
    if method.startswith("storage.objects.") and kind != "objects" and not bulk and (kind or verb != "list"):
        raise UnreadableEntry("an entry of a request for an object, without its name")
    use = PrincipalUse.READ if verb.startswith(("get", "list", "read")) else PrincipalUse.WRITE
    account, principal = _principal(audit.authentication_info)
    return SeenRequest(
        entry.timestamp,
        principal,
        account,
        shown(audit.request_metadata.caller_supplied_user_agent.removesuffix(",gzip(gfe)"))[:KEPT],
        shown(method)[:KEPT],
        use if bulk or kind == "objects" or kind in _FOLDERS else None,
        "" if bulk else _part(kind, name or "", source.prefix),
        audit.status.code in REFUSED,
    )


def _part(kind: str | None, name: str, prefix: str) -> str | None:
    """The part of the legacy path that a name is in, as `SeenRequest.part`; a folder above the path has all of it."""
    if kind in _FOLDERS:
        name = f"{name.rstrip('/')}/"
        if prefix.startswith(name):
            return ""
    if not name.startswith(prefix):
        return None
    folder, slash, _ = name.removeprefix(prefix).partition("/")
    return shown(folder + slash)[:KEPT]


def _principal(info: _Authentication) -> tuple[str, str]:
    """The bare name of a principal, and its name with those that it acted for, first the original one."""
    account = _KIND.sub("", info.principal_email or info.principal_subject) or NOT_NAMED
    delegates = [
        each.first_party_principal.principal_email or each.principal_subject
        for each in info.service_account_delegation_info
    ]
    chain = [
        _KIND.sub("", each)
        for each in (info.service_delegation_history.original_principal, *delegates)
        if each
    ]
    name = shown(" for ".join(filter(None, [account, " > ".join(chain)])))
    if len(name) > MAX_PRINCIPAL:
        digest = sha256(name.encode()).hexdigest()[:_DIGEST]
        name = f"{name[: MAX_PRINCIPAL - _DIGEST - 1]}…{digest}"
    return account, name


def decoded(value: Any) -> AuditEntry:
    """An entry from parsed JSON, or from the JSON text of one.

    Raises:
        Unreadable: It is neither.
    """
    try:
        if isinstance(value, str):
            return msgspec.json.decode(value, type=AuditEntry)
        return msgspec.convert(value, AuditEntry)
    except (ValueError, RecursionError, OverflowError) as error:
        raise UnreadableEntry(str(error)) from error


def items_of(path: Path) -> Iterator[Any]:
    """The entries of a file as `decoded` takes them, whatever they are.

    The file holds arrays or JSON lines, as ``gcloud logging read --format=json`` and sinks write them. Memory does not grow with it.

    Raises:
        UsageError: The file cannot be read, or its array is damaged, so that nothing is known about the rest of it.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            start = file.read(1)
            while start.isspace():
                start = file.read(1)
            yield from _array(file, path) if start == "[" else _lines(file, start)
    except OSError as error:
        raise UsageError(f"--log-file {path}: {error.strerror}") from error


def _lines(file: TextIO, start: str) -> Iterator[str]:
    line = start + file.readline(LONGEST)
    while line:
        if line.strip():
            yield line
        line = file.readline(LONGEST)


def _array(file: TextIO, path: Path) -> Iterator[Any]:
    """The items of an array whose bracket was read, and of arrays that follow it, as where exports were joined."""
    decoder, text, at, inside = json.JSONDecoder(), "", 0, True
    while True:
        at, inside = _skipped(text, at, inside=inside)
        error: Exception = ValueError("text after its end")
        if inside:
            try:
                item, at = decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as damage:
                error = damage
            else:
                yield item
                continue
        left = len(text) - at
        more = "" if left > LONGEST or (left and not inside) else file.read(max(CHUNK, left))
        if not more:
            if not inside and not left:
                return
            raise UsageError(
                f"--log-file {path}: the array is damaged or ends early, so the rest of it is not known ({error})"
            )
        text, at = text[at:] + more, 0


def _skipped(text: str, at: int, *, inside: bool) -> tuple[int, bool]:
    """Where the next item begins, and whether that is inside an array."""
    while at < len(text):
        if text[at] == ("]" if inside else "["):
            inside = not inside
        elif not text[at].isspace() and text[at] != ",":
            break
        at += 1
    return at, inside

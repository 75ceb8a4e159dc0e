"""The trial: asks every question, compares the answers with `RELIANCES`, and removes what it wrote.

`RELIANCES` is the table of ``smoke --wire``: what the code relies on, where it does so, and the answer that it expects. An answer is
the statuses of the requests, each once, and what the client made of them. A client is asked only for what the code asks of it; so
a row may have the answers of one client, or of both. Only the command uses this module: it knows nothing of arguments and screens.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from backfill_job.checks import Check, Standing, failed, passed
from backfill_job.run.stopping import Stop
from backfill_job.smoke.clients import (
    Exchanges,
    FastClient,
    GoogleClient,
    SpoiltAccess,
    SpoiltCredentials,
    opened_clients,
)
from backfill_job.smoke.probes import Asked, Bench
from shared.errors import Interrupted, MigrationError, StorageError
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi, RetryPolicy
from shared.gcs.credentials import AccessSource, Anonymous, ApplicationDefault
from shared.gcs.json_client import way_from
from shared.migration import Location
from shared.text import counted

__all__ = ["RELIANCES", "Reliance", "Trial", "TrialAnswer", "TrialConnection", "TrialGroup", "try_wire"]


class TrialGroup(Enum):
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
        where: The modules that rely on it.
    """

    key: str
    group: TrialGroup
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
        ("every-name", TrialGroup.NAMES, "every name comes back, over pages, in the order of its UTF-8 bytes",
         _LISTINGS, "200 all, in order, over several pages"),
        ("bounds", TrialGroup.NAMES, "a listing begins with startOffset and ends before endOffset",
         "backfill_job/run/key_ranges.py", "200 from the start on, before the end"),
        ("look-each", TrialGroup.NAMES, "an object looked at alone is as its listing shows it",
         "backfill_job/copying/lane.py", "200 each as listed"),
        ("absent", TrialGroup.NAMES, "the 404 of an absent object says 'No such object'",
         "shared/answers.py", "404 absent"),
        ("no-bucket", TrialGroup.NAMES, "the 404 of an absent bucket says something else",
         "shared/answers.py", "404 BucketNotFound"),
        ("gzip", TrialGroup.METADATA, "an object labelled gzip has size and checksums as stored",
         "shared/objects.py", "200 as written"),
        ("described", TrialGroup.METADATA, "custom time and all metadata come back as they were written",
         "shared/objects.py", "200 as written"),
        ("contexts", TrialGroup.METADATA, "object contexts come back as they were written",
         "shared/objects.py", "200 as written"),
        ("empty", TrialGroup.METADATA, "an empty object has a crc32c and an md5",
         "shared/objects.py", "200 as written"),
        ("composite", TrialGroup.METADATA, "a composite object has a crc32c and no md5",
         "shared/objects.py: proves", "200 crc32c, no md5"),
        ("large", TrialGroup.METADATA, "over 64 MiB, composed of one object 17 times",
         "shared/objects.py: proves", "200 crc32c, no md5"),
        ("fields", TrialGroup.METADATA, "the object resource has no field that the code does not know",
         "shared/objects.py: OBJECT_FIELDS", "none unknown"),
        ("rewrite-new", TrialGroup.REWRITE, "a rewrite onto an absent name (ifGenerationMatch=0) carries everything over",
         _COPIES, "200 the same"),
        ("rewrite-contexts", TrialGroup.REWRITE, "a rewrite carries object contexts over",
         _COPIES, "200 the same"),
        ("rewrite-large", TrialGroup.REWRITE, "a rewrite of over 64 MiB ends, by tokens or at once",
         _COPIES, "200 the same"),
        ("rewrite-there", TrialGroup.REWRITE, "ifGenerationMatch=0 is refused where an object is",
         _COPIES, "412 ConditionFailed"),
        ("rewrite-destination", TrialGroup.REWRITE, "another generation at the destination is refused",
         _COPIES, "412 ConditionFailed"),
        ("rewrite-source", TrialGroup.REWRITE, "another generation at the source is refused",
         _COPIES, "412 ConditionFailed"),
        ("rewrite-over", TrialGroup.REWRITE, "with both generations right, a rewrite replaces the object",
         _COPIES, "200 the same, another generation"),
        ("rewrite-absent", TrialGroup.REWRITE, "an absent source is a 404 that says so",
         _COPIES, "404 ObjectNotFound"),
        ("rewrite-times", TrialGroup.REWRITE, "a copy is not older than its source; updated is its creation",
         "shared/objects.py: proves", "created not before its source, updated then, metageneration 1"),
        ("patch", TrialGroup.ORDER, "a change of metadata moves updated and metageneration, and nothing else",
         _LATER, "200 updated later; created, generation as before; metageneration 2"),
        ("patch-stale", TrialGroup.ORDER, "a patch with an old metageneration is refused",
         _LATER, "412 ConditionFailed"),
        ("patch-order", TrialGroup.ORDER, "who changes metadata after a copy is the later writer",
         _LATER, "the patched one is later"),
        ("restore", TrialGroup.ORDER, "a restored object has another generation, its contents, and is created then",
         _UNDO, "200 the same, another generation, created after the deletion"),
        ("batch", TrialGroup.BATCH, "each deletion of a batch has its own condition and its own answer",
         "backfill_job/deletion/delete.py, shared/gcs/api.py", "200 204 204 412 204 404"),
        ("batch-effect", TrialGroup.BATCH, "the live version of a stale deletion stays, the good ones go",
         "backfill_job/deletion/delete.py", "200 only the stale one is left"),
        ("soft-deleted", TrialGroup.SOFT_DELETE, "a deleted generation is listed, with the time until which it is held",
         _UNDO, "200 the generation, held until a time"),
        ("soft-overwritten", TrialGroup.SOFT_DELETE, "so is an overwritten one",
         "backfill_job/copying/execution.py", "200 the generation, held until a time"),
        ("ended", TrialGroup.SOFT_DELETE, "its timeDeleted is not before its creation",
         "backfill_job/copying/execution.py", "200 ended after its creation"),
        ("restore-live", TrialGroup.SOFT_DELETE, "a restore onto a live object is refused (ifGenerationMatch=0)",
         _UNDO, "412 ConditionFailed"),
        ("restore-unknown", TrialGroup.SOFT_DELETE, "a restore of an unknown generation is a 404",
         _UNDO, "404 ObjectNotFound"),
        ("resumable", TrialGroup.UPLOAD, "an upload in pieces with ifGenerationMatch=0 makes the object",
         "backfill_job/deletion/manifest_store.py", "200 308 200 whole"),
        ("resumable-there", TrialGroup.UPLOAD, "and is refused where one is",
         "backfill_job/deletion/manifest_store.py", "412 ConditionFailed"),
        ("insert-there", TrialGroup.UPLOAD, "a small upload with ifGenerationMatch=0 is refused where an object is",
         "shared/record.py, shared/state_changes.py", "412 ConditionFailed"),
        ("range", TrialGroup.READ, "a range of a generation is that range",
         "backfill_job/copying/by_bytes.py", "206 the bytes"),
        ("range-gzip", TrialGroup.READ, "a range of an object labelled gzip is of the stored bytes",
         "backfill_job/copying/by_bytes.py", "206 the bytes"),
        ("whole-gzip", TrialGroup.READ, "an object labelled gzip can be read as it is stored",
         "backfill_job/contents/reader.py", "200 the bytes"),
        ("range-gone", TrialGroup.READ, "a generation that was overwritten cannot be read",
         "backfill_job/copying/by_bytes.py", "404 ObjectNotFound"),
        ("token-renewed", TrialGroup.TOKEN, "a token that is refused (401) is renewed, and the request sent again",
         "shared/gcs/credentials.py", "401 200 there"),
        ("token-refused", TrialGroup.TOKEN, "a token that stays refused is a missing permission, and not an absence",
         "shared/answers.py", "401 PermissionDenied"),
    )
)  # fmt: skip


PATIENCE = 20.0
"""Seconds of retries after transient faults: a person waits."""

SIDE_BY_SIDE = 8
"""Objects that are removed at once."""

ROWS = {row.key: row for row in RELIANCES}
EACH = ("batch",)
"""The row whose answer has every status; in the others equal ones in a row count once."""


@dataclass(frozen=True, slots=True)
class TrialAnswer:
    """The answer to one row through one client; `error` is the client's own, empty where the answer is the expected one."""

    row: Reliance
    client: str
    answer: str
    error: str = ""

    @property
    def deviates(self) -> bool:
        """Whether it is not the expected one."""
        return self.answer != self.row.answer

    def __str__(self) -> str:
        """The line of a deviation."""
        said = f" ({self.error})" if self.error else ""
        return f"{self.row.key}, {self.client}: {self.answer}{said}; expected: {self.row.answer}"

    def to_json(self) -> dict[str, Any]:
        """The row with its answer."""
        row = {**self.row._asdict(), "group": self.row.group.value, "expected": self.row.answer}
        said = {"client": self.client, "answer": self.answer, "error": self.error}
        return {**row, **said, "deviates": self.deviates}


@dataclass
class Trial:
    """The answers so far, and what could not be removed."""

    exchanges: Exchanges
    answers: list[TrialAnswer] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def ask(self, asked: Asked) -> None:
        """Ask one question, and note its answer."""
        error = ""
        try:
            self.exchanges.begin(f"{asked.key}: preparation", asked.client)
            asked.prepare()
            self.exchanges.begin(asked.key, asked.client)
            words = asked.work()
        except StorageError as problem:
            words, error = type(problem).__name__, self.exchanges.redacted(str(problem))
        answer = f"{self.exchanges.statuses(each=EACH)} {words}".strip()
        row = ROWS[asked.key]
        self.answers.append(TrialAnswer(row, asked.client, answer, error if answer != row.answer else ""))

    def checks(self) -> Iterator[Check]:
        """One check for each group of rows, and one for what is left."""
        for group in TrialGroup:
            name = f"wire: {group.value}"
            answers = [answer for answer in self.answers if answer.row.group is group]
            bad = [answer for answer in answers if answer.deviates]
            if bad:
                where = ", ".join(dict.fromkeys(answer.row.where for answer in bad))
                step = f"the code relies on this in {where}: send wire.json to its authors before anything is copied"
                yield failed(name, "\n".join(map(str, bad)), step)
            elif answers:
                yield passed(name, f"{counted(len(answers), 'answer')}, each as expected")
            else:
                seen = "the new bucket has no soft delete, or keeps versions"
                yield Check(name, Standing.NOT_APPLICABLE, seen)
        if self.left:
            at = f"gs://{self.exchanges.bucket}/{self.exchanges.folder}"
            step = f"gcloud storage rm --recursive '{at}' --impersonate-service-account=ACCOUNT"
            yield failed("wire: removal", "\n".join(self.left), step)

    def to_json(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """The content of ``wire.json``; `about` says where and when."""
        return {
            "version": 1,
            **about,
            "rows": [answer.to_json() for answer in self.answers],
            "left": [self.exchanges.redacted(line) for line in self.left],
            "exchanges": self.exchanges.noted,
        }


@dataclass(frozen=True, slots=True)
class TrialConnection:
    """The way to Cloud Storage.

    Attributes:
        environ: Names a local Cloud Storage, or a proxy.
        billing_project: Pays for the requests to a requester-pays bucket; empty for none.
    """

    environ: Mapping[str, str]
    billing_project: str

    @property
    def endpoint(self) -> str | None:
        """A local Cloud Storage; None for Google's."""
        return self.environ.get("STORAGE_EMULATOR_HOST")

    def access(self) -> AccessSource:
        """The account."""
        return Anonymous() if self.endpoint else ApplicationDefault()

    def api(self, exchanges: Exchanges, access: AccessSource | None = None) -> AsyncApi:
        """The fast client."""
        return AsyncApi(
            access=access,
            connections=4,
            retry=RetryPolicy(deadline=PATIENCE),
            billing_project=self.billing_project,
            heard=exchanges.heard,
            **way_from(self.environ),
        )

    def gateway(self, exchanges: Exchanges, credentials: SpoiltCredentials | None = None) -> Gateway:
        """Google's client."""
        payer = self.billing_project
        gateway = Gateway(retry_deadline=PATIENCE, billing_project=payer, credentials=credentials)
        gateway.listen(exchanges.heard)
        return gateway

    def token(self) -> str:
        """A token that is good."""
        headers = dict(self.access().fetch().headers)
        return headers.get("authorization", "Bearer local").removeprefix("Bearer ")


def try_wire(
    way: TrialConnection, folder: Location, *, soft_delete: bool, versioned: bool, stop: Stop
) -> Trial:
    """Write some 60 objects into a folder that nothing else uses, ask everything, and remove them; see `Bench` for the bucket's settings.

    Raises:
        Interrupted: A signal stopped it. The objects are removed, or the message names what is left.
    """
    trial = Trial(Exchanges(folder.bucket, folder.prefix))
    try:
        with (
            closing(way.gateway(trial.exchanges)) as gateway,
            opened_clients(way.api(trial.exchanges)) as fast,
        ):
            try:
                bench = Bench(folder, GoogleClient(gateway), fast, soft_delete, versioned)
                for asked in chain(bench.questions(), _tokens(way, bench, trial.exchanges)):
                    stop.check()
                    trial.ask(asked)
                trial.ask(Asked("fields", "both clients", partial(_unknown, trial.exchanges)))
            finally:
                trial.exchanges.begin("removal", GoogleClient.name)
                trial.left = _removed(gateway, folder)
    except Interrupted as error:
        if trial.left:
            left = "; ".join(trial.left)
            why = f"{error}; the objects in {folder.uri} could not be removed ({left})"
            raise Interrupted(why) from error
        raise
    return trial


def _unknown(exchanges: Exchanges) -> str:
    return f"unknown: {', '.join(sorted(exchanges.unknown))}" if exchanges.unknown else "none unknown"


def _tokens(way: TrialConnection, bench: Bench, exchanges: Exchanges) -> Iterator[Asked]:
    at = bench.at("described")

    def fast(then: AccessSource | None) -> str:
        with opened_clients(way.api(exchanges, SpoiltAccess(then))) as client:
            return "there" if client.look(at) else "absent"

    def google(renewed: bool) -> str:
        credentials = SpoiltCredentials(way.token if renewed else None)
        with closing(way.gateway(exchanges, credentials)) as gateway:
            return "there" if gateway.look(at) else "absent"

    yield Asked("token-renewed", FastClient.name, lambda: fast(way.access()))
    yield Asked("token-refused", FastClient.name, lambda: fast(None))
    yield Asked("token-renewed", GoogleClient.name, lambda: google(renewed=True))
    yield Asked("token-refused", GoogleClient.name, lambda: google(renewed=False))


def _removed(gateway: Gateway, folder: Location) -> list[str]:
    """Remove every version in the folder, each by its generation; gives what is left, with the reason."""

    def listed(bucket: Any) -> list[tuple[str, int]]:
        versions = bucket.client.list_blobs(bucket, prefix=folder.prefix, versions=True)
        return [(blob.name, blob.generation) for blob in versions]

    def delete(bucket: Any, name: str, generation: int) -> None:
        bucket.blob(name, generation=generation).delete(if_generation_match=generation)

    try:
        found = gateway.ask(folder.bucket, folder.uri, listed)
    except MigrationError as error:
        return [str(error)]

    def removed(version: tuple[str, int]) -> str:
        name, generation = version
        request = partial(delete, name=name, generation=generation)
        try:
            gateway.ask(folder.bucket, f"gs://{folder.bucket}/{name}", request)
        except MigrationError as error:
            return str(error)
        return ""

    # Side by side: after a signal the process has seconds.
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return [*filter(None, pool.map(removed, found))]

"""The trial: asks every question, compares the answers with `RELIANCES`, and removes what it wrote."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from backfill_job.checks import Check, Standing, failed, passed
from backfill_job.run.stopping import Stop
from backfill_job.smoke.clients import Fast, Google, SpoiltAccess, SpoiltCredentials, opened
from backfill_job.smoke.exchanges import Exchanges
from backfill_job.smoke.probes import Asked, Bench
from backfill_job.smoke.reliances import RELIANCES, Group, Reliance
from shared.errors import Interrupted, MigrationError, StorageError
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi, RetryPolicy
from shared.gcs.credentials import AccessSource, Anonymous, ApplicationDefault
from shared.gcs.json_client import GOOGLE_HOST
from shared.gcs.wire import proxy_for
from shared.migration import Location
from shared.text import counted

__all__ = ["Answer", "Trial", "Way", "try_wire"]

PATIENCE = 20.0
"""Seconds of retries after transient faults: a person waits."""

SIDE_BY_SIDE = 8
"""Objects that are removed at once."""

ROWS = {row.key: row for row in RELIANCES}
EACH = ("batch",)
"""The row whose answer has every status; in the others equal ones in a row count once."""


@dataclass(frozen=True, slots=True)
class Answer:
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
        return row | {
            "client": self.client,
            "answer": self.answer,
            "error": self.error,
            "deviates": self.deviates,
        }


@dataclass
class Trial:
    """The answers so far, and what could not be removed."""

    exchanges: Exchanges
    answers: list[Answer] = field(default_factory=list)
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
        self.answers.append(Answer(row, asked.client, answer, error if answer != row.answer else ""))

    def checks(self) -> Iterator[Check]:
        """One check for each group of rows, and one for what is left."""
        for group in Group:
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
                yield Check(
                    name, Standing.NOT_APPLICABLE, "the new bucket has no soft delete, or keeps versions"
                )
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
class Way:
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
            endpoint=self.endpoint,
            access=access,
            connections=4,
            retry=RetryPolicy(deadline=PATIENCE),
            proxy=None if self.endpoint else proxy_for(GOOGLE_HOST, self.environ),
            billing_project=self.billing_project,
            heard=exchanges.heard,
        )

    def gateway(self, exchanges: Exchanges, credentials: SpoiltCredentials | None = None) -> Gateway:
        """Google's client."""
        gateway = Gateway(
            retry_deadline=PATIENCE, billing_project=self.billing_project, credentials=credentials
        )
        gateway.listen(exchanges.heard)
        return gateway

    def token(self) -> str:
        """A token that is good."""
        return (
            dict(self.access().fetch().headers).get("authorization", "Bearer local").removeprefix("Bearer ")
        )


def try_wire(way: Way, folder: Location, *, soft_delete: bool, versioned: bool, stop: Stop) -> Trial:
    """Write some 60 objects into a scratch folder, ask everything, and remove them.

    Args:
        way: The way to Cloud Storage.
        folder: A folder that nothing else uses.
        soft_delete: See `Bench`.
        versioned: See `Bench`.
        stop: Whether a signal asked to stop.

    Raises:
        Interrupted: A signal stopped it. The objects are removed, or the message names what is left.
    """
    trial = Trial(Exchanges(folder.bucket, folder.prefix))
    try:
        with closing(way.gateway(trial.exchanges)) as gateway, opened(way.api(trial.exchanges)) as fast:
            try:
                bench = Bench(folder, Google(gateway), fast, soft_delete, versioned)
                for asked in chain(bench.questions(), _tokens(way, bench, trial.exchanges)):
                    stop.check()
                    trial.ask(asked)
                trial.ask(Asked("fields", "both clients", partial(_unknown, trial.exchanges)))
            finally:
                trial.exchanges.begin("removal", Google.name)
                trial.left = _removed(gateway, folder)
    except Interrupted as error:
        if trial.left:
            left = "; ".join(trial.left)
            raise Interrupted(
                f"{error}; the objects in {folder.uri} could not be removed ({left})"
            ) from error
        raise
    return trial


def _unknown(exchanges: Exchanges) -> str:
    return f"unknown: {', '.join(sorted(exchanges.unknown))}" if exchanges.unknown else "none unknown"


def _tokens(way: Way, bench: Bench, exchanges: Exchanges) -> Iterator[Asked]:
    at = bench.at("described")

    def fast(then: AccessSource | None) -> str:
        with opened(way.api(exchanges, SpoiltAccess(then))) as client:
            return "there" if client.look(at) else "absent"

    def google(renewed: bool) -> str:
        credentials = SpoiltCredentials(way.token if renewed else None)
        with closing(way.gateway(exchanges, credentials)) as gateway:
            return "there" if gateway.look(at) else "absent"

    yield Asked("token-renewed", Fast.name, lambda: fast(way.access()))
    yield Asked("token-refused", Fast.name, lambda: fast(None))
    yield Asked("token-renewed", Google.name, lambda: google(renewed=True))
    yield Asked("token-refused", Google.name, lambda: google(renewed=False))


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
        try:
            gateway.ask(
                folder.bucket,
                f"gs://{folder.bucket}/{name}",
                partial(delete, name=name, generation=generation),
            )
        except MigrationError as error:
            return str(error)
        return ""

    # Side by side: after a signal the process has seconds.
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return [*filter(None, pool.map(removed, found))]

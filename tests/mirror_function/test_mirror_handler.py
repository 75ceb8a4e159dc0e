"""The function as the framework calls it: a CloudEvent over HTTP in, a status and one structured line out."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGTERM
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import functions_framework
import pytest
from testing_function import AsgiClient
from testing_paths import Paths, json_lines

from demo.function import running_function
from local_gcs.waiting import wait_until
from mirror_function import handler
from shared.errors import StorageError
from shared.late_marks import newest_late_mark
from shared.migration import Location, Migration
from shared.phase import Phase, entry_ref, state_ref

ROOT = Path(__file__).parent.parent.parent
NAME = "qpi_answers_20240101/user_id_7.jsonl"
FINALIZED = "google.cloud.storage.object.v1.finalized"


@dataclass
class Delivered:
    status: int
    lines: list[dict[str, Any]]

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.lines
        return line


@dataclass
class Mirror:
    """The function in this process, on the test's own pair of prefixes."""

    paths: Paths
    client: AsgiClient
    capsys: pytest.CaptureFixture[str]

    def post(self, body: bytes, headers: dict[str, str]) -> Delivered:
        self.capsys.readouterr()
        status, _ = self.client.post(body, {"Content-Type": "application/json", **headers})
        return Delivered(status, json_lines(self.capsys.readouterr().out))

    def deliver(
        self,
        resource: dict[str, Any],
        *,
        kind: str = "finalized",
        time: datetime | None = None,
        structured: bool = False,
        **headers: str,
    ) -> Delivered:
        return self.post(*self.event(resource, kind=kind, time=time, structured=structured, **headers))

    @staticmethod
    def event(
        resource: dict[str, Any],
        *,
        kind: str = "finalized",
        time: datetime | None = None,
        structured: bool = False,
        **headers: str,
    ) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of a delivery."""
        attributes = {
            "id": "e-1",
            "type": f"google.cloud.storage.object.v1.{kind}",
            "source": f"//storage.googleapis.com/projects/_/buckets/{resource.get('bucket')}",
            "subject": "objects/x",
            "specversion": "1.0",
            "time": (time or datetime.now(UTC)).isoformat(),
            "bucket": str(resource.get("bucket")),
        }
        if structured:
            body = json.dumps({**attributes, "data": resource}).encode()
            return body, {"Content-Type": "application/cloudevents+json", **headers}
        sent = {f"ce-{key}": value for key, value in attributes.items()}
        return json.dumps(resource).encode(), {"Content-Type": "application/json", **sent, **headers}

    def resource(self, relative: str = NAME, *, side: str = "source") -> dict[str, Any]:
        """The object as it is now, as an event shows it."""
        blob = self.paths.bucket(side).get_blob(getattr(self.paths.migration, side).prefix + relative)
        return dict(blob._properties)

    def put(self, relative: str = NAME, data: bytes = b"one") -> dict[str, Any]:
        self.paths.put(relative, data)
        return self.resource(relative)


@pytest.fixture
def mirror(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Mirror]]:
    """Starts the function under the given environment."""

    def start(**environ: str) -> Mirror:
        settings = {
            "STORAGE_EMULATOR_HOST": paths.server.url,
            "MIRROR_SOURCE": paths.migration.source.uri,
            "MIRROR_DESTINATION": paths.migration.destination.uri,
            "MIRROR_RETRY_DEADLINE_S": "0.5",
            **environ,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        app = functions_framework.create_app("mirror_object", str(ROOT / "main.py"), "cloudevent")
        return Mirror(paths, AsgiClient(app, runner), capsys)

    handler._worker.cache_clear()
    with asyncio.Runner() as runner:
        yield start
        if handler._worker.cache_info().currsize:
            runner.run(handler._worker().close())
    handler._worker.cache_clear()
    handler.start_logging.cache_clear()


def set_contexts(function: Mirror, resource: dict[str, Any]) -> None:
    where = f"/b/{resource['bucket']}/o/{resource['name'].replace('/', '%2F')}"
    change = {"contexts": {"custom": {"team": {"value": "a"}}}}
    function.paths.client._connection.api_request("PATCH", where, data=change)


def set_phase(paths: Paths, phase: Phase) -> None:
    paths.begin(phase)


# --- finalized ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structured", [False, True])
def test_a_new_object_is_copied_and_said_in_one_line(mirror: Callable[..., Mirror], structured: bool) -> None:
    """Binary mode, as Eventarc sends, and structured mode."""
    function = mirror(GOOGLE_CLOUD_PROJECT="my-project")
    resource = function.put()
    trace = {"X-Cloud-Trace-Context": "105445aa7843bc8bf206b12000100000/1;o=1"}
    done = function.deliver(resource, structured=structured, **trace)
    copy = function.resource(side="destination")
    assert done.status == 200
    assert function.paths.read(NAME) == b"one"
    line = done.line
    lag, moment = line.pop("lag_s"), line.pop("time")
    assert 0 <= lag < 60
    assert moment.endswith("Z")
    uri = function.paths.migration.source_ref(NAME).uri
    assert line == {
        "severity": "INFO",
        "message": f"{uri}: event handled",
        "event": "mirrored",
        "logging.googleapis.com/trace": "projects/my-project/traces/105445aa7843bc8bf206b12000100000",
        "object": uri,
        "event_id": "e-1",
        "event_generation": resource["generation"],
        "outcome": "copied",
        "source_generation": resource["generation"],
        "destination_generation": copy["generation"],
        "bytes": 3,
        "attempts": 1,
        "phase": "dual_write",
    }


def test_a_new_object_costs_one_request(mirror: Callable[..., Mirror]) -> None:
    """Besides the phase, which is read every ten seconds."""
    function = mirror()
    function.deliver(function.put("first"))
    resource = function.put()
    function.paths.server.reset_stats()
    function.deliver(resource)
    assert {name: count["count"] for name, count in function.paths.server.stats()["methods"].items()} == {
        "storage.objects.rewrite": 1
    }


def test_events_that_come_at_once_are_each_handled(mirror: Callable[..., Mirror]) -> None:
    """One event loop serves them; some come twice, and some need the rule, on threads."""
    function = mirror()
    resources = [function.put(f"user_id_{number}.jsonl") for number in range(12)]
    gone = function.put("gone")
    function.paths.delete("gone")
    posts = [function.event(resource) for resource in (*resources, *resources[:6], gone)]

    async def all_of_them() -> list[tuple[int, bytes]]:
        return await asyncio.gather(*(function.client.request(*post) for post in posts))

    function.capsys.readouterr()
    assert {status for status, _ in function.client.run(all_of_them())} == {200}
    outcomes = Counter(line["outcome"] for line in json_lines(function.capsys.readouterr().out))
    assert outcomes == {"copied": 12, "already_equal": 6, "superseded": 1}
    assert len(function.paths.names()) == 12


def test_a_new_object_with_contexts_counts_as_copied(mirror: Callable[..., Mirror]) -> None:
    """The published event does not have them, so the copy's answer differs; a look at both sides settles it."""
    function = mirror()
    resource = function.put()
    set_contexts(function, resource)
    line = function.deliver(resource).line
    assert (line["outcome"], line["attempts"], line["lag_s"] is None) == ("copied", 2, False)
    assert function.deliver(resource).line["outcome"] == "already_equal"


def test_a_duplicate_finds_it_equal(mirror: Callable[..., Mirror]) -> None:
    """At least once means sometimes twice."""
    function = mirror()
    resource = function.put()
    assert function.deliver(resource).line["outcome"] == "copied"
    before = function.resource(side="destination")
    assert function.deliver(resource).line["outcome"] == "already_equal"
    assert function.resource(side="destination") == before


def test_events_in_the_wrong_order_end_with_the_newest(mirror: Callable[..., Mirror]) -> None:
    """The second event brings what is live; the first then has nothing left to do."""
    function = mirror()
    first = function.put(data=b"one")
    second = function.put(data=b"two")
    assert function.deliver(second).line["outcome"] == "copied"
    late = function.deliver(first).line
    assert (late["outcome"], late["event_generation"], late["source_generation"]) == (
        "superseded",
        first["generation"],
        second["generation"],
    )
    assert function.paths.read(NAME) == b"two"


def test_the_event_of_a_replaced_version_already_brings_the_newer_one(mirror: Callable[..., Mirror]) -> None:
    """The log names the version that was copied."""
    function = mirror()
    first = function.put(data=b"one")
    second = function.put(data=b"two")
    line = function.deliver(first).line
    assert (line["outcome"], line["source_generation"]) == ("copied", second["generation"])


def test_the_event_of_an_object_that_is_gone_is_superseded(mirror: Callable[..., Mirror]) -> None:
    """Not a failure, and not to be delivered again."""
    function = mirror()
    resource = function.put()
    function.paths.delete(NAME)
    done = function.deliver(resource)
    assert (done.status, done.line["outcome"]) == (200, "superseded")


def test_an_overwrite_is_copied_over_the_older_copy(mirror: Callable[..., Mirror]) -> None:
    """The user answered again the same day."""
    function = mirror()
    function.deliver(function.put(data=b"one"))
    assert function.deliver(function.put(data=b"two")).line["outcome"] == "copied"
    assert function.paths.read(NAME) == b"two"


@pytest.mark.parametrize("kind", ["deleted", "archived", "metadataUpdated"])
def test_other_events_are_ignored_by_default(mirror: Callable[..., Mirror], kind: str) -> None:
    """Deletions are not followed unless asked for."""
    function = mirror()
    resource = function.put()
    function.deliver(resource)
    function.paths.delete(NAME)
    assert function.deliver(resource, kind=kind).line["outcome"] == "ignored"
    assert function.paths.read(NAME) == b"one"


@pytest.mark.parametrize(
    "name", ["QPI_exports_old/a", "QPI_exports", "other/a", "qpi_exports/a", "QPI_exports/.DS_Store"]
)
def test_what_is_not_the_migration_s_is_ignored(mirror: Callable[..., Mirror], name: str) -> None:
    """The function gets every object of the bucket."""
    function = mirror()
    resource = {**function.put(), "name": name}
    function.paths.server.reset_stats()
    done = function.deliver(resource)
    assert (done.status, done.line["outcome"]) == (200, "ignored")
    assert function.paths.server.stats()["methods"] == {}


def test_another_bucket_s_event_is_ignored(mirror: Callable[..., Mirror]) -> None:
    """A trigger on the wrong bucket does no harm."""
    function = mirror()
    assert function.deliver({**function.put(), "bucket": "somebody-s"}).line["because"] == "another bucket"


# --- phases ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.CUT_OVER, Phase.DELETING, Phase.DELETED])
def test_after_the_cutover_nothing_is_overwritten(mirror: Callable[..., Mirror], phase: Phase) -> None:
    """The new path has the last word; the late writer is reported."""
    function = mirror()
    set_phase(function.paths, phase)
    function.paths.put(NAME, b"the new path's", side="destination")
    done = function.deliver(function.put(data=b"late"))
    assert (done.status, done.line["event"], done.line["outcome"]) == (200, "mirror_conflict", "conflict")
    assert done.line["severity"] == "WARNING"
    assert function.paths.read(NAME) == b"the new path's"


def test_after_the_cutover_a_new_object_is_a_straggler(mirror: Callable[..., Mirror]) -> None:
    """Copied, so that nothing is lost, and said loudly."""
    function = mirror()
    set_phase(function.paths, Phase.CUT_OVER)
    line = function.deliver(function.put()).line
    assert (line["event"], line["severity"], line["outcome"]) == ("mirror_straggler", "WARNING", "copied")


def test_after_a_rollback_what_the_legacy_path_wrote_later_wins(mirror: Callable[..., Mirror]) -> None:
    """Both paths may still have writers: the later write wins."""
    function = mirror()
    set_phase(function.paths, Phase.ROLLED_BACK)
    function.paths.put(NAME, b"the new path's", side="destination")
    before = function.resource(side="destination")["timeCreated"]
    resource = function.put()
    while resource["timeCreated"] == before:
        resource = function.put()
    assert function.deliver(resource).line["outcome"] == "copied"


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"phase": "later"}'])
def test_a_damaged_state_is_never_taken_for_a_phase(mirror: Callable[..., Mirror], text: str) -> None:
    """Overwriting after the cutover would be the damage; so nothing is done, and it is said."""
    function = mirror()
    at = state_ref(function.paths.migration)
    function.paths.client.bucket(at.bucket).blob(at.name).upload_from_string(text)
    done = function.deliver(function.put())
    assert (done.status, done.line["event"], done.line["severity"]) == (503, "mirror_phase_unknown", "ERROR")
    assert "not a migration's state" in done.line["error"]
    assert function.paths.names() == []


@pytest.mark.parametrize("lost", ["head", "entry", "all"])
@pytest.mark.parametrize("deliveries", [1, 2])
def test_after_a_cutover_a_redelivered_event_overwrites_nothing_where_the_record_is_lost(
    mirror: Callable[..., Mirror], lost: str, deliveries: int
) -> None:
    """Absence was the first phase once, and the newer version was overwritten. The event comes again until the record is mended."""
    function = mirror()
    resource = function.put(data=b"old")
    paths, migration = function.paths, function.paths.migration
    paths.put(NAME, b"newer", side="destination")
    set_phase(paths, Phase.CUT_OVER)
    gone = {
        "head": state_ref(migration).name,
        "entry": entry_ref(migration, 1, Phase.DUAL_WRITE).name,
        "all": "_migration/",
    }
    for blob in paths.bucket("destination").list_blobs(prefix=gone[lost]):
        blob.delete()
    for _ in range(deliveries):
        done = function.deliver(resource)
        assert (done.status, done.line["event"]) == (503, "mirror_phase_unknown")
        assert "`backfill_job begin`" in done.line["error"]
    assert paths.read(NAME) == b"newer"
    set_phase(paths, Phase.CUT_OVER)
    assert function.deliver(resource).status == 200
    assert paths.read(NAME) == b"newer"


def test_without_a_record_nothing_is_done_and_the_line_says_what_a_retry_s_does(
    mirror: Callable[..., Mirror],
) -> None:
    """The event comes again, and is handled when the migration has begun; too old, it is dropped as any other."""
    function = mirror(MIRROR_GIVE_UP_AFTER_S="3600")
    function.paths.forget()
    resource = function.put()
    done = function.deliver(resource)
    assert (done.status, done.line["event"], function.paths.names()) == (503, "mirror_phase_unknown", [])
    assert done.line.keys() == {
        *("severity", "time", "message", "event"),
        *("object", "event_id", "event_generation", "age_s", "error"),
    }
    assert done.line["object"] == function.paths.migration.source_ref(NAME).uri
    old = function.deliver(resource, time=datetime.now(UTC) - timedelta(hours=2))
    assert (old.status, old.line["event"]) == (200, "mirror_dropped")
    function.paths.begin()
    assert function.deliver(resource).line["outcome"] == "copied"


def test_a_phase_that_cloud_storage_does_not_tell_is_an_ordinary_retry(mirror: Callable[..., Mirror]) -> None:
    """The record is as it was; so its alert stays silent, and mirror-failing counts the answer."""
    function = mirror()
    resource = function.put()
    history = f"{function.paths.migration.own_ref('history').name}/"
    rule = {"method": "storage.objects.list", "name_prefix": history, "count": None, "status": 503}
    function.paths.server.set_faults(rules=[rule])
    done = function.deliver(resource)
    assert (done.status, done.line["event"]) == (503, "mirror_retry")


# --- what goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503, "reset_before"])
def test_a_transient_fault_is_delivered_again(mirror: Callable[..., Mirror], status: int | str) -> None:
    """Raised, so that Eventarc does it."""
    function = mirror()
    resource = function.put()
    function.paths.server.set_faults(
        rules=[{"method": "storage.objects.rewrite", "count": None, "status": status}]
    )
    done = function.deliver(resource)
    assert (done.status, done.line["event"], done.line["severity"]) == (503, "mirror_retry", "WARNING")
    function.paths.server.clear_faults()
    assert function.deliver(resource).line["outcome"] == "copied"


def test_a_lost_answer_is_no_second_copy(mirror: Callable[..., Mirror]) -> None:
    """The copy happened; looking again shows it."""
    function = mirror()
    function.deliver(function.put("first"))
    resource = function.put()
    rule = {"method": "storage.objects.rewrite", "count": 1, "status": "reset_after"}
    function.paths.server.set_faults(rules=[rule])
    assert function.deliver(resource).line["outcome"] == "already_equal"


def test_a_missing_permission_is_delivered_again_until_the_deadline_and_then_dropped_loudly(
    mirror: Callable[..., Mirror],
) -> None:
    """An operator is likely to repair it; until then no event is lost."""
    function = mirror(MIRROR_GIVE_UP_AFTER_S="3600")
    resource = function.put()
    function.paths.server.set_faults(
        rules=[{"method": "storage.objects.rewrite", "count": None, "status": 403}]
    )
    assert function.deliver(resource).status == 503
    late = function.deliver(resource, time=datetime.now(UTC) - timedelta(hours=2))
    assert late.status == 200
    assert (late.line["event"], late.line["severity"], late.line["outcome"]) == (
        "mirror_dropped",
        "ERROR",
        "dropped",
    )
    assert late.line["age_s"] > 3600


def test_an_old_event_is_still_tried(mirror: Callable[..., Mirror]) -> None:
    """Age alone loses nothing: it is dropped only when it fails, too."""
    function = mirror(MIRROR_GIVE_UP_AFTER_S="60")
    old = datetime.now(UTC) - timedelta(days=3)
    assert function.deliver(function.put(), time=old).line["outcome"] == "copied"


ANSWERS = [
    (400, "invalid", "Cloud KMS key is disabled"),
    (400, "required", "Bucket is a requester pays bucket but no user project provided"),
    (409, "conflict", "The request conflicts with another"),
    (403, "forbidden", "Object is under active Temporary hold and cannot be deleted, overwritten"),
    (403, "objectUnderActiveHold", "held"),
    (403, "retentionPolicyNotMet", "Object is subject to bucket retention policy"),
    (412, "orgPolicyConstraintFailed", "Constraint constraints/gcp.restrictTLSVersion violated"),
    (501, "notImplemented", "Not implemented"),
    (400, "neverHeardOf", "in its own words"),
    (412, "neverHeardOf", "in its own words"),
    (418, "teapot", "short and stout"),
]


@pytest.mark.parametrize(("status", "reason", "message"), ANSWERS)
def test_what_somebody_can_mend_is_delivered_again_until_the_give_up_age(
    mirror: Callable[..., Mirror], status: int, reason: str, message: str
) -> None:
    """Whatever Cloud Storage answers. Then it is dropped, with the alert, the object and the service's words."""
    function = mirror(MIRROR_GIVE_UP_AFTER_S="3600")
    resource = function.put()
    rule = {"method": "storage.objects.rewrite", "count": None, "status": status}
    function.paths.server.set_faults(rules=[{**rule, "reason": reason, "message": message}])
    done = function.deliver(resource)
    assert (done.status, done.line["event"], done.line["severity"]) == (503, "mirror_retry", "WARNING")
    assert message in done.line["error"]
    late = function.deliver(resource, time=datetime.now(UTC) - timedelta(hours=2))
    assert (late.status, late.line["event"], late.line["severity"]) == (200, "mirror_dropped", "ERROR")
    assert late.line["object"].endswith(NAME)
    function.paths.server.clear_faults()
    assert function.deliver(resource).line["outcome"] == "copied"


@pytest.mark.parametrize("body", ["{}", "[]", '{"done": true, "resource": {}}', "nonsense"])
def test_an_answer_that_cannot_be_read_is_delivered_again(mirror: Callable[..., Mirror], body: str) -> None:
    """One line, without a traceback."""
    function = mirror()
    resource = function.put()
    rule = {"method": "storage.objects.rewrite", "count": None, "status": 200, "body": body}
    function.paths.server.set_faults(rules=[rule])
    done = function.deliver(resource)
    assert (done.status, done.line["event"]) == (503, "mirror_retry")
    function.paths.server.clear_faults()
    assert function.deliver(resource).line["outcome"] == "copied"


def test_a_name_too_long_for_the_destination_is_dropped(mirror: Callable[..., Mirror], paths: Paths) -> None:
    """It can never be copied there."""
    longer = Location(paths.migration.destination.bucket, f"{'x' * 40}/")
    replace(paths, migration=Migration(paths.migration.source, longer)).begin()
    function = mirror(MIRROR_DESTINATION=longer.uri)
    done = function.deliver(function.put("L" * 1000))
    assert (done.status, done.line["event"]) == (200, "mirror_dropped")
    assert "1024 are allowed" in done.line["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00\xff", b"[]", b'"text"', b"{}", b'{"bucket": "b", "name": "n"}', b'{"bucket": 1, "name": 2}'],
)
def test_a_malformed_event_is_dropped(mirror: Callable[..., Mirror], body: bytes) -> None:
    """One ERROR line, and success, so that it does not come back."""
    function = mirror()
    headers = {"ce-id": "e-1", "ce-type": FINALIZED, "ce-source": "s", "ce-specversion": "1.0"}
    done = function.post(body, {**headers, "ce-time": "2025-11-22T08:26:40.123Z"})
    assert (done.status, done.line["event"], done.line["event_id"]) == (200, "mirror_dropped", "e-1")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "QPI_exports/a\ud800"},
        {"name": "QPI_exports/a\nb"},
        {"timeCreated": "yesterday"},
        {"timeCreated": ""},
        {"timeCreated": "9999-12-31T23:59:59Z"},
        {"generation": str(2**70)},
    ],
)
@pytest.mark.parametrize("structured", [False, True])
def test_a_forged_event_is_dropped_with_its_name(
    mirror: Callable[..., Mirror], changes: dict[str, Any], structured: bool
) -> None:
    """One ERROR line that an encoder takes, and success: it would come again for ever."""
    function = mirror()
    done = function.deliver({**function.put(), **changes}, structured=structured)
    assert (done.status, done.line["event"], done.line["severity"]) == (200, "mirror_dropped", "ERROR")
    assert done.line["object"].startswith(f"gs://{function.paths.migration.source.bucket}/QPI_exports/")
    assert function.paths.names() == []


def test_an_event_from_the_future_is_dropped_with_its_name(mirror: Callable[..., Mirror]) -> None:
    """Its age would never reach the give-up age."""
    function = mirror()
    done = function.deliver(function.put(), time=datetime.now(UTC) + timedelta(days=400))
    assert (done.status, done.line["event"]) == (200, "mirror_dropped")
    assert done.line["object"].endswith(NAME)


def test_a_held_object_is_mirrored(mirror: Callable[..., Mirror]) -> None:
    """A hold protects the source; its copy is new."""
    function = mirror()
    function.put()
    blob = function.paths.bucket("source").blob("QPI_exports/" + NAME)
    blob.temporary_hold = True
    blob.patch()
    assert function.deliver(function.resource()).line["outcome"] == "copied"


def pushed(attributes: dict[str, str], resource: dict[str, Any] | None, **other: Any) -> bytes:
    """A raw Pub/Sub push."""
    message: dict[str, Any] = {"attributes": attributes, "messageId": "m-1", **other}
    if resource is not None:
        message["data"] = base64.b64encode(json.dumps(resource).encode()).decode()
    return json.dumps({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()


def carried(resource: dict[str, Any], form: str, time: str = "") -> dict[str, str]:
    """The attributes of a message about an object: of a CloudEvent, or of a notification."""
    time = time or datetime.now(UTC).isoformat()
    if form == "notification":
        return {
            "eventType": "OBJECT_FINALIZE",
            "bucketId": resource["bucket"],
            "objectId": resource["name"],
            "objectGeneration": str(resource["generation"]),
            "eventTime": time,
        }
    return {
        "ce-id": "e-1",
        "ce-type": FINALIZED,
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{resource['bucket']}",
        "ce-subject": f"objects/{resource['name']}",
        "ce-time": time,
        "ce-specversion": "1.0",
    }


@pytest.mark.parametrize("with_data", [True, False])
@pytest.mark.parametrize("form", ["ce", "notification"])
@pytest.mark.parametrize("name", ["qpi_answers_20240101/user_id_2.jsonl ", "line\u2028end", "\u00e9 \t x"])
def test_a_raw_push_is_unwrapped_and_mirrored(
    mirror: Callable[..., Mirror], form: str, name: str, with_data: bool
) -> None:
    """The form in which an event arrives whose name cannot be a header."""
    function = mirror()
    resource = function.put(name)
    done = function.post(pushed(carried(resource, form), resource if with_data else None), {})
    assert (done.status, done.line["event"], done.line["outcome"]) == (200, "mirrored", "copied")
    assert function.paths.names() == [name]


def test_a_raw_push_that_fails_comes_again(mirror: Callable[..., Mirror]) -> None:
    """As every other event."""
    function = mirror()
    resource = function.put()
    rule = {"method": "storage.objects.rewrite", "count": None, "status": 503}
    function.paths.server.set_faults(rules=[rule])
    for body in (resource, None):
        done = function.post(pushed(carried(resource, "ce"), body), {})
        assert (done.status, done.line["event"]) == (503, "mirror_retry")


@pytest.mark.parametrize("form", ["ce", "notification"])
def test_a_raw_push_that_cannot_be_handled_is_dropped_with_its_object(
    mirror: Callable[..., Mirror], form: str
) -> None:
    """An error status would have it delivered for days."""
    function = mirror()
    resource = {**function.put(), "size": "many"}
    done = function.post(pushed(carried(resource, form), resource), {})
    assert (done.status, done.line["event"]) == (200, "mirror_dropped")
    assert done.line["object"].endswith(NAME)
    late = function.post(pushed(carried(resource, form, "2999-01-01T00:00:00Z"), None), {})
    assert (late.status, late.line["event"]) == (200, "mirror_dropped")
    assert late.line["object"].endswith(NAME)


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("lacking", ["id", "source", "specversion", "type"])
def test_an_event_without_a_required_attribute_is_mirrored_or_named(
    mirror: Callable[..., Mirror], lacking: str, structured: bool
) -> None:
    """A refusal would bring it back for a day, and no line would say which object it is about."""
    function = mirror()
    body, headers = function.event(function.put(), structured=structured)
    if structured:
        body = json.dumps({key: value for key, value in json.loads(body).items() if key != lacking}).encode()
    headers.pop(f"ce-{lacking}", None)
    done = function.post(body, headers)
    expected = (200, "dropped") if lacking == "type" else (200, "copied")
    assert (done.status, done.line["outcome"]) == expected
    assert done.line["object"].endswith(NAME)


@pytest.mark.parametrize(
    "around", [lambda body: body, lambda body: {"context": {"eventId": "1"}, "data": body}]
)
def test_a_body_that_only_names_an_object_is_dropped_with_it(
    mirror: Callable[..., Mirror], around: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """A resource alone, or the event of a function of the first generation: it says not what happened, or not in a known form."""
    function = mirror()
    done = function.post(json.dumps(around(function.put())).encode(), {"Content-Type": "application/json"})
    assert (done.status, done.line["event"]) == (200, "mirror_dropped")
    assert done.line["object"].endswith(NAME)


def test_an_event_without_a_checksum_is_mirrored_once(mirror: Callable[..., Mirror]) -> None:
    """By what the source says."""
    function = mirror()
    resource = {key: value for key, value in function.put().items() if key not in {"crc32c", "md5Hash"}}
    outcomes = [function.deliver(resource).line["outcome"] for _ in range(2)]
    assert outcomes == ["copied", "already_equal"]


def test_a_push_about_nothing_is_dropped(mirror: Callable[..., Mirror]) -> None:
    """It is complete, so another delivery would not change it."""
    for body in (pushed({}, {}), pushed({"a": "b"}, None), pushed({}, None)):
        done = mirror().post(body, {})
        assert (done.status, done.line["event"], "object" in done.line) == (200, "mirror_dropped", False)


def test_an_unreadable_body_is_dropped_with_the_object_of_its_headers(mirror: Callable[..., Mirror]) -> None:
    """The body names nothing, and the headers do."""
    headers = {
        "ce-id": "e-1",
        "ce-type": FINALIZED,
        "ce-specversion": "1.0",
        "ce-subject": "objects/QPI_exports/a",
    }
    source = {
        "ce-source": "//storage.googleapis.com/projects/_/buckets/b",
        "ce-time": "2025-11-22T08:26:40.123Z",
    }
    done = mirror().post(b"[" * 100_000, {**headers, **source})
    assert (done.status, done.line["event"], done.line["object"]) == (
        200,
        "mirror_dropped",
        "gs://b/QPI_exports/a",
    )


def test_a_wrong_configuration_is_said_and_the_event_comes_again(mirror: Callable[..., Mirror]) -> None:
    """No event is lost until it is repaired."""
    function = mirror(MIRROR_DELETES="perhaps")
    done = function.deliver(function.put())
    assert (done.status, done.line["event"], done.line["severity"]) == (
        503,
        "mirror_misconfigured",
        "CRITICAL",
    )
    assert "MIRROR_DELETES is 'perhaps'" in done.line["error"]


def test_the_source_as_destination_is_refused(mirror: Callable[..., Mirror], paths: Paths) -> None:
    """It would trigger itself."""
    function = mirror(MIRROR_DESTINATION=paths.migration.source.uri + "copy/")
    assert "lie within each other" in function.deliver(function.put()).line["error"]


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("GET", b"", 405),
        ("PUT", b"{}", 405),
        ("POST", b"nonsense", 400),
        ("POST", b'{"message": 1}', 400),
        ("POST", b'{"specversion": "\\ud800"}', 400),
    ],
)
def test_what_is_not_a_delivery_is_refused(
    mirror: Callable[..., Mirror], method: str, body: bytes, status: int
) -> None:
    """Neither a CloudEvent nor a push: nothing is logged, because no event is given up."""
    function = mirror()
    assert function.client.post(body, {"Content-Type": "application/json"}, method=method)[0] == status
    assert json_lines(function.capsys.readouterr().out) == []


def test_a_body_that_broke_off_is_refused_without_a_line(mirror: Callable[..., Mirror]) -> None:
    """What came is not the event, and all of it comes again. So it is not given up."""
    function = mirror()
    body, headers = function.event(function.put())
    status, _ = function.client.run(function.client.request(body[:20], headers, complete=False))
    assert (status, json_lines(function.capsys.readouterr().out)) == (400, [])
    assert function.paths.names() == []


# --- deletions ------------------------------------------------------------------------------------------------


def test_a_deletion_is_followed_where_asked_for(mirror: Callable[..., Mirror]) -> None:
    """An erasure request must reach both copies."""
    function = mirror(MIRROR_DELETES="true")
    resource = function.put()
    function.deliver(resource)
    function.paths.delete(NAME)
    done = function.deliver(resource, kind="deleted")
    assert (done.status, done.line["outcome"]) == (200, "deleted")
    assert function.paths.names() == []
    assert function.deliver(resource, kind="deleted").line["because"] == "already gone"


def test_the_delete_event_of_an_overwrite_deletes_nothing(mirror: Callable[..., Mirror]) -> None:
    """Its source is live: it is replicated instead."""
    function = mirror(MIRROR_DELETES="true")
    first = function.put(data=b"one")
    function.deliver(first)
    second = function.put(data=b"two")
    line = function.deliver(first, kind="deleted").line
    assert (line["outcome"], line["source_generation"]) == ("copied", second["generation"])
    assert function.paths.read(NAME) == b"two"


def test_a_deletion_keeps_a_destination_that_holds_something_else(mirror: Callable[..., Mirror]) -> None:
    """Only the copy of the deleted version may go."""
    function = mirror(MIRROR_DELETES="true")
    resource = function.put(data=b"one")
    function.paths.put(NAME, b"somebody's work", side="destination")
    function.paths.delete(NAME)
    done = function.deliver(resource, kind="deleted")
    assert (done.line["event"], done.line["outcome"]) == ("mirror_conflict", "conflict")
    assert function.paths.read(NAME) == b"somebody's work"


@pytest.mark.parametrize("phase", [Phase.CUT_OVER, Phase.DELETING, Phase.DELETED])
def test_after_the_cutover_deletions_are_not_followed(mirror: Callable[..., Mirror], phase: Phase) -> None:
    """Then the legacy path is deleted on purpose, and the new one must stay."""
    function = mirror(MIRROR_DELETES="true")
    resource = function.put()
    function.deliver(resource)
    set_phase(function.paths, phase)
    handler._worker().phases._read = None  # ten seconds later
    function.paths.delete(NAME)
    assert function.deliver(resource, kind="deleted").line["outcome"] == "ignored"
    assert function.paths.read(NAME) == b"one"


# --- marks of late writes -------------------------------------------------------------------------------------


def marked(function: Mirror, since: str = "2000-01-01T00:00:00Z") -> str:
    gateway = handler._worker().gateway
    return newest_late_mark(gateway, function.paths.migration, since)


def test_a_late_write_leaves_a_mark_that_says_when(mirror: Callable[..., Mirror]) -> None:
    """New or overwriting; one mark a minute, so a busy writer leaves few. A write before the cutover has no mark."""
    function = mirror()
    set_phase(function.paths, Phase.CUT_OVER)
    first, _ = function.put("new"), function.deliver(function.put("new"))
    assert first["timeCreated"] <= marked(function)
    assert marked(function, since=marked(function)) == ""
    function.paths.put("both", b"the new path's", side="destination")
    for _ in range(2):
        function.deliver(function.put("both", b"late"))
    folder = function.paths.migration.own_ref("late-writes", "")
    assert 1 <= len([*function.paths.client.list_blobs(folder.bucket, prefix=folder.name)]) <= 2


@pytest.mark.parametrize("phase", [Phase.DUAL_WRITE, Phase.ROLLED_BACK])
def test_where_the_legacy_path_may_be_written_nothing_is_marked(
    mirror: Callable[..., Mirror], phase: Phase
) -> None:
    """Writers there are not late."""
    function = mirror()
    set_phase(function.paths, phase)
    function.deliver(function.put("new"))
    assert marked(function) == ""


def test_what_the_new_path_s_writers_do_is_never_marked(mirror: Callable[..., Mirror]) -> None:
    """Not even where the reverse mirror leaves a conflict alone."""
    function = mirror(MIRROR_REVERSE="true")
    set_phase(function.paths, Phase.CUT_OVER)
    function.paths.put(NAME, b"one", side="destination")
    resource = function.resource(side="destination")
    while function.put(data=b"later")["timeCreated"] == resource["timeCreated"]:
        pass
    assert function.deliver(resource).line["outcome"] == "conflict"
    assert marked(function) == ""


@pytest.mark.parametrize("contexts", [False, True])
def test_a_late_write_is_marked_by_the_next_delivery_when_its_mark_could_not_be_written(
    mirror: Callable[..., Mirror], contexts: bool
) -> None:
    """By then the object has been copied, and is found equal. The published event has no object contexts."""
    function = mirror()
    set_phase(function.paths, Phase.CUT_OVER)
    resource = function.put()
    if contexts:
        set_contexts(function, resource)
    function.paths.server.set_faults(rules=[{"method": "storage.objects.insert", "status": 403}])
    assert function.deliver(resource).status == 503
    assert function.paths.read(NAME) == b"one"
    assert marked(function) == ""
    assert function.deliver(resource).line["outcome"] == "already_equal"
    assert marked(function) == resource["timeCreated"]


@pytest.mark.parametrize("again", [b"one", b"two"])
def test_what_the_way_back_brought_is_never_marked(mirror: Callable[..., Mirror], again: bytes) -> None:
    """Not even where the new path has been written once more by the time that its event arrives."""
    function = mirror()
    set_phase(function.paths, Phase.CUT_OVER)
    function.paths.put(NAME, b"one", side="destination")
    brought_back = function.put()
    assert function.deliver(brought_back).line["outcome"] == "already_equal"
    if again != b"one":
        function.paths.put(NAME, again, side="destination")
        assert function.deliver(brought_back).line["outcome"] == "conflict"
    assert marked(function) == ""


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"created": "later"}', '{"created": null}', "\xff"])
def test_a_damaged_mark_is_never_taken_for_silence(mirror: Callable[..., Mirror], text: str) -> None:
    """The error names the object."""
    function = mirror()
    function.put()
    function.deliver(function.put())
    at = function.paths.migration.own_ref("late-writes", "20270101T0000Z.json")
    function.paths.client.bucket(at.bucket).blob(at.name).upload_from_string(text.encode("latin-1"))
    with pytest.raises(StorageError, match=r"20270101T0000Z\.json: is not a mark"):
        marked(function)


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        (
            {"traceparent": "00-105445aa7843bc8bf206b12000100000-00f067aa0ba902b7-01"},
            "105445aa7843bc8bf206b12000100000",
        ),
        (
            {"X-Cloud-Trace-Context": "a/1;o=1", "traceparent": "00-b-00f067aa0ba902b7-01"},
            "a",
        ),
        ({"traceparent": "nonsense"}, None),
        ({}, None),
    ],
    ids=["W3C", "both", "nonsense", "none"],
)
def test_a_line_is_tied_to_its_request_s_trace(
    mirror: Callable[..., Mirror], headers: dict[str, str], trace: str | None
) -> None:
    """Google's own header first, then the W3C's; without a trace there is no such field."""
    function = mirror(GOOGLE_CLOUD_PROJECT="my-project")
    line = function.deliver(function.put(), **headers).line
    wanted = None if trace is None else f"projects/my-project/traces/{trace}"
    assert line.get("logging.googleapis.com/trace") == wanted


# --- the forms in which events come ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["push", "mixed", "notification"])
def test_whatever_the_form_a_real_function_mirrors_every_name(
    paths: Paths, tmp_path: Path, form: str
) -> None:
    """Events of a real server at a real function, with names that no header carries."""
    names = ["plain", "ends in a space ", " begins with one", "tab\t", "line\u2028", "é", "%41"]
    with running_function(paths.server.url, paths.migration, tmp_path / "mirror.log") as function:
        source = paths.migration.source.bucket
        subscriber = paths.server.add_subscriber(function.url, types=["finalized"], bucket=source, form=form)
        for name in names:
            paths.put(name, name.encode())
        paths.server.wait_for_events()
        paths.server.remove_subscriber(subscriber)
    assert sorted(paths.names()) == sorted(names)


def test_an_event_under_way_is_handled_when_the_process_is_asked_to_stop(
    paths: Paths, tmp_path: Path
) -> None:
    """Cloud Run sends SIGTERM to an instance that it takes away."""
    paths.put(NAME, b"one")
    resource = dict(paths.bucket("source").get_blob(f"QPI_exports/{NAME}")._properties)
    with running_function(paths.server.url, paths.migration, tmp_path / "mirror.log") as function:
        paths.server.reset_stats()
        paths.server.set_faults(latency_ms=300)
        body, headers = Mirror.event(resource)
        delivery = Request(function.url, data=body, headers=headers)  # noqa: S310 -- our own process
        with ThreadPoolExecutor() as threads:
            answer = threads.submit(build_opener(ProxyHandler({})).open, delivery)
            wait_until(paths.server.stats, lambda stats: stats["requests"] > 0, "a request of the mirror's")
            function.stop(SIGTERM)
            assert answer.result().status == 200
    paths.server.clear_faults()
    assert paths.read(NAME) == b"one"
    assert [line["event"] for line in function.lines()] == ["mirrored"]


def test_the_project_that_pays_is_the_mirror_s(mirror: Callable[..., Mirror], paths: Paths) -> None:
    """Without it the event comes again, and the line says what is missing."""
    paths.put(NAME, b"one")
    function = mirror(MIRROR_BILLING_PROJECT="who-pays")
    resource = function.resource()
    for location in (paths.migration.source, paths.migration.destination):
        bucket = paths.client.bucket(location.bucket)
        bucket.requester_pays = True
        bucket.patch()
    assert function.deliver(resource).line["outcome"] == "copied"
    function.client.run(handler._worker().close())
    handler._worker.cache_clear()
    done = mirror(MIRROR_BILLING_PROJECT="").deliver(resource)
    assert (done.status, done.line["event"]) == (503, "mirror_retry")
    assert "MIRROR_BILLING_PROJECT" in done.line["error"]

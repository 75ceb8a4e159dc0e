"""The command ``smoke``, as its user meets it, and what it makes of rights and buckets."""

import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from google_apis import Apis, serving
from testing_commands import Ended, run_command, where
from testing_paths import Paths

from backfill_job.bucket_settings import bucket_checks
from backfill_job.checks import Standing, failed, not_run, passed, show_lines
from backfill_job.gate.canary import canary_name
from backfill_job.rights import CANARY_FOLDER, RIGHTS, Area, Part, Role, location_of
from backfill_job.run.late_console import LateConsole
from backfill_job.smoke.held import AROUND, ASKED, rights_checks
from shared.gateway import Gateway
from shared.migration import Environment, qpi_exports
from shared.phase import Phase
from shared.record import update
from shared.state_changes import Stamp, with_phase

Smoke = Callable[..., Ended]


@pytest.fixture
def run_smoke(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Smoke:
    """Runs the command on the test's own pair of prefixes; `pause` is called wherever it would wait."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)

    def run(*arguments: str, pause: Callable[[], None] = lambda: None, **environ: str) -> Ended:
        return run_command("smoke", *where(paths), *arguments, sleep=lambda _: pause(), environ=environ)

    return run


def points_of(ended: Ended) -> dict[str, dict[str, str]]:
    return {point["name"]: point for point in json.loads(ended.out)["checks"]}


def test_a_project_without_faults_is_fit_and_what_wants_attention_is_said(
    run_smoke: Smoke, paths: Paths
) -> None:
    """The local server permits everything, which is more than anybody needs, and is no reason to fail."""
    paths.put("qpi_answers_20250301/user_id_1.jsonl")
    ended = run_smoke()
    assert (ended.code, ended.err) == (0, "")
    assert "FIT; 9 checks with advice" in ended.out
    assert len(ended.out.splitlines()) <= 15
    assert re.search(r"(?m)^PASS     \d+ checks \(--details\)$", ended.out)
    assert ended.out.count("         take it away, or use the part's own account\n") == 1
    details = run_smoke("--details").out
    assert "more than the part operator needs:" in details
    assert "\nPASS     new bucket: Autoclass: off\n" in details


def test_nothing_is_changed_without_a_canary(run_smoke: Smoke, paths: Paths) -> None:
    """Reading and asking only, and requests that cannot succeed where there is no object to ask about."""
    run_smoke()
    stats = paths.server.stats()["methods"]
    for read in ("buckets.get", "buckets.testIamPermissions", "objects.list", "objects.testIamPermissions"):
        assert stats.pop(f"storage.{read}")["by_status"].keys() <= {"200", "404"}
    assert {method: {*found["by_status"]} for method, found in stats.items()} == {
        "storage.objects.get": {"404"},
        "storage.objects.insert": {"412"},
        "storage.objects.delete": {"404"},
        "storage.objects.restore": {"404"},
        "storage.objects.patch": {"404"},
    }


def inserted(paths: Paths) -> int:
    """Objects that were written; those that cannot be are refused."""
    return int(paths.server.stats()["methods"]["storage.objects.insert"]["by_status"].get("200", 0))


def test_in_a_job_the_result_is_one_line_for_cloud_logging(run_smoke: Smoke) -> None:
    """With a severity that alerts can see, and the same points."""
    ended = run_smoke("--part=backfill", CLOUD_RUN_JOB="j", CLOUD_RUN_EXECUTION="e")
    (line,) = ended.out.splitlines()
    content = json.loads(line)
    assert (content["severity"], content["fit"]) == ("INFO", True)
    assert content["message"].startswith("smoke of backfill: FIT")


def test_a_bucket_that_is_not_there_is_one_line_and_exit_code_2(run_smoke: Smoke) -> None:
    """Nothing can be said of it."""
    ended = run_smoke("--source=gs://nowhere-at-all/x/")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("smoke: gs://nowhere-at-all: no such bucket")


def test_an_operator_who_cannot_read_the_buckets_is_told(run_smoke: Smoke, paths: Paths) -> None:
    """A refusal is a point that failed, never a bucket without faults."""
    paths.server.set_faults(rules=[{"method": "storage.buckets.get", "count": None, "status": 403}])
    ended = run_smoke("--json")
    assert ended.code == 1
    assert points_of(ended)["buckets"]["standing"] == "FAIL"
    assert points_of(run_smoke("--json", "--part=deletion"))["buckets"]["standing"] == "FAIL"
    other = run_smoke("--json", "--part=mirror")
    assert (other.code, "buckets" in points_of(other), "location" in points_of(other)) == (0, False, False)


def test_rights_on_objects_that_the_service_will_not_tell_are_tried(run_smoke: Smoke, paths: Paths) -> None:
    """By requests that cannot succeed: nothing is written. Where these fail as well, the rights are not known."""
    paths.put("a.jsonl")
    untold = {"method": "storage.objects.testIamPermissions", "count": None, "status": 400}
    no_create = {
        "method": "storage.objects.insert",
        "count": None,
        "status": 403,
        "name_prefix": "QPI_exports/",
    }
    before = paths.names(side="source")
    for more, standing, evidence in (
        ((), "PASS", "more than the part backfill needs: storage.objects.create"),
        ((no_create,), "PASS", "more than the part backfill needs: storage.objects.delete"),
        (
            ({**no_create, "method": "storage.objects.delete", "status": 400},),
            "NOT RUN",
            "not known",
        ),
    ):
        paths.server.set_faults(rules=[untold, *more])
        point = points_of(run_smoke("--json", "--part=backfill"))["rights on the legacy path"]
        assert (point["standing"], point["evidence"][: len(evidence)]) == (standing, evidence)
    assert paths.names(side="source") == before


def test_a_service_in_trouble_is_one_line_and_exit_code_1(run_smoke: Smoke, paths: Paths) -> None:
    """An error is never read as a right that is missing, or as one that is held."""
    rule = {"method": "storage.buckets.testIamPermissions", "count": None, "status": 400}
    paths.server.set_faults(rules=[rule])
    ended = run_smoke()
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("smoke: gs://")


class TestCanary:
    """One object through the mirror."""

    def test_a_mirror_that_works(self, run_smoke: Smoke, paths: Paths, gateway: Gateway) -> None:
        """It arrives and both are removed."""
        once = threading.Event()

        def mirror() -> None:
            for name in paths.names(side="source"):
                if not once.is_set():
                    once.set()
                    source, destination = (
                        paths.migration.source_ref(name),
                        paths.migration.destination_ref(name),
                    )
                    seen = gateway.look(source)
                    assert seen is not None
                    gateway.copy(source, destination, if_source=seen.generation, if_destination=0)

        ended = run_smoke("--json", "--canary", pause=mirror)
        point = points_of(ended)["canary"]
        assert (ended.code, point["standing"]) == (0, "PASS"), point
        assert "arrived after" in point["evidence"]
        assert (paths.names(side="source"), paths.names()) == ([], [])

    def test_no_mirror(self, run_smoke: Smoke, paths: Paths) -> None:
        """It does not arrive: exit code 1, what to look at, and nothing is left."""
        ended = run_smoke("--canary=1")
        assert ended.code == 1
        assert "had not\n         arrived after 1 s" in ended.out
        assert "NOT FIT: 1 check did not pass" in ended.out
        assert "is the mirror deployed" in ended.out
        assert paths.names(side="source") == []

    def test_stopped(self, run_smoke: Smoke, paths: Paths) -> None:
        """Ctrl-C while the canary is waited for: one line, and the canary is removed all the same."""
        signals = iter([signal.SIGINT])

        def pause() -> None:
            for number in signals:
                signal.raise_signal(number)

        ended = run_smoke("--canary", pause=pause)
        assert (ended.code, ended.err) == (1, "smoke: stopped by SIGINT before its end\n")
        assert paths.names(side="source") == paths.names() == []

    def test_no_right_to_write(self, run_smoke: Smoke, paths: Paths) -> None:
        """The refusal is the evidence."""
        paths.server.set_faults(rules=[{"method": "storage.objects.insert", "count": None, "status": 403}])
        point = points_of(run_smoke("--json", "--canary"))["canary"]
        assert point["standing"] == "FAIL"
        assert "permission denied" in point["evidence"]

    def test_left_out(self, run_smoke: Smoke, paths: Paths) -> None:
        """A canary that the migration leaves out could never arrive: it is not sent."""
        ended = run_smoke("--canary", "--exclude=*.txt")
        assert (ended.code, ended.out) == (2, "")
        assert inserted(paths) == 0


class TestRights:
    """What is held against what is needed; pure."""

    @pytest.mark.parametrize("part", Part)
    def test_what_the_deployment_grants_is_what_smoke_wants(self, part: Part) -> None:
        """An account with exactly its rights has no point that fails or wants attention."""
        assert {(one.standing, one.next_step) for one in rights_checks(part, granted(part))} == {
            (Standing.PASS, "")
        }

    @pytest.mark.parametrize("right", RIGHTS, ids=lambda right: f"{right.part.value}-{right.area.name}")
    def test_each_permission_is_missed(self, right: Any) -> None:
        """Whatever single permission is taken away, the area that needs it fails and names it."""
        for permission in right.role.permissions:
            held = granted(right.part)
            held[right.area] = held[right.area] - {permission}
            bad = [one for one in rights_checks(right.part, held) if one.standing is Standing.FAIL]
            assert [(one.name, one.evidence) for one in bad] == [
                (f"rights on {right.area.value}", f"missing: {permission}")
            ]

    @pytest.mark.parametrize("area", Area)
    def test_each_permission_too_many_is_seen(self, area: Area) -> None:
        """In every area, also where the part needs nothing at all."""
        held = granted(Part.STATUS)
        held[area] = held[area] | {"storage.objects.setIamPolicy"}
        points = [one for one in rights_checks(Part.STATUS, held) if one.next_step and not one.blocks]
        assert [one.name for one in points] == [f"rights on {area.value}"]

    def test_only_the_way_back_and_the_deletion_may_delete_on_the_legacy_path(self) -> None:
        """The backfill cannot, nor the mirror, nor an operator beyond the canary's folder; nobody can in the whole bucket."""
        migration = qpi_exports(Environment.PROD)
        legacy = migration.source.bucket
        deleters = {
            (right.part, right.area)
            for right in RIGHTS
            if "storage.objects.delete" in right.role.permissions
            and location_of(right.area, migration).bucket == legacy
        }
        assert deleters == {
            (Part.DELETION, Area.LEGACY_PATH),
            (Part.DELETION, Area.REHEARSAL),
            (Part.REVERSE, Area.LEGACY_PATH),
            (Part.OPERATOR, Area.CANARY),
        }

    def test_whoever_looks_may_list(self) -> None:
        """Without listing, an absent object is answered with 403, and could not be told from a refusal."""
        sides = {
            Area.LEGACY_BUCKET: {Area.LEGACY_PATH, Area.CANARY, Area.RECORDS, Area.REHEARSAL},
            Area.NEW_BUCKET: {Area.NEW_PATH, Area.OWN, Area.MARKS},
        }
        for part in Part:
            areas = {right.area for right in RIGHTS if right.part is part}
            listed = {
                right.area
                for right in RIGHTS
                if right.part is part and "storage.objects.list" in right.role.permissions
            }
            assert listed == {bucket for bucket, within in sides.items() if areas & within}, part

    def test_the_canary_s_folder_is_the_gate_s(self) -> None:
        """What the deployment grants there is granted for the gate's canaries."""
        assert canary_name("run", "token").startswith(CANARY_FOLDER)

    def test_every_role_holds_only_what_is_asked_about(self) -> None:
        """A permission that smoke does not ask about could be missing unseen."""
        assert {name for role in Role for name in role.permissions} <= set(ASKED)


def granted(part: Part) -> dict[Area, Any]:
    """What the deployment's bindings give a part in each area."""
    return {
        area: frozenset(
            name
            for right in RIGHTS
            if right.part is part and right.area in (area, AROUND.get(area))
            for name in right.role.permissions
        )
        for area in Area
    }


GOOD: dict[str, Any] = {
    "name": "b",
    "location": "EU",
    "locationType": "multi-region",
    "storageClass": "STANDARD",
    "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
    "softDeletePolicy": {"retentionDurationSeconds": "604800"},
}


DEV = qpi_exports(Environment.DEV)


def deleting(condition: dict[str, Any]) -> dict[str, Any]:
    """A lifecycle with one rule that deletes."""
    return {"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": condition}]}}


class TestBuckets:
    """What a configuration means; pure."""

    def test_the_usual_buckets(self) -> None:
        """Nothing to say against them."""
        assert {(one.standing, one.next_step) for one in bucket_checks(GOOD, GOOD, DEV)} == {
            (Standing.PASS, "")
        }

    @pytest.mark.parametrize(
        ("side", "change", "name", "standing"),
        [
            ("legacy", {"location": "US"}, "location", Standing.PASS),
            ("new", {"locationType": "region"}, "location", Standing.PASS),
            ("legacy", {"storageClass": "NEARLINE"}, "storage class", Standing.PASS),
            ("new", {"storageClass": "NEARLINE"}, None, None),
            ("legacy", {"iamConfiguration": {}}, "legacy bucket: uniform access", Standing.FAIL),
            ("new", {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": False}}}, "new bucket: uniform access", Standing.FAIL),
            ("legacy", {"billing": {"requesterPays": True}}, "legacy bucket: requester pays", Standing.FAIL),
            ("new", {"billing": {"requesterPays": True}}, "new bucket: requester pays", Standing.FAIL),
            ("legacy", {"retentionPolicy": {"retentionPeriod": "86400"}}, "legacy bucket: retention and holds", Standing.PASS),
            ("new", {"retentionPolicy": {"retentionPeriod": "1"}}, "new bucket: retention and holds", Standing.FAIL),
            ("legacy", {"defaultEventBasedHold": True}, "legacy bucket: retention and holds", Standing.PASS),
            ("new", {"defaultEventBasedHold": True}, "new bucket: retention and holds", Standing.FAIL),
            ("new", {"encryption": {"defaultKmsKeyName": "projects/p/k"}}, "new bucket: encryption", Standing.PASS),
            ("legacy", deleting({"age": 1}), "legacy bucket: lifecycle", Standing.PASS),
            ("legacy", deleting({"age": 1, "matchesPrefix": ["other/"]}), None, None),
            ("new", {"lifecycle": {"rule": [{"action": {"type": "AbortIncompleteMultipartUpload"}}]}}, None, None),
            ("new", {"lifecycle": {"rule": [{"action": {"type": "SetStorageClass"}}]}}, "new bucket: rules that change the class", Standing.PASS),
            ("legacy", {"autoclass": {"enabled": True}}, "legacy bucket: Autoclass", Standing.PASS),
            ("new", {"autoclass": {"enabled": True}}, "new bucket: Autoclass", Standing.PASS),
            ("legacy", {"hierarchicalNamespace": {"enabled": True}}, "legacy bucket: hierarchical namespace", Standing.PASS),
            ("new", {"hierarchicalNamespace": {"enabled": True}}, "new bucket: hierarchical namespace", Standing.PASS),
            ("new", deleting({"age": 1, "matchesPrefix": ["_migration/"]}), "record-lifecycle", Standing.FAIL),
            ("new", deleting({"age": 1, "matchesPrefix": ["qpi_exports/qpi_answers_2019"]}), "path-lifecycle", Standing.FAIL),
            ("new", deleting({"daysSinceCustomTime": 1, "matchesPrefix": ["_migration/"]}), "path-lifecycle", Standing.FAIL),
            ("legacy", {"softDeletePolicy": {"retentionDurationSeconds": "0"}}, "legacy bucket: soft delete", Standing.PASS),
            ("legacy", {"softDeletePolicy": {"retentionDurationSeconds": "86400"}}, "legacy bucket: soft delete", Standing.PASS),
            ("new", {"softDeletePolicy": {}}, "new bucket: soft delete", Standing.PASS),
            ("legacy", {"versioning": {"enabled": True}}, "legacy bucket: versioning", Standing.PASS),
            ("new", {"versioning": {"enabled": True}}, None, None),
        ],
    )  # fmt: skip
    def test_each_setting(
        self, side: str, change: dict[str, Any], name: str | None, standing: Standing | None
    ) -> None:
        """One setting, one check that fails or gives advice; the others pass without."""
        legacy, new = (GOOD | change if side == one else GOOD for one in ("legacy", "new"))
        checks = [one for one in bucket_checks(legacy, new, DEV) if one.next_step]
        assert [(one.name, one.standing) for one in checks] == ([(name, standing)] if name else [])


@pytest.mark.parametrize(
    ("arguments", "environ", "json_wanted"),
    [((), {}, False), (("--json",), {}, True), ((), {"CLOUD_RUN_JOB": "job"}, True)],
    ids=["a person", "asked for", "in a job"],
)
def test_a_program_gets_json_and_a_person_a_table(
    run_smoke: Smoke, paths: Paths, arguments: tuple[str, ...], environ: dict[str, str], json_wanted: bool
) -> None:
    """A job's log is read by programs, so there the one JSON line needs no argument."""
    paths.put("qpi_answers_20250301/user_id_1.jsonl")
    ended = run_smoke(*arguments, **environ)
    assert ended.code == 0
    if json_wanted:
        (line,) = ended.out.splitlines()
        content = json.loads(line)
        assert (content["severity"], content["fit"]) == ("INFO", True)
        assert content["message"] == "smoke of operator: FIT; 9 checks with advice"
    else:
        assert ended.out.splitlines()[-2] == "FIT; 9 checks with advice."


def test_after_the_cutover_no_canary_is_sent(run_smoke: Smoke, paths: Paths, gateway: Gateway) -> None:
    """It would be taken for a late writer's: that is said, nothing is written, and it is no reason to fail."""
    stamp = Stamp("c", "Ada", datetime.now(UTC))
    update(gateway, paths.migration, lambda state: with_phase(state, Phase.CUT_OVER, stamp))
    paths.server.reset_stats()
    ended = run_smoke("--json", "--canary", "1")
    assert ended.code == 0
    assert points_of(ended)["canary"] == {
        "name": "canary",
        "standing": "NOT APPLICABLE",
        "evidence": "not sent: in phase cut_over it would be taken for a late writer's",
        "next_step": "",
    }
    assert inserted(paths) == 0


def test_a_canary_that_is_excluded_is_not_sent(run_smoke: Smoke, paths: Paths) -> None:
    """It could never arrive."""
    ended = run_smoke("--canary", "1", "--exclude", "_canary/*")
    assert (ended.code, "it could never arrive" in ended.err) == (2, True)
    assert paths.names(side="source") == []


@pytest.fixture
def apis() -> Iterator[tuple[Apis, str]]:
    """Google's other APIs, and their address."""
    answers = Apis()
    with serving(answers) as url:
        yield answers, url


def line(**changes: Any) -> dict[str, Any]:
    """The mirror's line about a canary, as Cloud Logging has it."""
    resource = {"type": "cloud_run_revision", "labels": {"service_name": "qpi-exports-mirror-custom"}}
    payload = {"event": "mirrored", "outcome": "copied", "lag_s": 1.5}
    entry = {"severity": "INFO", "resource": resource, "jsonPayload": payload}
    for name, value in changes.items():
        (payload if name in payload else resource if name == "type" else entry)[name] = value
    return entry


class TestObserve:
    """What is seen of a canary in logs and metrics."""

    @pytest.fixture
    def observed(
        self, run_smoke: Smoke, paths: Paths, gateway: Gateway, apis: tuple[Apis, str]
    ) -> Callable[..., Ended]:
        """Sends a canary through a mirror that works, and observes."""
        once = threading.Event()

        def mirror() -> None:
            for name in paths.names(side="source"):
                if not once.is_set():
                    once.set()
                    source, to = paths.migration.source_ref(name), paths.migration.destination_ref(name)
                    seen = gateway.look(source)
                    assert seen is not None
                    gateway.copy(source, to, if_source=seen.generation, if_destination=0)

        def run(*arguments: str) -> Ended:
            once.clear()
            words = ("--json", "--canary", "--observe=20", "--project=p", *arguments)
            return run_smoke(*words, pause=mirror, QPI_EXPORTS_APIS=apis[1])

        return run

    def test_line_and_point_are_seen(self, observed: Callable[..., Ended], apis: tuple[Apis, str]) -> None:
        """Both come late. The questions name the project, the canary, the metric and the service."""
        answers, _ = apis
        answers.late, answers.entries = 2, [line(event="mirror_retry"), line()]
        answers.series = [{"points": [{"value": {"int64Value": "1"}}]}]
        points = points_of(observed())
        assert [points[name]["standing"] for name in ("line in Cloud Logging", "point of the metric")] == [
            "PASS"
        ] * 2
        (logs, wanted), (metrics, _) = answers.asked[0], answers.asked[-1]
        assert (logs, json.loads(wanted)["resourceNames"]) == ("/v2/entries:list", ["projects/p"])
        assert "QPI_exports/_canary/smoke-" in json.loads(wanted)["filter"]
        assert metrics.startswith("/v3/projects/p/timeSeries?filter=metric.type")
        assert "qpi_exports_mirror_events" in metrics
        assert "qpi-exports-mirror-custom" in metrics

    @pytest.mark.parametrize(
        ("changed", "evidence"),
        [
            ({"type": "cloud_function"}, "resource.type is 'cloud_function', not 'cloud_run_revision'"),
            ({"severity": "DEFAULT"}, "severity is 'DEFAULT', not 'INFO'"),
            ({"lag_s": "1.5"}, "jsonPayload.lag_s is '1.5', not 'a number'"),
            ({"outcome": "dropped"}, "jsonPayload.outcome is 'dropped', not 'copied'"),
        ],
    )
    def test_a_line_that_the_metrics_do_not_count(
        self, observed: Callable[..., Ended], apis: tuple[Apis, str], changed: dict[str, Any], evidence: str
    ) -> None:
        """What is not as the filters expect it is named."""
        apis[0].entries = [line(**changed)]
        ended = observed()
        check = points_of(ended)["line in Cloud Logging"]
        assert (ended.code, check["standing"], check["evidence"]) == (1, "FAIL", evidence)

    def test_nothing_is_seen(self, observed: Callable[..., Ended], apis: tuple[Apis, str]) -> None:
        """After the time is up both fail; a refusal is not an absence."""
        names = ("line in Cloud Logging", "point of the metric")
        found = points_of(observed())
        assert [found[name]["evidence"] for name in names] == ["not seen within 20 s"] * 2
        apis[0].refused = 403
        found = points_of(observed())
        assert {found[name]["standing"] for name in names} == {"NOT RUN"}
        assert (
            "logging.googleapis.com answers 403: the caller has no permission" in found[names[0]]["evidence"]
        )


def test_every_part_is_asked_about_itself(run_smoke: Smoke, paths: Paths, apis: tuple[Apis, str]) -> None:
    """As its own account; one that cannot be impersonated is not run, and is no reason to stop."""
    answers, url = apis
    ended = run_smoke("--json", "--part=all", "--impersonate={part}@p.iam", QPI_EXPORTS_APIS=url)
    accounts = [path.split("/")[-1] for path, _ in answers.asked]
    assert accounts == [f"{part.value}@p.iam:generateAccessToken" for part in Part]
    parts = {name.partition(": ")[0] for name in points_of(ended)}
    assert (ended.code, parts) == (0, {part.value for part in Part})
    answers.refused = 403
    ended = run_smoke("--json", "--part=all", "--impersonate={part}@p.iam", QPI_EXPORTS_APIS=url)
    assert (ended.code, {check["standing"] for check in points_of(ended).values()}) == (1, {"NOT RUN"})


def test_the_screen_has_80_columns_and_what_blocks_first() -> None:
    """What to do stands under its check, and a command in it can be pasted."""
    screen = StringIO()
    console = LateConsole(screen, 200)
    command = f"gcloud storage buckets update gs://{'b' * 60} --uniform-bucket-level-access"
    show_lines(
        console,
        [
            passed("fine", " ".join(["word"] * 20)),
            passed("odd", "seen", "take it away"),
            failed("bad", "one\ntwo \x1b[31m", f"turn it on: {command}, once that is right"),
        ],
    )
    assert screen.getvalue().splitlines() == [
        "FAIL     bad: one",
        "         two \\x1b[31m",
        "         turn it on",
        f"         {command}",
        "         once that is right",
        "ADVICE   odd: seen",
        "         take it away",
        "PASS     fine",
    ]
    damaged = "the record is damaged", "restore it"
    show_lines(
        console, [not_run("phase", *damaged), not_run("names", *damaged), not_run("alone", "why", "x")]
    )
    assert screen.getvalue().splitlines()[8:] == [
        "NOT RUN  phase, names: the record is damaged",
        "         restore it",
        "NOT RUN  alone: why",
        "         x",
    ]
    show_lines(console, [passed("fine", "with its evidence, as nothing blocks")])
    assert screen.getvalue().endswith("\nPASS     fine: with its evidence, as nothing blocks\n")

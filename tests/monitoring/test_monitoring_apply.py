"""Applying the files: the official clients against the services in this process. Twice is once, and what is not ours stays."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fake_services import PROJECT, FakeProject, serving
from google.api_core import exceptions
from google.auth.exceptions import TransportError
from google.cloud import monitoring_dashboard_v1 as boards
from google.cloud import monitoring_v3
from google.cloud.logging_v2.types import LogMetric

from monitoring import apply
from monitoring.files import ProjectValues, load_files
from monitoring.services import PATIENCE, Services

ARGUMENTS = [
    "--env",
    "dev",
    "--project",
    "proj-1",
    "--region",
    "europe-west1",
    "--runbook",
    "https://example.com/a.md",
]
CHANNEL = f"{PROJECT}/notificationChannels/77"
RESOURCES = load_files(
    ProjectValues.of("dev", "proj-1", "europe-west1", "https://example.com/a.md").by_name()
)
METRICS, ALERTS = len(RESOURCES.metrics), len(RESOURCES.alerts)
ALL = METRICS + 1 + ALERTS
"""The files decide how many resources a project gets: metrics, the dashboard, alerts."""


@dataclass
class Applied:
    project: FakeProject
    clients: Services
    capsys: pytest.CaptureFixture[str]
    waited: list[float] = field(default_factory=list)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Apply; gives the exit code and what was printed."""
        self.project.writes.clear()
        out = io.StringIO()
        code = apply.main([*ARGUMENTS, *arguments], lambda: self.clients, out, self.waited.append)
        return code, out.getvalue() + self.capsys.readouterr().err


@pytest.fixture
def applied(capsys: pytest.CaptureFixture[str]) -> Iterator[Applied]:
    project = FakeProject()
    with serving(project) as clients:
        yield Applied(project, clients, capsys)


def counts(project: FakeProject) -> tuple[int, int, int]:
    return len(project.metrics), len(project.dashboards), len(project.alerts)


def test_an_empty_project_gets_everything_metrics_first(applied: Applied) -> None:
    """A policy that names a metric which is not there yet would be refused."""
    code, out = applied.run("--channel", CHANNEL)
    assert code == 0, out
    assert counts(applied.project) == (METRICS, 1, ALERTS)
    assert f"{ALL} create" in out.splitlines()[-1]
    kinds = [write.split()[1] for write in applied.project.writes]
    assert kinds == ["metric"] * METRICS + ["dashboard"] + ["alert"] * ALERTS
    for policy in applied.project.alerts.values():
        assert dict(policy.user_labels) | {"content": ""} == {
            "managed-by": "qpi-exports-migration",
            "env": "dev",
            "policy": policy.user_labels["policy"],
            "content": "",
        }
        assert list(policy.notification_channels) == [CHANNEL]
        assert "${" not in policy.documentation.content


def test_a_second_application_changes_nothing(applied: Applied) -> None:
    """Although the services answer with names, times and defaults that no file says."""
    applied.run()
    code, out = applied.run()
    assert (code, applied.project.writes) == (0, [])
    assert out == f"{ALL} unchanged\n"


def test_a_dry_run_prints_the_difference_and_needs_no_right_to_write(applied: Applied) -> None:
    """First everything; after an application nothing; after a change by hand that change only."""
    applied.project.may_write = False
    code, out = applied.run("--dry-run")
    assert (code, applied.project.writes, counts(applied.project)) == (0, [], (0, 0, 0))
    assert "create metric qpi_exports_mirror_lag_seconds" in out
    assert "  +valueExtractor: EXTRACT(jsonPayload.lag_s)" in out
    assert out.endswith(f"{ALL} create; nothing was changed\n")
    applied.project.may_write = True
    applied.run()
    applied.project.alert("ledger-break").severity = monitoring_v3.AlertPolicy.Severity.WARNING
    code, out = applied.run("--dry-run")
    changed = [line.strip() for line in out.splitlines() if line.startswith(("  -", "  +"))]
    assert [line for line in changed if not line.startswith(("---", "+++"))] == [
        "-severity: WARNING",
        "+severity: CRITICAL",
    ]
    assert out.endswith(f"1 update, {ALL - 1} unchanged; nothing was changed\n")


def test_what_somebody_changed_by_hand_is_put_back(applied: Applied) -> None:
    """In each of the three services, and nothing else is written."""
    applied.run()
    applied.project.metrics["qpi_exports_ledger_breaks"].filter = "severity>=ERROR"
    (board,) = applied.project.dashboards.values()
    board.mosaic_layout.tiles[3].widget.title = "Something else"
    applied.project.alert("deletion-outside-manifest").enabled = False
    code, out = applied.run()
    assert code == 0, out
    assert applied.project.writes == [
        "update metric qpi_exports_ledger_breaks",
        "update dashboard",
        "update alert deletion-outside-manifest",
    ]
    assert applied.run() == (0, f"{ALL} unchanged\n")


def test_a_key_taken_out_of_a_file_is_taken_out_of_the_project(applied: Applied) -> None:
    """What the file no longer says is not in the comparison, but in the fingerprint; here: the channels."""
    applied.run("--channel", CHANNEL)
    code, out = applied.run()
    assert code == 0
    assert f"{ALERTS} update, {METRICS + 1} unchanged" in out
    assert all(not policy.notification_channels for policy in applied.project.alerts.values())


def test_what_others_made_stays_as_it_is(applied: Applied) -> None:
    """Other metrics, dashboards, policies, and another environment's."""
    applied.project.metrics["requests"] = LogMetric(name="requests", filter="severity>=ERROR")
    applied.project.dashboards[f"{PROJECT}/dashboards/x"] = boards.Dashboard(name=f"{PROJECT}/dashboards/x")
    other = boards.Dashboard(
        name=f"{PROJECT}/dashboards/qpi-exports-migration-stg", labels={"managed-by": "qpi-exports-migration"}
    )
    applied.project.dashboards[other.name] = other
    theirs = monitoring_v3.AlertPolicy(name=f"{PROJECT}/alertPolicies/x", display_name="theirs")
    applied.project.alerts[theirs.name] = theirs
    stage = monitoring_v3.AlertPolicy(
        name=f"{PROJECT}/alertPolicies/y",
        user_labels={"managed-by": "qpi-exports-migration", "env": "stg", "policy": "ledger-break"},
    )
    applied.project.alerts[stage.name] = stage
    before = {**applied.project.metrics, **applied.project.dashboards, **applied.project.alerts}
    code, out = applied.run()
    assert (code, "left over" in out) == (0, False)
    after = {**applied.project.metrics, **applied.project.dashboards, **applied.project.alerts}
    assert before.items() <= after.items()


def test_a_metric_of_our_name_that_somebody_else_made_stops_everything(applied: Applied) -> None:
    """Before anything is changed, with exit code 2."""
    applied.project.metrics["qpi_exports_errors"] = LogMetric(
        name="qpi_exports_errors", filter="severity>=ERROR"
    )
    code, out = applied.run()
    assert (code, applied.project.writes) == (2, [])
    assert "projects/proj-1/metrics/qpi_exports_errors is there, and this software did not make it" in out


def test_what_no_file_makes_any_more_is_named_and_stays(applied: Applied) -> None:
    """Nothing is ever deleted."""
    applied.run()
    policy = applied.project.alert("backfill-task-failed")
    policy.user_labels["policy"] = "an-old-one"
    code, out = applied.run()
    assert code == 0
    assert f"left over: {policy.name}; no file makes it any more" in out
    assert applied.project.writes == ["create alert backfill-task-failed"]
    assert policy.name in applied.project.alerts


def test_a_metric_that_would_have_to_change_its_type_is_refused_before_anything(applied: Applied) -> None:
    """The service never changes it."""
    applied.run()
    applied.project.metrics["qpi_exports_errors"].metric_descriptor.value_type = "DISTRIBUTION"
    code, out = applied.run()
    assert (code, applied.project.writes) == (2, [])
    assert "valueType is DISTRIBUTION and cannot become INT64" in out


def test_a_metric_that_is_not_known_yet_is_waited_for(applied: Applied) -> None:
    """A new log-based metric takes a while to be known everywhere."""
    applied.project.unknown_for = 3
    code, out = applied.run()
    assert (code, applied.waited) == (0, [15.0] * 3), out
    assert counts(applied.project) == (METRICS, 1, ALERTS)


def test_a_metric_that_never_becomes_known_is_an_error_after_some_minutes(applied: Applied) -> None:
    """And the next application continues where this one ended."""
    applied.project.unknown_for = PATIENCE
    code, out = applied.run()
    assert (code, sum(applied.waited)) == (1, 12 * 60)
    assert "Cannot find metric" in out.splitlines()[-1]
    code, out = applied.run()
    assert code == 0
    assert f"{METRICS + 1} unchanged" in out


def test_a_missing_right_is_one_line(applied: Applied) -> None:
    """Not being allowed to look: exit code 2; not being allowed to write: exit code 1, something may be done already."""
    applied.project.may_read = False
    code, out = applied.run("--dry-run")
    assert code == 2
    assert "this account may not list what project proj-1 holds" in out
    assert len(out.splitlines()) == 1
    applied.project.may_read, applied.project.may_write = True, False
    code, out = applied.run()
    assert code == 1
    assert "roles/monitoring.alertPolicyEditor" in out.splitlines()[-1]
    assert "this account may not create metric qpi_exports_" in out.splitlines()[-1]
    applied.project.may_write = True
    applied.run()
    applied.project.metrics["qpi_exports_errors"].filter = "severity>=ERROR"
    applied.project.may_write = False
    code, out = applied.run()
    assert code == 1
    assert "this account may not update metric qpi_exports_errors in project proj-1" in out.splitlines()[-1]


class Unanswered:
    """A client whose call ends in an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def list_log_metrics(self, **_: object) -> object:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        exceptions.RetryError("Timeout of 60.0s exceeded", exceptions.ServiceUnavailable("try later")),
        TransportError("the token server cannot be reached"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_service_that_does_not_answer_is_one_line_that_blames_no_right(
    applied: Applied, error: Exception
) -> None:
    """Neither when the client has tried for its time, nor when it gets no token for want of a network."""
    applied.clients = replace(applied.clients, metrics=Unanswered(error))
    code, out = applied.run("--dry-run")
    assert (code, len(out.splitlines())) == (1, 1)
    assert "could not list what project proj-1 holds" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--channel", "mail@example.com"], "is not projects/P/notificationChannels/N"),
        (["--project", 'p" OR "'], "cannot stand in a filter"),
        (["--tasks", "0"], "at least one task"),
        (["--jobs", "no spaces"], "cannot stand in a filter"),
    ],
)
def test_a_bad_argument_is_one_line_and_nothing_is_asked(
    applied: Applied, arguments: list[str], message: str
) -> None:
    """Exit code 2, before any service is spoken to."""
    applied.project.may_read = False
    code, out = applied.run(*arguments)
    assert (code, len(out.splitlines())) == (2, 1)
    assert message in out


@pytest.mark.parametrize("option", ["--env", "--project", "--region", "--runbook"])
def test_a_required_argument_is_required(applied: Applied, option: str) -> None:
    """Each of them, in one line with exit code 2."""
    at = ARGUMENTS.index(option)
    with pytest.raises(SystemExit) as stopped:
        apply.main([*ARGUMENTS[:at], *ARGUMENTS[at + 2 :]], lambda: applied.clients)
    assert (stopped.value.code, applied.project.writes) == (2, [])
    assert option in applied.capsys.readouterr().err


def test_a_difference_leaves_out_the_names_that_the_service_gave(applied: Applied) -> None:
    """A policy's conditions have names in the project; no file could say them, so a change of the file does not show them."""
    applied.run("--channel", CHANNEL)
    code, out = applied.run("--dry-run")
    assert code == 0
    assert f"  -- {CHANNEL}" in out
    assert "/conditions/" not in out
    assert "creationRecord" not in out
    metric = applied.project.metrics["qpi_exports_errors"]
    metric.description = re.sub(r"[0-9a-f]{12}", "0" * 12, metric.description)
    code, out = applied.run("--channel", CHANNEL, "--dry-run")
    assert out == f"update metric qpi_exports_errors\n1 update, {ALL - 1} unchanged; nothing was changed\n"


def test_a_metric_s_label_is_not_taken_away(applied: Applied) -> None:
    """Refused before anything is changed: the service would keep it."""
    applied.run()
    labels = applied.project.metrics["qpi_exports_errors"].metric_descriptor.labels
    labels.add(key="mode")
    code, out = applied.run()
    assert (code, applied.project.writes) == (2, [])
    assert "qpi_exports_errors: label mode cannot be taken away" in out


@pytest.mark.parametrize(
    ("runbook", "told"),
    [
        (
            "# Nothing\n",
            "the files are not right: alerts/backfill-task-failed.yaml: the runbook has no heading",
        ),
        (None, "runbook.md cannot be read (No such file or directory); run this in a checkout"),
    ],
)
def test_files_that_are_wrong_stop_everything(
    applied: Applied, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runbook: str | None, told: str
) -> None:
    """In one line with exit code 2, the first three faults by name, before any service is asked."""
    monkeypatch.setattr(apply, "RUNBOOK", tmp_path / "runbook.md")
    if runbook is not None:
        (tmp_path / "runbook.md").write_text(runbook, encoding="utf-8")
    applied.project.may_read = False
    code, out = applied.run()
    assert (code, len(out.splitlines())) == (2, 1)
    assert told in out
    assert ("more)" in out) is (runbook is not None)
    if runbook is not None:
        assert f"(and {ALERTS - 3} more)" in out


def test_the_help_shows_an_example(applied: Applied) -> None:
    """With every required argument."""
    with pytest.raises(SystemExit) as stopped:
        apply.main(["--help"])
    out = applied.capsys.readouterr().out
    assert stopped.value.code == 0
    assert "python -m monitoring.apply --env dev --project my-project --region europe-west1 --runbook" in out
    assert "it never deletes" in out

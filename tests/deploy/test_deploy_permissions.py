"""Whoever runs a printed command holds the permissions that its calls need: the table, held against the printed bindings."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_permissions import ROWS, Grants, extract, findings, row_of
from gcloud_parser import documented_commands, needs_gcloud, not_understood
from test_deploy_commands import all_steps, values_of, words_of

from backfill_job.readers.screen import setting
from backfill_job.rights import Part, Role
from deploy.parts import function_steps, job_steps, scheduler_steps
from deploy.project import BUILD, SCHEDULER, project_steps
from deploy.steps import Words
from deploy.values import EnvironmentValues
from shared.migration import Environment

ROOT = Path(__file__).parent.parent.parent
STAGING = "gs://data-platform-dev-qpi-exports-build"

STEPS: dict[str, tuple[Words, ...]] = {
    "test": (("(source of a build)", "of", STAGING),),
    "build": (("(docker pull)",),),
    "push": (("(docker push)",),),
    "jobs": (),
    "functions": (),
    "scheduler": (),
    "monitoring": (("(monitoring.apply)",),),
}
"""What each step of cloudbuild.yaml asks for beside the commands that ``--print`` shows."""


def built(values: EnvironmentValues) -> list[Words]:
    """Every command that the build's account runs."""
    steps = [*job_steps(values, "t"), *function_steps(values, "x"), *scheduler_steps(values)]
    return [*words_of(steps), *(words for each in STEPS.values() for words in each)]


OWNERS = {"add-iam-policy-binding", "create"}
"""Words of the commands of docs/deploy.md that an owner types."""


def documented() -> list[Words]:
    """The gcloud commands of docs/deploy.md."""
    return [tuple(words) for words in documented_commands() if words[0] == "gcloud"]


def typed() -> list[Words]:
    """Those that an operator types, and what `readers` asks of Cloud Logging."""
    return [("(readers)",), *(words for words in documented() if OWNERS.isdisjoint(words))]


def deletion() -> list[Words]:
    """What the owners of the data type: the same commands, for their own job."""
    executed = [words for words in typed() if words[1:4] == ("run", "jobs", "execute")]
    own = tuple(word.replace("-backfill-", "-deletion-") for word in executed[0])
    return [own, *(words for words in typed() if words[1:3] == ("logging", "read"))]


def lacking(
    values: EnvironmentValues, bindings: list[Words], commands: list[Words] | None = None
) -> list[str]:
    """Everything that the build, the operators and the deleters lack with these bindings."""
    grants = Grants.of([*bindings, *words_of(job_steps(values, "t")), *words_of(function_steps(values, "x"))])
    account = values.account(BUILD)
    return [
        *findings(values.member(Part.VERIFY), [("(readers)",)], grants, account),
        *findings(values.member(BUILD), commands or built(values), grants),
        *findings(values.builders, [words for words in typed() if "builds" in words], grants, account),
        *findings(values.operators, [words for words in typed() if "builds" not in words], grants, account),
        *findings(values.deleters, deletion(), grants, account),
        *findings(values.member(Part.OPERATOR), [("(smoke --observe)",)], grants),
    ]


VARIANTS: dict[str, dict[str, Any]] = {
    "one region": {},
    "EU multi-region": {"legacy_location": "eu", "new_location": "eu"},
    "US multi-region": {"region": "us-central1", "legacy_location": "us", "new_location": "us"},
    "dual-region": {"legacy_location": "eur4", "new_location": "eur4"},
    "buckets in two locations": {"legacy_location": "us", "new_location": "europe-west1"},
    "deletions followed": {"mirror_deletes": True},
    "others submit builds": {"builders": "group:builders@example.com"},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_the_bindings_give_what_the_commands_need(changes: dict[str, Any]) -> None:
    """For the build, the operators and the deleters, wherever the buckets are."""
    values = replace(values_of(), **changes)
    assert lacking(values, words_of(project_steps(values))) == []


def test_the_table_finds_what_the_first_project_would_have_refused() -> None:
    """Without this release's bindings, and with the question about the buckets that the functions step used to ask."""
    values = values_of()
    new = {
        (values.operators, "roles/storage.legacyBucketReader"),
        (values.operators, "projects/data-platform-dev/roles/qpiExportsPause"),
        (values.deleters, "roles/run.viewer"),
        (values.deleters, "roles/logging.viewer"),
    }
    old = [
        words
        for words in words_of(project_steps(values))
        if not any(f"--member={member}" in words and f"--role={role}" in words for member, role in new)
    ]
    asked: list[Words] = [
        ("gcloud", "storage", "buckets", "describe", f"gs://{bucket}")
        for bucket in (values.migration.source.bucket, values.migration.destination.bucket)
    ]
    assert lacking(values, old, [*built(values), *asked]) == [
        "serviceAccount:qpi-exports-build-dev: storage buckets describe: storage.buckets.get on data-bucket-dev",
        "serviceAccount:qpi-exports-build-dev: storage buckets describe: storage.buckets.get on de-bigquery-data-export-dev",
        "group:data-operations: builds submit: storage.buckets.get on data-platform-dev-qpi-exports-build",
        "group:data-operations: scheduler jobs pause: cloudscheduler.jobs.pause on the project",
        "group:data-owners: logging read: logging.logEntries.list on the project",
        "group:data-owners: run jobs execute: run.executions.get on the project",
    ]


@pytest.mark.parametrize("env", Environment, ids=lambda env: env.value)
def test_every_printed_command_has_its_row(env: Environment) -> None:
    """A new command fails here until the table says what it needs."""
    printed = words_of(all_steps(env))
    for words in [*printed, *documented(), *built(values_of(env))]:
        assert row_of(words) in ROWS
    with pytest.raises(KeyError, match="no row for gcloud run jobs delete"):
        row_of(("gcloud", "run", "jobs", "delete", "x"))


def test_the_scheduler_may_start_what_each_schedule_starts() -> None:
    """Those of the build, and the one that docs/deploy.md shows; with other arguments it takes one permission more."""
    values, shown = values_of(), documented()
    grants = Grants.of([*words_of(job_steps(values, "t")), *shown])
    schedules = [
        words
        for words in (*words_of(scheduler_steps(values)), *shown)
        if words[1:4] == ("scheduler", "jobs", "create")
    ]
    calls: list[Words] = []
    for words in schedules:
        flags = dict(word.partition("=")[::2] for word in words)
        job = flags["--uri"].rpartition("/")[2].removesuffix(":run")
        calls.append(("(schedule with arguments)" if "--message-body" in flags else "(schedule)", "of", job))
        assert flags["--oauth-service-account-email"] == values.account(SCHEDULER)
    assert len(calls) == 4
    assert findings(values.member(SCHEDULER), calls, grants) == []


def printed_by_readers() -> list[Words]:
    """What `readers` prints for an owner of the project."""
    lines = (line.partition(" > ")[0] for line in setting("data-bucket-dev", "data-platform-dev"))
    return [tuple(shlex.split(line)) for line in lines if line.startswith("  gcloud ")]


def test_what_readers_prints_has_its_row() -> None:
    """An owner holds everything, so the rows say what else suffices."""
    assert [row_of(words) for words in printed_by_readers()] == [
        "projects get-iam-policy",
        "projects set-iam-policy",
        "logging sinks update",
    ]


@needs_gcloud
def test_gcloud_understands_what_readers_prints(tmp_path: Path) -> None:
    """By its own parser."""
    assert not_understood(printed_by_readers(), tmp_path) == []


def test_every_step_of_the_build_is_in_the_table() -> None:
    """With the image's registry, the sources and the monitoring."""
    build = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
    assert [step["id"] for step in build["steps"]] == [*STEPS]


def test_every_role_that_a_binding_gives_is_in_the_extract() -> None:
    """Predefined ones with the dump's permissions, custom ones as the deployment makes them."""
    given = {
        word.partition("=")[2]
        for words in words_of(all_steps())
        if "add-iam-policy-binding" in words
        for word in words
        if word.startswith("--role=roles/")
    }
    assert given <= set(extract()["roles"])
    assert {role.role_id for role in Role}.isdisjoint(extract()["roles"])

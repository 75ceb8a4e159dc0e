"""What a build puts into the project: jobs, functions and schedules, each described as a wanted result.

Only the command uses it. A build has the rights for these steps, and for none of those in `project`.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backfill_job.rights import Area, Part, location_of
from deploy.project import BUILD, DEAD_LETTERS, FUNCTION_BUILD, SCHEDULER, TRIGGER, gcloud
from deploy.steps import Ask, Ensure, RunCommand, Step
from deploy.values import EnvironmentValues

__all__ = ["begin_step", "function_steps", "image", "job_steps", "release", "scheduler_steps", "uploaded"]

FINALIZED = "google.cloud.storage.object.v1.finalized"

NO_BUCKET_LOOKUPS = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true"
"""Keeps Google's client from requesting the bucket in the background. Most accounts here lack that permission."""

THREADS = "THREADS=16"
"""As many as the function's concurrency. functions-framework starts four for each processor (``_http/gunicorn.py``)."""

DELIVERIES = 100
"""Deliveries before an event becomes a dead letter. This is the maximum: about 15 hours, with pauses up to ten minutes.

The mirror itself gives up later. So when such an event comes back from the dead letters, its object has arrived: the sweeper
has copied it."""


def image(values: EnvironmentValues, tag: str) -> str:
    """The jobs' image."""
    return f"{values.repository}/job:{tag}"


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    part: Part
    args: tuple[str, ...]
    tasks: int
    retries: int
    timeout: str


def _jobs(values: EnvironmentValues) -> tuple[_Job, ...]:
    env, reports = f"--env={values.env.value}", location_of(Area.OWN, values.migration).uri + "reports"
    follow = ("--follow-deletions",) if values.mirror_deletes else ()
    copy, delete = ("migrate", env, "--execute", "--yes", *follow), ("delete", env, "--dry-run")
    return (
        _Job("backfill", Part.BACKFILL, (*copy, f"--report={reports}/backfill/"), values.tasks, 3, "24h"),
        # The next sweep is the retry.
        _Job("sweep", Part.BACKFILL, (*copy, "--since=2d"), 1, 0, "1h"),
        _Job("verify", Part.VERIFY, ("verify", env, f"--report={reports}/verify/"), values.tasks, 1, "24h"),
        # As deployed it only shows what it would delete. A deletion needs other arguments, and the right to override them.
        _Job("deletion", Part.DELETION, (*delete, f"--report={reports}/deletion/"), 1, 0, "24h"),
    )


def job_steps(values: EnvironmentValues, tag: str) -> Iterator[Step]:
    """The jobs: one image for all, one account for each."""
    for job in _jobs(values):
        yield RunCommand(
            gcloud(
                values,
                *("run jobs deploy", values.name(job.name), f"--region={values.region}"),
                f"--image={image(values, tag)}",
                f"--service-account={values.account(job.part)}",
                f"--args={','.join(job.args)}",
                f"--set-env-vars={NO_BUCKET_LOOKUPS}",
                f"--tasks={job.tasks}",
                f"--max-retries={job.retries}",
                f"--task-timeout={job.timeout}",
                *("--cpu=1", "--memory=1Gi", f"--labels=app=qpi-exports,env={values.env.value}"),
            )
        )
        people = values.deleters if job.part is Part.DELETION else values.operators
        yield _on_run(values, "jobs", job.name, people, "roles/run.developer")
    for name, _ in values.schedules.values():
        yield _on_run(values, "jobs", name, values.member(SCHEDULER), "roles/run.invoker")


def begin_step(values: EnvironmentValues) -> Step:
    """Begins the migration on record, in the backfill's account: `backfill_job.commands.begin`. A whole record stays as it is.

    It waits for the end of the execution, and fails where the record is damaged, or where a person must name the phase.
    """
    begin = ("begin", f"--env={values.env.value}", f"--by={values.account(BUILD)}")
    return RunCommand(
        gcloud(
            values,
            *("run", "jobs", "execute", values.name(Part.BACKFILL.value), f"--region={values.region}"),
            f"--args={','.join(begin)}",
            *("--tasks=1", "--wait"),
        )
    )


def function_steps(values: EnvironmentValues, source: str) -> Iterator[Step]:
    """The mirrors with their triggers and dead letters, and the status page.

    Without the migration's record a mirror answers each event with an error. So the first step begins the migration, and no
    mirror is deployed where that fails.

    Args:
        source: The result of `release`. A function whose label has it already stays as it is.
    """
    yield begin_step(values)
    migration = values.migration
    deletes = ",MIRROR_DELETES=true" if values.mirror_deletes else ""
    for part, bucket, location, settings in (
        (Part.MIRROR, migration.source.bucket, values.legacy_location, f"MIRROR_REVERSE=false{deletes}"),
        (Part.REVERSE, migration.destination.bucket, values.new_location, "MIRROR_REVERSE=true"),
    ):
        yield _function(
            values,
            part,
            source,
            "--entry-point=mirror_object",
            f"--trigger-event-filters=type={FINALIZED}",
            f"--trigger-event-filters=bucket={bucket}",
            f"--trigger-location={location}",
            f"--trigger-service-account={values.account(TRIGGER)}",
            "--retry",
            f"--set-env-vars=MIRROR_ENV={values.env.value},{settings},{THREADS},{NO_BUCKET_LOOKUPS}",
            *("--concurrency=16", "--max-instances=100", "--timeout=120s"),
        )
        yield _on_run(values, "services", part.value, values.member(TRIGGER), "roles/run.invoker")
        yield from _dead_letters(values, part)
    yield _function(
        values,
        Part.STATUS,
        source,
        "--entry-point=status_page",
        "--trigger-http",
        f"--set-env-vars=MIRROR_ENV={values.env.value},{NO_BUCKET_LOOKUPS}",
        *("--concurrency=16", "--max-instances=2", "--timeout=60s"),
    )
    yield _on_run(values, "services", Part.STATUS.value, values.operators, "roles/run.invoker")


def scheduler_steps(values: EnvironmentValues) -> Iterator[Step]:
    """The sweeps: recent days often, everything at night. And the verification that records a day after the cutover."""
    for name, (job, schedule) in values.schedules.items():
        at = f"--location={values.region}"
        listed = (at, f"--filter=name~/{values.name(name)}$")
        what = (
            values.name(name),
            at,
            f"--schedule={schedule}",
            f"--time-zone={values.time_zone}",
            f"--uri=https://run.googleapis.com/v2/projects/{values.project}/locations/{values.region}/jobs/{values.name(job)}:run",
            "--http-method=POST",
            f"--oauth-service-account-email={values.account(SCHEDULER)}",
        )
        yield Ensure(
            gcloud(values, "scheduler jobs list", *listed, "--format=value(name)"),
            gcloud(values, "scheduler jobs create http", *what),
            gcloud(values, "scheduler jobs update http", *what),
        )


def uploaded(root: Path) -> tuple[str, ...]:
    """The files of a function's upload, after ``.gcloudignore``."""
    found = [root / "main.py", root / "requirements.txt"]
    for package in ("shared", "mirror_function"):
        found += [
            path for path in (root / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        ]
    return tuple(sorted(path.relative_to(root).as_posix() for path in found))


def release(root: Path) -> str:
    """A digest of the functions' source, in a form that fits a label."""
    digest = hashlib.sha256()
    for name in uploaded(root):
        digest.update(f"{name}\0".encode() + hashlib.sha256((root / name).read_bytes()).digest())
    return digest.hexdigest()[:40]


def _function(values: EnvironmentValues, part: Part, source: str, *flags: str) -> Ensure:
    """Deploys a function unless its label says that it is up to date: a deployment takes minutes and makes a new revision."""
    name = values.name(part.value)
    words = (
        *("functions", "deploy", name, "--gen2", "--runtime=python311", f"--region={values.region}"),
        *("--source=.", f"--service-account={values.account(part)}"),
        *flags,
        *("--cpu=1", "--memory=512Mi", "--no-allow-unauthenticated"),
        f"--build-service-account=projects/{values.project}/serviceAccounts/{values.account(FUNCTION_BUILD)}",
        f"--docker-repository=projects/{values.project}/locations/{values.region}/repositories/qpi-exports",
    )
    label = hashlib.sha256("\n".join((source, *words)).encode()).hexdigest()[:40]
    found = f"--filter=name~/{name}$ AND labels.release={label} AND state=ACTIVE"
    labels = f"--update-labels=app=qpi-exports,env={values.env.value},release={label}"
    return Ensure(
        gcloud(values, "functions list --v2", f"--regions={values.region}", found, "--format=value(name)"),
        gcloud(values, *words, labels),
    )


def _dead_letters(values: EnvironmentValues, part: Part) -> Iterator[Step]:
    """Sets the dead-letter topic of the subscription that Eventarc made for a mirror."""
    trigger, subscription = f"{part.name}_TRIGGER", f"{part.name}_SUBSCRIPTION"
    function = (values.name(part.value), "--gen2", f"--region={values.region}")
    asked = gcloud(values, "functions describe", *function, "--format=value(eventTrigger.trigger)")
    yield Ask(trigger, asked)
    transport = (f"${trigger}", "--format=value(transport.pubsub.subscription)")
    yield Ask(subscription, gcloud(values, "eventarc triggers describe", *transport))
    topic = f"--dead-letter-topic=projects/{values.project}/topics/{values.name(DEAD_LETTERS)}"
    deliveries = f"--max-delivery-attempts={DELIVERIES}"
    yield RunCommand(gcloud(values, "pubsub subscriptions update", f"${subscription}", topic, deliveries))


def _on_run(values: EnvironmentValues, kind: str, name: str, member: str, role: str) -> RunCommand:
    binding = (values.name(name), f"--region={values.region}", f"--member={member}", f"--role={role}")
    return RunCommand(gcloud(values, f"run {kind} add-iam-policy-binding", *binding))

"""Whether a project is as the deployment makes it: ``python -m deploy --env E check``. It reads, and changes nothing.

The steps of the deployment say what must be there, so it is not written down again. Each red line shows the command of its step.
What cannot be read is NOT RUN, and never passes. `facts` reads the project; everything here is pure, but for `check` and `facts`.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backfill_job.access import Need, access, needs_of
from backfill_job.bucket_settings import bucket_checks
from backfill_job.check import Check, Standing, failed, not_run, passed
from backfill_job.rights import Part
from deploy.facts import Facts, Unreadable, ask, policy_command, questions
from deploy.parts import DELIVERIES, function_steps, job_steps, release
from deploy.project import DEAD_LETTERS, SERVICES, gcloud, project_steps
from deploy.steps import Answer, Ensure, Run, Step, Words
from deploy.values import Values
from shared.text import counted

__all__ = ["check", "checks_of", "exit_code", "lines_of"]

MONITORING = Path(__file__).parent.parent / "monitoring"

UNRESTRICTED_BUILDS = frozenset(
    {"asia-east1", "australia-southeast1", "europe-west1", "southamerica-east1", "us-central1", "us-west2"}
)
"""Regions in which Cloud Build runs builds of every project (its documentation, "Cloud Build locations", 2025-08-18)."""

_WORST_FIRST = (Standing.FAIL, Standing.NOT_RUN, Standing.PASS, Standing.NOT_APPLICABLE)


def check(values: Values, run: Callable[[Words], Answer]) -> list[Check]:
    """Ask the project, and judge it: the worst first."""
    facts = ask(questions(values), run)
    kinds = {
        (binding.kind, binding.name) for binding in _bindings(values, facts) if binding.kind != "projects"
    }
    there = {
        f"{kind} {name}": (kind, name) for kind, name in sorted(kinds) if _there(facts, values, kind, name)
    }
    policies = ask({key: policy_command(values, *place) for key, place in there.items()}, run)
    return checks_of(values, {**facts, **policies})


def checks_of(values: Values, facts: Facts) -> list[Check]:
    """Every check of these facts: the worst first, and those with advice before those without."""
    found = [
        *_services(values, facts),
        *_buckets(values, facts),
        *_made(values, facts),
        *_bound(values, facts),
        *_build_region(values, facts),
        *_accesses(values, facts),
        *_built(values, facts),
    ]
    return sorted(found, key=lambda one: (_WORST_FIRST.index(one.standing), not one.next_step))


def exit_code(checks: Sequence[Check]) -> int:
    """0 nothing to do, 1 something is wrong, 2 nothing is wrong, but not everything could be read."""
    standings = {one.standing for one in checks}
    return 1 if Standing.FAIL in standings else 2 if Standing.NOT_RUN in standings else 0


def lines_of(checks: Sequence[Check]) -> Iterator[str]:
    """The table: a line for each check, and below it what to do."""
    wide = max(len(one.name) for one in checks)
    for one in checks:
        yield f"{one.standing.value:<15}{one.name:<{wide}}  {' '.join(one.evidence.split())}"
        if one.next_step:
            yield f"{'':<15}{'':<{wide}}  > {one.next_step}"
    counts = {standing: sum(one.standing is standing for one in checks) for standing in _WORST_FIRST}
    yield ""
    yield ", ".join(f"{count} {standing.value}" for standing, count in counts.items() if count)


def _unreadable(name: str, fact: Unreadable) -> Check:
    step = "ask somebody who may read it to run this check: an owner of the project reads everything"
    return not_run(name, fact.why, step)


def _services(values: Values, facts: Facts) -> Iterator[Check]:
    found = facts["services"]
    if isinstance(found, Unreadable):
        yield _unreadable("APIs", found)
        return
    enabled = {one.get("config", {}).get("name", "").partition(".")[0] for one in found}
    missing = [f"{name}.googleapis.com" for name in SERVICES if name not in enabled]
    if missing:
        command = shlex.join(gcloud(values, "services enable", *missing))
        yield failed("APIs", f"not enabled: {', '.join(missing)}", command)
    else:
        yield passed("APIs", f"all {len(SERVICES)} enabled")


# --- buckets ---------------------------------------------------------------------------------------------------------


def _buckets(values: Values, facts: Facts) -> Iterator[Check]:
    sides = (
        ("legacy", values.migration.source.bucket, values.legacy_location, "LEGACY_LOCATION"),
        ("new", values.migration.destination.bucket, values.new_location, "NEW_LOCATION"),
    )
    for side, bucket, location, value in sides:
        found = facts[f"{side} bucket"]
        if isinstance(found, Unreadable):
            if found.absent:
                step = f"create it, or correct the environment: {shlex.join(gcloud(values, 'storage buckets list'))}"
                yield failed(f"{side} bucket", f"gs://{bucket} does not exist", step)
            else:
                yield _unreadable(f"{side} bucket", found)
            continue
        yield _project(side, values, facts, str(found.get("projectNumber", "")))
        at = str(found.get("location", "")).lower()
        if at == location:
            yield passed(f"{side} bucket: trigger", f"the bucket and {value} say {at}")
        else:
            seen = f"the bucket is in {at}, {value} says {location}: its trigger would be refused"
            yield failed(
                f"{side} bucket: trigger", seen, f"write {value}={at} into deploy/{values.env.value}.env"
            )
    legacy, new = facts["legacy bucket"], facts["new bucket"]
    if not isinstance(legacy, Unreadable) and not isinstance(new, Unreadable):
        yield from bucket_checks(legacy, new, values.migration)


def _project(side: str, values: Values, facts: Facts, number: str) -> Check:
    name, project = f"{side} bucket: project", facts["project"]
    if isinstance(project, Unreadable):
        return _unreadable(name, project)
    if number == str(project.get("projectNumber")):
        return passed(name, values.project)
    seen = f"it belongs to project {number}, not to {values.project}: Eventarc brings its events only within its own project"
    return failed(
        name,
        seen,
        "deploy into the bucket's project, and bring the other bucket there: docs/deploy.md, Regions and projects",
    )


# --- what an owner sets up -------------------------------------------------------------------------------------------


def _names(facts: Facts, kind: str) -> set[str] | Unreadable:
    found = facts["functions" if kind == "run services" else kind]
    if isinstance(found, Unreadable):
        return found
    if kind == "run jobs":
        return {one.get("metadata", {}).get("name", "") for one in found}
    key = "email" if kind == "iam service-accounts" else "name"
    return {one.get(key, "").rpartition("/")[2] for one in found}


def _there(facts: Facts, values: Values, kind: str, name: str) -> bool:
    """Whether a thing may be asked for its policy: it is there, or this is not known."""
    if kind == "storage buckets":
        found = facts[_bucket_fact(values, name)]
        return not isinstance(found, Unreadable) or not found.absent
    names = _names(facts, kind)
    return isinstance(names, Unreadable) or name in names


def _bucket_fact(values: Values, name: str) -> str:
    sides = {
        values.migration.source.bucket: "legacy bucket",
        values.migration.destination.bucket: "new bucket",
    }
    return sides.get(name.removeprefix("gs://"), "staging bucket")


def _made(values: Values, facts: Facts) -> Iterator[Check]:
    """Accounts, roles, repository, topic and the rest, one line a kind and one for each that is missing."""
    wanted: dict[str, list[tuple[str, Words]]] = {}
    for step in project_steps(values):
        if isinstance(step, Ensure):
            name = step.create[step.create.index("create") + 1]
            wanted.setdefault(" ".join(step.create[1:3]), []).append((name, step.create))
    for kind, things in wanted.items():
        title = kind.split()[-1].replace("service-accounts", "accounts")
        names = _made_names(facts, kind)
        if isinstance(names, Unreadable):
            yield _unreadable(title, names)
            continue
        missing = [(name, create) for name, create in things if name not in names]
        for name, create in missing:
            yield failed(title, f"{name} does not exist", shlex.join(create))
        if not missing:
            yield passed(title, f"{len(things)} there: {', '.join(name for name, _ in things)}")


def _made_names(facts: Facts, kind: str) -> set[str] | Unreadable:
    if kind == "storage buckets":
        found = facts["staging bucket"]
        if isinstance(found, Unreadable):
            return set() if found.absent else found
        return {f"gs://{found.get('name')}"}
    names = _names(facts, kind)
    return names if isinstance(names, Unreadable) else {name.partition("@")[0] for name in names}


@dataclass(frozen=True, slots=True)
class _Binding:
    kind: str
    name: str
    role: str
    member: str
    expression: str
    command: Words

    @property
    def fact(self) -> str:
        """The name of the answer that shows the policy."""
        return "project policy" if self.kind == "projects" else f"{self.kind} {self.name}"

    @property
    def title(self) -> str:
        """The thing in the table: a bucket's address, or kind and name."""
        name = self.name.partition("@")[0]
        return name if name.startswith("gs://") else f"{self.kind.split()[-1].rstrip('s')} {name}"

    def is_in(self, policy: Mapping[str, Any]) -> bool:
        """Whether the policy has it."""
        return any(
            one.get("role") == self.role
            and self.member in (one.get("members") or ())
            and (one.get("condition") or {}).get("expression", "") == self.expression
            for one in policy.get("bindings") or ()
        )


def _bindings(values: Values, facts: Facts) -> Iterator[_Binding]:
    """Every binding that the deployment makes: an owner's, and those of a build for what it has built."""
    project = facts["project"]
    number = "$NUMBER" if isinstance(project, Unreadable) else str(project.get("projectNumber"))
    agent = f"service-{number}@gs-project-accounts.iam.gserviceaccount.com"
    steps: list[Step] = [*project_steps(values), *job_steps(values, "TAG"), *function_steps(values, "")]
    for step in steps:
        if not isinstance(step, Run) or "add-iam-policy-binding" not in step.command:
            continue
        words = tuple(
            word.replace("$NUMBER", number).replace("$STORAGE_AGENT", agent) for word in step.command
        )
        flags = dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)
        condition = flags.get("condition", "None")
        expression = condition.removeprefix("expression=").rpartition(",title=")[0]
        at = words.index("add-iam-policy-binding")
        kind, name = " ".join(words[1:at]), words[at + 1]
        yield _Binding(kind, name, flags["role"], flags["member"], expression, words)


def _bound(values: Values, facts: Facts) -> Iterator[Check]:
    """The bindings: one line a policy, and one for each binding that it lacks."""
    by_policy: dict[str, list[_Binding]] = {}
    for binding in _bindings(values, facts):
        if binding.fact in facts:  # what does not exist has no policy, and its own red line
            by_policy.setdefault(binding.fact, []).append(binding)
    for fact, wanted in by_policy.items():
        policy, title = facts[fact], f"rights: {wanted[0].title}"
        if isinstance(policy, Unreadable):
            yield _unreadable(title, policy)
        else:
            yield from _bound_in(policy, title, wanted, facts)


def _bound_in(
    policy: Mapping[str, Any], title: str, wanted: Sequence[_Binding], facts: Facts
) -> Iterator[Check]:
    project = facts["project"]
    judged = [one for one in wanted if "$NUMBER" not in f"{one.member} {one.expression}"]
    if isinstance(project, Unreadable) and len(judged) < len(wanted):
        yield _unreadable(f"{title}, Google's own accounts", project)
    missing = [one for one in judged if not one.is_in(policy)]
    for one in missing:
        limit = " with its condition" if one.expression else ""
        yield failed(title, f"{one.member} lacks {one.role}{limit}", shlex.join(one.command))
    if not missing:
        yield passed(title, counted(len(judged), "binding"))


def _build_region(values: Values, facts: Facts) -> Iterator[Check]:
    name, builds = "Cloud Build's region", facts["builds"]
    if not isinstance(builds, Unreadable) and builds:
        yield passed(name, f"a build has succeeded in {values.region}")
    elif values.region in UNRESTRICTED_BUILDS:
        yield passed(name, f"{values.region} is open to every project")
    elif isinstance(builds, Unreadable):
        yield _unreadable(name, builds)
    else:
        seen = f"no build has succeeded in {values.region}, which Cloud Build refuses to some new projects"
        yield not_run(
            name,
            seen,
            "submit the build; where it is refused, submit it with --region=europe-west1 or us-central1",
        )


# --- the writer and the consumer -------------------------------------------------------------------------------------


def _accesses(values: Values, facts: Facts) -> Iterator[Check]:
    for title, members, consumer in (("writer", values.writer, False), ("consumer", values.consumer, True)):
        for member in members.split(","):
            for need in needs_of(values.migration, consumer=consumer):
                yield _access(f"{title} on {need.at.uri}", member, need, facts)


def _access(name: str, member: str, need: Need, facts: Facts) -> Check:
    policy, project = facts.get(f"storage buckets gs://{need.at.bucket}"), facts["project policy"]
    if policy is None or isinstance(policy, Unreadable):
        return _unreadable(name, policy or Unreadable("the bucket does not exist", absent=True))
    whole = None if isinstance(project, Unreadable) else project
    found = access(member, need, policy, whole)
    if not found.missing:
        return passed(name, f"{member} may {need.what}")
    lacks = ", ".join(permission.removeprefix("storage.") for permission in found.missing)
    role = "objectUser" if "create" in need.what else "objectViewer"
    command = shlex.join(
        (
            "gcloud",
            "storage",
            "buckets",
            "add-iam-policy-binding",
            f"gs://{need.at.bucket}",
            f"--member={member}",
            f"--role=roles/storage.{role}",
            "--condition=None",
        )
    )
    if found.unsure or whole is None:
        why = "; ".join(found.unsure) or "the project's policy cannot be read"
        seen = f"no binding proves {lacks} for {member}; it may come from elsewhere: {why}"
        return not_run(
            name, seen, f"the account's owner tries it; or the bucket's owner grants it: {command}"
        )
    seen = (
        f"{member} lacks {lacks}: neither the bucket nor the project grants it (a folder or organization may)"
    )
    return failed(name, seen, command)


# --- what a build puts there -----------------------------------------------------------------------------------------


def _built(values: Values, facts: Facts) -> Iterator[Check]:
    jobs, functions = _names(facts, "run jobs"), _names(facts, "run services")
    for title, names in (("jobs", jobs), ("functions", functions)):
        if isinstance(names, Unreadable):
            yield _unreadable(title, names)
    if isinstance(jobs, Unreadable) or isinstance(functions, Unreadable):
        return
    own = {values.name(name) for name in ("backfill", "sweep", "verify", "deletion")}
    if not own & jobs and not any(values.name(part.value) in functions for part in Part):
        yield Check("build", Standing.NOT_APPLICABLE, "nothing is deployed yet", _submit(values))
        return
    yield from _all_there("jobs", own, jobs, _submit(values))
    yield from _functions(values, facts)
    yield from _schedules(values, facts)
    stems = {
        kind: {path.stem for path in (MONITORING / kind).glob("*.yaml")} for kind in ("metrics", "alerts")
    }
    boards = {f"qpi-exports-migration-{values.env.value}"}
    wanted = {
        "metrics": {f"qpi_exports_{stem}" for stem in stems["metrics"]},
        "alerts": stems["alerts"],
        "dashboards": boards,
    }
    for kind, names in wanted.items():
        found = facts[kind]
        if isinstance(found, Unreadable):
            yield _unreadable(kind, found)
        else:
            yield from _all_there(kind, names, _monitored(values, kind, found), _submit(values))


def _submit(values: Values) -> str:
    return f"submit the build for {values.env.value} (docs/deploy.md, step 3)"


def _deploy(values: Values, part: Part) -> str:
    """The command of the build that deploys a function; in a checkout, its sources are the checkout's."""
    steps = function_steps(values, release(MONITORING.parent))
    found = [one.create for one in steps if isinstance(one, Ensure) and values.name(part.value) in one.create]
    return shlex.join(found[0])


def _all_there(title: str, wanted: set[str], found: set[str], step: str) -> Iterator[Check]:
    missing = sorted(wanted - found)
    if missing:
        yield failed(title, f"missing: {', '.join(missing)}", step)
    else:
        yield passed(title, f"{len(wanted)} there")


def _monitored(values: Values, kind: str, found: Iterable[Mapping[str, Any]]) -> set[str]:
    if kind != "alerts":
        return {str(one.get("name", "")).rpartition("/")[2] for one in found}
    labels = [one.get("userLabels") or {} for one in found if one.get("enabled", True)]
    return {one.get("policy", "") for one in labels if one.get("env") == values.env.value}


def _functions(values: Values, facts: Facts) -> Iterator[Check]:
    functions = {one.get("name", "").rpartition("/")[2]: one for one in facts["functions"]}
    for part, location in (
        (Part.MIRROR, values.legacy_location),
        (Part.REVERSE, values.new_location),
        (Part.STATUS, ""),
    ):
        name = values.name(part.value)
        found = functions.get(name)
        if found is None or found.get("state") != "ACTIVE":
            state = "not deployed" if found is None else f"in state {found.get('state')}"
            yield failed(f"function {part.value}", f"{name} is {state}", _submit(values))
            continue
        yield passed(f"function {part.value}", "active")
        if location:
            yield from _trigger(part, location, found.get("eventTrigger") or {}, values, facts)


def _trigger(
    part: Part, location: str, trigger: Mapping[str, Any], values: Values, facts: Facts
) -> Iterator[Check]:
    name, again = f"trigger of {part.value}", _submit(values)
    if trigger.get("retryPolicy") != "RETRY_POLICY_RETRY":
        yield failed(name, "redelivery is off: an event that fails once is lost", _deploy(values, part))
    at = str(trigger.get("triggerRegion", "")).lower()
    if at != location:
        yield failed(name, f"it is in {at or 'no location'}, and its bucket in {location}", again)
    triggers = facts["triggers"]
    if isinstance(triggers, Unreadable):
        yield _unreadable(name, triggers)
        return
    found = next((one for one in triggers if one.get("name") == trigger.get("trigger")), None)
    if found is None:
        yield failed(name, "it does not exist: no event reaches the function", again)
        return
    yield passed(name, f"in {at}")
    subscription = ((found.get("transport") or {}).get("pubsub") or {}).get("subscription", "")
    yield _dead_letters(part, subscription, values, facts)


def _dead_letters(part: Part, subscription: str, values: Values, facts: Facts) -> Check:
    name, listed = f"dead letters of {part.value}", facts["pubsub subscriptions"]
    if isinstance(listed, Unreadable):
        return _unreadable(name, listed)
    found = next((one for one in listed if one.get("name") == subscription), None)
    if found is None:
        return failed(name, f"the trigger's subscription {subscription} does not exist", _submit(values))
    topic = f"projects/{values.project}/topics/{values.name(DEAD_LETTERS)}"
    policy = found.get("deadLetterPolicy") or {}
    if policy.get("deadLetterTopic") == topic and policy.get("maxDeliveryAttempts") == DELIVERIES:
        return passed(name, f"after {DELIVERIES} deliveries to {values.name(DEAD_LETTERS)}")
    flags = (f"--dead-letter-topic={topic}", f"--max-delivery-attempts={DELIVERIES}")
    command = gcloud(values, "pubsub subscriptions update", subscription, *flags)
    return failed(name, "the subscription has no dead-letter policy, or another", shlex.join(command))


def _schedules(values: Values, facts: Facts) -> Iterator[Check]:
    listed = facts["schedules"]
    if isinstance(listed, Unreadable):
        yield _unreadable("schedules", listed)
        return
    found = {one.get("name", "").rpartition("/")[2]: one for one in listed}
    for name, (_, schedule) in values.schedules.items():
        title, one = f"schedule {name}", found.get(values.name(name))
        if one is None or one.get("schedule") != schedule:
            seen = "it does not exist" if one is None else f"{one.get('schedule')} instead of {schedule}"
            yield failed(title, seen, f"python -m deploy --env {values.env.value} scheduler")
        elif one.get("state") != "ENABLED":
            at = f"--location={values.region}"
            command = shlex.join(gcloud(values, "scheduler jobs resume", values.name(name), at))
            yield passed(title, f"{one.get('state')}: right before the deletion only", command)
        else:
            yield passed(title, f"{schedule}, enabled")

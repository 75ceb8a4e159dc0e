"""Whether a project is as the deployment makes it: ``python -m deploy --env E check``. It reads, and changes nothing.

The steps of the deployment say what must be there, so it is not written down again. Each red line shows the command of its step.
What cannot be read is NOT RUN, and never passes. `facts` reads the project; everything here is pure, but for `check` and `facts`. Only
the command uses it: the other groups of steps change a project, and need none of it.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backfill_job.access import Need, access, needs_of, same_member
from backfill_job.bucket_settings import bucket_checks
from backfill_job.check import Check, Standing, failed, not_run, passed
from backfill_job.rights import Part
from deploy.facts import Facts, UnreadableFact, ask_project, field, policy_command, questions, role_command
from deploy.parts import DELIVERIES, FINALIZED, function_steps, job_steps, release, scheduler_steps
from deploy.project import ACCOUNTS, DEAD_LETTERS, SERVICES, gcloud, project_steps
from deploy.steps import Ensure, RunCommand, Runs, Step, Words
from deploy.values import EnvironmentValues
from shared.text import counted

__all__ = ["check", "checks_of", "exit_code", "lines_of"]

MONITORING = Path(__file__).parent.parent / "monitoring"

UNRESTRICTED_BUILDS = frozenset(
    {"asia-east1", "australia-southeast1", "europe-west1", "southamerica-east1", "us-central1", "us-west2"}
)
"""Regions in which Cloud Build runs builds of every project (its documentation, "Cloud Build locations", 2025-08-18)."""

UNBOUND_AGENTS = {
    "gcf-admin-robot": "roles/cloudfunctions.serviceAgent",
    "gcp-sa-cloudbuild": "roles/cloudbuild.serviceAgent",
    "gcp-sa-cloudscheduler": "roles/cloudscheduler.serviceAgent",
    "serverless-robot-prod": "roles/run.serviceAgent",
}
"""Google's own accounts that get no binding from `project`, by the domain of their addresses, with the role that each service works with.

Google grants these roles with the first use of each service (IAM documentation, "Service agents"). A policy that is written as a
whole, as some infrastructure code does, takes them away."""

_Judge = Callable[[EnvironmentValues, Facts], Iterator[Check]]

_WORST_FIRST = (Standing.FAIL, Standing.NOT_RUN, Standing.PASS, Standing.NOT_APPLICABLE)


def check(values: EnvironmentValues, run: Runs) -> list[Check]:
    """Ask the project, and judge it: the worst first."""
    facts = ask_project(questions(values), run)
    kinds = {(one.kind, one.name) for one in _bindings(values, facts) if one.kind != "projects"}
    asked = [(kind, name) for kind, name in sorted(kinds) if _there(facts, values, kind, name)]
    more = {f"{kind} {name}": policy_command(values, kind, name) for kind, name in asked}
    roles = _names(facts, _ROLES)
    names = [_name_of(step) for step in _made_by(values)[_ROLES]]
    there = [] if isinstance(roles, UnreadableFact) else [name for name in names if name in roles]
    more |= {f"{_ROLES} {name}": role_command(values, name) for name in there}
    return checks_of(values, {**facts, **ask_project(more, run)})


def checks_of(values: EnvironmentValues, facts: Facts) -> list[Check]:
    """Every check of these facts: the worst first, and those with advice before those without."""
    found = [one for name, judge in _SUBJECTS.items() for one in _judged(name, judge, values, facts)]
    return sorted(found, key=lambda one: (_WORST_FIRST.index(one.standing), not one.next_step))


def _judged(name: str, judge: _Judge, values: EnvironmentValues, facts: Facts) -> list[Check]:
    """The checks of one subject; an answer of another form, as of another version of gcloud, makes it NOT RUN."""
    try:
        return [*judge(values, facts)]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        seen = f"an answer of gcloud has another form than expected ({type(error).__name__}: {error})"
        return [not_run(name, seen, "run `gcloud components update`, and the check again")]


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


def _unreadable(name: str, fact: UnreadableFact) -> Check:
    step = "ask somebody who may read it to run this check: an owner of the project reads everything"
    return not_run(name, fact.why, "gcloud auth login" if "gcloud auth login" in fact.why else step)


def _services(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    found = facts["services"]
    if isinstance(found, UnreadableFact):
        yield _unreadable("APIs", found)
        return
    enabled = {str(field(one, "config", "name")).partition(".")[0] for one in found}
    missing = [f"{name}.googleapis.com" for name in SERVICES if name not in enabled]
    if missing:
        command = shlex.join(gcloud(values, "services enable", *missing))
        yield failed("APIs", f"not enabled: {', '.join(missing)}", command)
    else:
        yield passed("APIs", f"all {len(SERVICES)} enabled")


# --- buckets ---------------------------------------------------------------------------------------------------------


def _buckets(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    sides = (
        ("legacy", values.migration.source.bucket, values.legacy_location, "LEGACY_LOCATION"),
        ("new", values.migration.destination.bucket, values.new_location, "NEW_LOCATION"),
    )
    for side, bucket, location, value in sides:
        found = facts[f"{side} bucket"]
        if isinstance(found, UnreadableFact):
            if found.absent:
                step = f"create it, or correct the environment: {shlex.join(gcloud(values, 'storage buckets list'))}"
                yield failed(f"{side} bucket", f"gs://{bucket} does not exist", step)
            else:
                yield _unreadable(f"{side} bucket", found)
            continue
        yield _project(side, values, facts, str(found.get("projectNumber", "")))
        name, at = f"{side} bucket: trigger", str(found.get("location", "")).lower()
        if at == location:
            yield passed(name, f"the bucket and {value} say {at}")
        else:
            seen = f"the bucket is in {at}, {value} says {location}: its trigger would be refused"
            yield failed(name, seen, f"write {value}={at} into deploy/{values.env.value}.env")
    legacy, new = facts["legacy bucket"], facts["new bucket"]
    if not isinstance(legacy, UnreadableFact) and not isinstance(new, UnreadableFact):
        yield from bucket_checks(legacy, new, values.migration)


def _project(side: str, values: EnvironmentValues, facts: Facts, number: str) -> Check:
    name, project = f"{side} bucket: project", facts["project"]
    if isinstance(project, UnreadableFact):
        return _unreadable(name, project)
    if number == str(project.get("projectNumber")):
        return passed(name, values.project)
    seen = f"it belongs to project {number}, not to {values.project}: Eventarc brings its events only within its own project"
    step = "deploy into the bucket's project, and bring the other bucket there: docs/deploy.md, Regions and projects"
    return failed(name, seen, step)


# --- what an owner sets up -------------------------------------------------------------------------------------------


def _names(facts: Facts, kind: str) -> set[str] | UnreadableFact:
    found = facts["functions" if kind == "run services" else kind]
    if isinstance(found, UnreadableFact):
        return found
    if kind == "run jobs":
        return {str(field(one, "metadata", "name")) for one in found}
    key = "email" if kind == _ACCOUNTS else "name"
    return {_last(one.get(key)) for one in found}


def _last(name: Any) -> str:
    return str(name).rpartition("/")[2]


def _there(facts: Facts, values: EnvironmentValues, kind: str, name: str) -> bool:
    """Whether a thing may be asked for its policy: it is there, or this is not known."""
    if kind == "storage buckets":
        found = facts[_bucket_fact(values, name)]
        return not isinstance(found, UnreadableFact) or not found.absent
    names = _names(facts, kind)
    return isinstance(names, UnreadableFact) or name in names


def _bucket_fact(values: EnvironmentValues, name: str) -> str:
    source, destination = values.migration.source.bucket, values.migration.destination.bucket
    sides = {source: "legacy bucket", destination: "new bucket"}
    return sides.get(name.removeprefix("gs://"), "staging bucket")


_ACCOUNTS, _ROLES, _SUBSCRIPTIONS = "iam service-accounts", "iam roles", "pubsub subscriptions"


def _made_by(values: EnvironmentValues) -> dict[str, list[Ensure]]:
    """The steps that create something, by its kind."""
    found: dict[str, list[Ensure]] = {}
    for step in project_steps(values):
        if isinstance(step, Ensure):
            found.setdefault(" ".join(step.create[1:3]), []).append(step)
    return found


def _name_of(step: Ensure) -> str:
    return step.create[step.create.index("create") + 1]


def _made(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    """Accounts, roles, repository, topic and the rest: one line a kind, and one for each that is missing or not as it was made."""
    for kind, steps in _made_by(values).items():
        title = kind.split()[-1].replace("service-accounts", "accounts")
        names = _made_names(facts, kind)
        if isinstance(names, UnreadableFact):
            yield _unreadable(title, names)
            continue
        found = [
            failed(title, f"{_name_of(step)} does not exist", shlex.join(step.create))
            for step in steps
            if _name_of(step) not in names
        ]
        there = [step for step in steps if _name_of(step) in names]
        found += [one for step in there if (one := _changed(kind, title, step, values, facts))]
        yield from found or [passed(title, f"{len(steps)} there: {', '.join(map(_name_of, steps))}")]


def _changed(kind: str, title: str, step: Ensure, values: EnvironmentValues, facts: Facts) -> Check | None:
    name = _name_of(step)
    if kind == _ROLES:
        return _changed_role(title, step, facts)
    if kind == _ACCOUNTS:
        (email,) = [one["email"] for one in facts[kind] if str(one.get("email")).partition("@")[0] == name]
        if any(one.get("disabled") for one in facts[kind] if one["email"] == email):
            enable = gcloud(values, "iam service-accounts enable", email)
            return failed(title, f"{name} is disabled: whatever runs as it is refused", shlex.join(enable))
    if kind == _SUBSCRIPTIONS:
        topics = [one.get("topic") for one in facts[kind] if _last(one.get("name")) == name]
        if topics != [f"projects/{values.project}/topics/{name}"]:
            seen = f"{name} reads {topics[0]}, so dead letters are lost"
            return failed(title, seen, "pull what it holds, delete it, and run `project` again")
    return None


def _changed_role(title: str, step: Ensure, facts: Facts) -> Check | None:
    name, role = _name_of(step), facts[f"{_ROLES} {_name_of(step)}"]
    if isinstance(role, UnreadableFact):
        return _unreadable(title, role)
    wanted = set(_flags(step.create)["permissions"].split(","))
    held = set(role.get("includedPermissions") or ())
    lacking, more = ", ".join(sorted(wanted - held)), ", ".join(sorted(held - wanted))
    differences = (
        lacking and f"lacks {lacking}",
        more and f"has {more}, which the deployment does not give",
        "is disabled" if role.get("stage") == "DISABLED" else "",
    )
    found = "; ".join(filter(None, differences))
    return failed(title, f"{name} {found}", shlex.join(step.update or ())) if found else None


def _flags(words: Words) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)


def _made_names(facts: Facts, kind: str) -> set[str] | UnreadableFact:
    if kind == "storage buckets":
        found = facts["staging bucket"]
        if isinstance(found, UnreadableFact):
            return set() if found.absent else found
        return {f"gs://{found.get('name')}"}
    names = _names(facts, kind)
    return names if isinstance(names, UnreadableFact) else {name.partition("@")[0] for name in names}


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
        singular = self.kind.split()[-1].removesuffix("s").replace("repositorie", "repository")
        return name if name.startswith("gs://") else f"{singular} {name}"

    def is_in(self, policy: Mapping[str, Any]) -> bool:
        """Whether the policy has it."""
        return any(
            one.get("role") == self.role
            and any(same_member(self.member, member) for member in one.get("members") or ())
            and (one.get("condition") or {}).get("expression", "") == self.expression
            for one in policy.get("bindings") or ()
        )


def _bindings(values: EnvironmentValues, facts: Facts) -> Iterator[_Binding]:
    """Every binding that the deployment makes: an owner's, and those of a build for what it has built."""
    project = facts["project"]
    number = "$NUMBER" if isinstance(project, UnreadableFact) else str(project.get("projectNumber"))
    agent = f"service-{number}@gs-project-accounts.iam.gserviceaccount.com"
    steps: list[Step] = [*project_steps(values), *job_steps(values, "TAG"), *function_steps(values, "")]
    for step in steps:
        if not isinstance(step, RunCommand) or "add-iam-policy-binding" not in step.command:
            continue
        named = (word.replace("$NUMBER", number) for word in step.command)
        words = tuple(word.replace("$STORAGE_AGENT", agent) for word in named)
        flags = _flags(words)
        condition = flags.get("condition", "None")
        expression = condition.removeprefix("expression=").rpartition(",title=")[0]
        at = words.index("add-iam-policy-binding")
        kind, name = " ".join(words[1:at]), words[at + 1]
        yield _Binding(kind, name, flags["role"], flags["member"], expression, words)


def _bound(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    """The bindings: one line a policy, and one for each binding that it lacks."""
    by_policy: dict[str, list[_Binding]] = {}
    for binding in _bindings(values, facts):
        if binding.fact in facts:  # what does not exist has no policy, and its own red line
            by_policy.setdefault(binding.fact, []).append(binding)
    for fact, wanted in by_policy.items():
        policy, title = facts[fact], f"rights: {wanted[0].title}"
        if isinstance(policy, UnreadableFact):
            yield _unreadable(title, policy)
            continue
        yield from _bound_in(policy, title, wanted, facts)
        if wanted[0].kind in {"storage buckets", "projects"} and not isinstance(
            facts["project"], UnreadableFact
        ):
            yield from _beside(policy, title, wanted, values)


def _beside(
    policy: Mapping[str, Any], title: str, wanted: Sequence[_Binding], values: EnvironmentValues
) -> Iterator[Check]:
    """What our own accounts hold on data beside that: of an older version, or given by hand. It is advice."""
    own = {values.member(name) for name in ACCOUNTS}
    given = {(one.role, one.member, one.expression) for one in wanted}
    for binding in policy.get("bindings") or ():
        role, condition = binding.get("role", ""), binding.get("condition") or {}
        expression, name = condition.get("expression", ""), condition.get("title", "")
        for member in own.intersection(binding.get("members") or ()):
            if (role, member, expression) in given:
                continue
            limit = f"expression={expression},title={name}" if condition else "None"
            flags = (f"--member={member}", f"--role={role}", f"--condition={limit}")
            command = gcloud(values, f"{wanted[0].kind} remove-iam-policy-binding", wanted[0].name, *flags)
            seen = f"{member} also has {role}{f' where {expression}' if condition else ''}, which the deployment does not give"
            yield passed(title, seen, shlex.join(command))


def _bound_in(
    policy: Mapping[str, Any], title: str, wanted: Sequence[_Binding], facts: Facts
) -> Iterator[Check]:
    project = facts["project"]
    judged = [one for one in wanted if "$NUMBER" not in f"{one.member} {one.expression}"]
    if isinstance(project, UnreadableFact) and len(judged) < len(wanted):
        yield _unreadable(f"{title}, Google's own accounts", project)
    missing = [one for one in judged if not one.is_in(policy)]
    for one in missing:
        limit = " with its condition" if one.expression else ""
        yield failed(title, f"{one.member} lacks {one.role}{limit}", shlex.join(one.command))
    if not missing:
        yield passed(title, counted(len(judged), "binding"))


def _agents(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    """Google's own accounts that run builds, functions, triggers and schedules; the others have bindings of ours."""
    name, project, policy = "Google's agents", facts["project"], facts["project policy"]
    for fact in (project, policy):
        if isinstance(fact, UnreadableFact):
            yield _unreadable(name, fact)
            return
    number = project["projectNumber"]
    agents = [_agent(values, number, domain, role) for domain, role in UNBOUND_AGENTS.items()]
    missing = [one for one in agents if not one.is_in(policy)]
    jobs = _names(facts, "run jobs")
    if not missing:
        yield passed(name, f"{len(UNBOUND_AGENTS)} with their roles")
    elif not isinstance(jobs, UnreadableFact) and values.name(Part.BACKFILL.value) not in jobs:
        roles = ", ".join(one.role for one in missing)
        yield Check(name, Standing.NOT_APPLICABLE, f"not yet, before the first build: {roles}")
    else:
        for one in missing:
            yield failed(name, f"{one.member} lacks {one.role}", shlex.join(one.command))


def _agent(values: EnvironmentValues, number: Any, domain: str, role: str) -> _Binding:
    member = f"serviceAccount:service-{number}@{domain}.iam.gserviceaccount.com"
    flags = (f"--member={member}", f"--role={role}", "--condition=None")
    command = gcloud(values, "projects add-iam-policy-binding", values.project, *flags)
    return _Binding("projects", values.project, role, member, "", command)


def _build_region(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    name, builds = "Cloud Build's region", facts["builds"]
    if not isinstance(builds, UnreadableFact) and builds:
        yield passed(name, f"a build has succeeded in {values.region}")
    elif values.region in UNRESTRICTED_BUILDS:
        yield passed(name, f"{values.region} is open to every project")
    elif isinstance(builds, UnreadableFact):
        yield _unreadable(name, builds)
    else:
        seen = f"no build has succeeded in {values.region}, which Cloud Build refuses to some new projects"
        step = "submit the build; where it is refused, submit it with --region=europe-west1 or us-central1"
        yield not_run(name, seen, step)


# --- the writer and the consumer -------------------------------------------------------------------------------------


def _accesses(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    for title, members, consumer in (("writer", values.writer, False), ("consumer", values.consumer, True)):
        for member in members.split(","):
            for need in needs_of(values.migration, consumer=consumer):
                yield _access(f"{title} on {need.at.uri}", member, need, facts)


def _access(name: str, member: str, need: Need, facts: Facts) -> Check:
    policy, project = facts.get(f"storage buckets gs://{need.at.bucket}"), facts["project policy"]
    if policy is None or isinstance(policy, UnreadableFact):
        return _unreadable(name, policy or UnreadableFact("the bucket does not exist", absent=True))
    whole = None if isinstance(project, UnreadableFact) else project
    found = access(member, need, policy, whole)
    if not found.missing:
        return passed(name, f"{member} may {need.what}")
    lacks = ", ".join(permission.removeprefix("storage.") for permission in found.missing)
    role = "objectUser" if "create" in need.what else "objectViewer"
    flags = (f"--member={member}", f"--role=roles/storage.{role}", "--condition=None")
    words = ("gcloud", "storage", "buckets", "add-iam-policy-binding", f"gs://{need.at.bucket}", *flags)
    command = shlex.join(words)
    if found.unsure or whole is None:
        why = "; ".join(found.unsure) or "the project's policy cannot be read"
        seen = f"no binding proves {lacks} for {member}; it may come from elsewhere: {why}"
        step = f"the account's owner tries it; or the bucket's owner grants it: {command}"
        return not_run(name, seen, step)
    nowhere = "neither the bucket nor the project grants it (a folder or organization may)"
    return failed(name, f"{member} lacks {lacks}: {nowhere}", command)


# --- what a build puts there -----------------------------------------------------------------------------------------


def _built(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    jobs, functions = _names(facts, "run jobs"), _names(facts, "run services")
    for title, names in (("jobs", jobs), ("functions", functions)):
        if isinstance(names, UnreadableFact):
            yield _unreadable(title, names)
    if isinstance(jobs, UnreadableFact) or isinstance(functions, UnreadableFact):
        return
    own = {words[4]: words for words in _deployments(job_steps(values, "TAG"), "run jobs deploy")}
    if not own.keys() & jobs and not any(values.name(part.value) in functions for part in Part):
        yield _nothing_built(values, facts)
        return
    yield from _jobs(own, values, facts)
    yield from _functions(values, facts)
    yield from _schedules(values, facts)
    yield from _monitoring(values, facts)


def _nothing_built(values: EnvironmentValues, facts: Facts) -> Check:
    """Triggers are listed everywhere, and the rest in one region: with another REGION a project looks as if it were empty."""
    triggers = () if isinstance(facts["triggers"], UnreadableFact) else facts["triggers"]
    mirror = values.name(Part.MIRROR.value)
    elsewhere = [one["name"] for one in triggers if _last(one.get("name")).startswith(mirror)]
    if elsewhere:
        seen = f"no job and no function is in {values.region}, but there is the trigger {elsewhere[0]}"
        step = f"write the region of the deployment into deploy/{values.env.value}.env, as REGION"
        return failed("build", seen, step)
    return Check("build", Standing.NOT_APPLICABLE, "nothing is deployed yet", _submit(values))


def _deployments(steps: Iterable[Step], command: str) -> Iterator[Words]:
    """The commands of the build that describe a wanted result; an update has the same flags as a creation."""
    for step in steps:
        words = step.create if isinstance(step, Ensure) else step.command
        if " ".join(words[1:]).startswith(command):
            yield words


def _differences(*pairs: tuple[str, Any, Any]) -> str:
    """What is not as wanted, of pairs of found and wanted: their name, and both."""
    return "; ".join(
        f"{name} {found or 'none'} instead of {wanted}" for name, found, wanted in pairs if found != wanted
    )


def _jobs(own: Mapping[str, Words], values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    found = {str(field(one, "metadata", "name")): one for one in facts["run jobs"]}
    reds = []
    for name, words in own.items():
        job, flags = found.get(name), _flags(words)
        if job is None:
            reds.append(f"{name} is missing")
            continue
        task = field(job, "spec", "template", "spec", "template", "spec") or {}
        container = (task.get("containers") or [{}])[0]
        ready = {one.get("type"): one for one in field(job, "status", "conditions") or ()}.get("Ready") or {}
        arguments = " ".join(container.get("args") or ())
        differs = _differences(
            ("account", task.get("serviceAccountName"), flags["service-account"]),
            ("arguments", arguments, flags["args"].replace(",", " ")),
        )
        reds += [f"{name}: {differs}"] if differs else []
        if ready.get("status") != "True":
            reds.append(f"{name} is not ready: {ready.get('message') or 'no reason is given'}")
    yield from (failed("jobs", red, _submit(values)) for red in reds)
    if not reds:
        yield passed("jobs", f"{len(own)} there, with their accounts and arguments")


def _monitoring(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    """Metrics, alerts and dashboard by their names; that the alerts notify the channel is a line of its own."""
    wanted = {
        "metrics": {f"qpi_exports_{path.stem}" for path in (MONITORING / "metrics").glob("*.yaml")},
        "alerts": {path.stem for path in (MONITORING / "alerts").glob("*.yaml")},
        "dashboards": {f"qpi-exports-migration-{values.env.value}"},
    }
    for kind, names in wanted.items():
        found = facts[kind]
        if isinstance(found, UnreadableFact):
            yield _unreadable(kind, found)
            continue
        present = {_last(one.get("name")) for one in found}
        if kind == "alerts":
            own = [one for one in found if field(one, "userLabels", "env") == values.env.value]
            present = {_policy(one) for one in own if one.get("enabled", True)}
            channels = ((one, map(_last, one.get("notificationChannels") or ())) for one in own)
            deaf = sorted(_policy(one) for one, told in channels if _last(values.channel) not in told)
            if deaf:
                seen = f"these do not notify {values.channel}: {', '.join(deaf)}"
                yield failed(kind, seen, _submit(values))
        missing = sorted(names - present)
        if missing:
            yield failed(kind, f"missing: {', '.join(missing)}", _submit(values))
        else:
            yield passed(kind, f"{len(names)} there")


def _policy(alert: Mapping[str, Any]) -> str:
    return str(field(alert, "userLabels", "policy"))


def _submit(values: EnvironmentValues) -> str:
    return f"submit the build for {values.env.value} (docs/deploy.md, step 3)"


def _deploy(values: EnvironmentValues, part: Part) -> str:
    """The command of the build that deploys a function; in a checkout, its sources are the checkout's."""
    return shlex.join(_deployment(values, part, release(MONITORING.parent)))


def _deployment(values: EnvironmentValues, part: Part, source: str = "") -> Words:
    deployments = _deployments(function_steps(values, source), "functions deploy")
    (found,) = [words for words in deployments if words[3] == values.name(part.value)]
    return found


def _functions(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    functions = {_last(one.get("name")): one for one in facts["functions"]}
    locations = {Part.MIRROR: values.legacy_location, Part.REVERSE: values.new_location, Part.STATUS: ""}
    for part, location in locations.items():
        name, title = values.name(part.value), f"function {part.value}"
        found = functions.get(name)
        if found is None or found.get("state") != "ACTIVE":
            state = "not deployed" if found is None else f"in state {found.get('state')}"
            yield failed(title, f"{name} is {state}", _submit(values))
            continue
        flags = _flags(_deployment(values, part))
        settings = dict(one.split("=", 1) for one in flags["set-env-vars"].split(","))
        has = field(found, "serviceConfig", "environmentVariables") or {}
        extra = [each for each in has if each.startswith("MIRROR_")]
        differs = _differences(
            ("account", field(found, "serviceConfig", "serviceAccountEmail"), flags["service-account"]),
            *((each, has.get(each), settings.get(each)) for each in sorted({*settings, *extra})),
        )
        if differs:
            # A build leaves a function as it is whose label is right; this command does not.
            yield failed(title, differs, _deploy(values, part))
        else:
            yield passed(title, "active, with its account and its settings")
        if location:
            yield _trigger(part, location, found.get("eventTrigger") or {}, values, facts)
            yield from _dead_letters(part, found.get("eventTrigger") or {}, values, facts)


def _trigger(
    part: Part, location: str, trigger: Mapping[str, Any], values: EnvironmentValues, facts: Facts
) -> Check:
    name, deploy, flags = f"trigger of {part.value}", _deploy(values, part), _flags(_deployment(values, part))
    if trigger.get("retryPolicy") != "RETRY_POLICY_RETRY":
        return failed(name, "redelivery is off: an event that fails once is lost", deploy)
    filters = {one.get("attribute"): one.get("value") for one in trigger.get("eventFilters") or ()}
    differs = _differences(
        ("location", str(trigger.get("triggerRegion", "")).lower(), location),
        ("event", trigger.get("eventType"), FINALIZED),
        ("bucket", filters.get("bucket"), flags["trigger-event-filters"].removeprefix("bucket=")),
        ("account", trigger.get("serviceAccountEmail"), flags["trigger-service-account"]),
    )
    if differs:
        return failed(name, differs, deploy)
    triggers = facts["triggers"]
    if isinstance(triggers, UnreadableFact):
        return _unreadable(name, triggers)
    if not any(one.get("name") == trigger.get("trigger") for one in triggers):
        return failed(name, "it does not exist: no event reaches the function", deploy)
    return passed(name, f"in {location}, for new objects of gs://{filters['bucket']}")


def _dead_letters(
    part: Part, trigger: Mapping[str, Any], values: EnvironmentValues, facts: Facts
) -> Iterator[Check]:
    name, listed, triggers = f"dead letters of {part.value}", facts["pubsub subscriptions"], facts["triggers"]
    for fact in (listed, triggers):
        if isinstance(fact, UnreadableFact):
            yield _unreadable(name, fact)
            return
    own = [one for one in triggers if one.get("name") == trigger.get("trigger")]
    if not own:
        return  # the trigger's own red line says so
    subscription = str(field(own[0], "transport", "pubsub", "subscription"))
    found = next((one for one in listed if one.get("name") == subscription), None)
    if found is None:
        yield failed(name, f"the trigger's subscription {subscription} does not exist", _deploy(values, part))
        return
    topic = f"projects/{values.project}/topics/{values.name(DEAD_LETTERS)}"
    policy = found.get("deadLetterPolicy") or {}
    if policy.get("deadLetterTopic") == topic and policy.get("maxDeliveryAttempts") == DELIVERIES:
        yield passed(name, f"after {DELIVERIES} deliveries to {values.name(DEAD_LETTERS)}")
        return
    flags = (f"--dead-letter-topic={topic}", f"--max-delivery-attempts={DELIVERIES}")
    command = gcloud(values, "pubsub subscriptions update", subscription, *flags)
    yield failed(name, "the subscription has no dead-letter policy, or another", shlex.join(command))


def _schedules(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    listed = facts["schedules"]
    if isinstance(listed, UnreadableFact):
        yield _unreadable("schedules", listed)
        return
    found = {_last(one.get("name")): one for one in listed}
    for words in _deployments(scheduler_steps(values), "scheduler jobs create"):
        name, flags = words[5], _flags(words)
        short = name.removeprefix("qpi-exports-").removesuffix(f"-{values.env.value}")
        title, one = f"schedule {short}", found.get(name)
        again = f"python3 -m deploy --env {values.env.value} scheduler"
        if one is None:
            yield failed(title, "it does not exist", again)
            continue
        account = field(one, "httpTarget", "oauthToken", "serviceAccountEmail")
        differs = _differences(
            ("schedule", one.get("schedule"), flags["schedule"]),
            ("time zone", one.get("timeZone"), flags["time-zone"]),
            ("address", field(one, "httpTarget", "uri"), flags["uri"]),
            ("account", account, flags["oauth-service-account-email"]),
        )
        if differs or one.get("state") not in {"ENABLED", "PAUSED"}:
            yield failed(title, differs or f"in state {one.get('state')}: it does not run", again)
        elif one.get("state") == "PAUSED":
            command = gcloud(values, "scheduler jobs resume", name, f"--location={values.region}")
            yield passed(title, "PAUSED: right before the deletion only", shlex.join(command))
        else:
            yield passed(title, f"{flags['schedule']}, enabled")


def _channel(values: EnvironmentValues, facts: Facts) -> Iterator[Check]:
    name, found = "notification channel", facts["channel"]
    listed = shlex.join(gcloud(values, "beta monitoring channels list")[:-1])
    if isinstance(found, UnreadableFact):
        if found.absent:
            yield failed(name, f"CHANNEL names {values.channel}, which does not exist", listed)
        else:
            yield _unreadable(name, found)
    elif found.get("enabled") is False or found.get("verificationStatus") == "UNVERIFIED":
        yield failed(name, f"{values.channel} is disabled or not verified: it notifies no person", listed)
    else:
        shown = f"{found.get('type', '')} {found.get('displayName', '')}".strip()
        yield passed(name, shown or values.channel)


_SUBJECTS: Mapping[str, _Judge] = {
    "APIs": _services,
    "buckets": _buckets,
    "accounts and roles": _made,
    "rights": _bound,
    "Google's agents": _agents,
    "Cloud Build's region": _build_region,
    "writer and consumer": _accesses,
    "notification channel": _channel,
    "build": _built,
}
"""What is judged, in the order of the table; the name is the line's where an answer has another form."""

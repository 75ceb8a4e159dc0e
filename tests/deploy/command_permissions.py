"""Which API permissions each printed command needs, held against the roles that the printed bindings give.

Each row is from gcloud 528's own source: the calls that the command makes, and the permission of each call by Google's IAM reference.
A command without a row is an error, so nobody adds one without saying what it needs. ``predefined_roles.json`` has the roles.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from backfill_job.rights import Role
from deploy.project import PAUSE
from deploy.steps import Words

__all__ = ["PROJECT", "ROWS", "Grants", "extract", "findings", "row_of"]

PROJECT = "the project"

_ROLES = Path(__file__).parent / "predefined_roles.json"

ROWS: Mapping[str, str] = {
    # An owner: what sets up the project.
    "services enable": "serviceusage.services.enable serviceusage.services.get",
    # The role Service Usage Admin (IAM documentation, "Create and grant roles to service agents").
    "beta services identity create": "serviceusage.services.enable",
    "artifacts repositories list": "artifactregistry.repositories.list",
    "artifacts repositories create": "artifactregistry.repositories.create",
    "artifacts repositories add-iam-policy-binding": "artifactregistry.repositories.getIamPolicy artifactregistry.repositories.setIamPolicy",
    "storage buckets list": "storage.buckets.list",
    "storage buckets create": "storage.buckets.create",
    "storage buckets add-iam-policy-binding": "storage.buckets.getIamPolicy storage.buckets.setIamPolicy",
    "storage service-agent": "resourcemanager.projects.get",
    "pubsub topics list": "pubsub.topics.list",
    "pubsub topics create": "pubsub.topics.create",
    "pubsub topics add-iam-policy-binding": "pubsub.topics.getIamPolicy pubsub.topics.setIamPolicy",
    "pubsub subscriptions list": "pubsub.subscriptions.list",
    "pubsub subscriptions create": "pubsub.subscriptions.create pubsub.topics.attachSubscription",
    "pubsub subscriptions add-iam-policy-binding": "pubsub.subscriptions.getIamPolicy pubsub.subscriptions.setIamPolicy",
    "iam service-accounts list": "iam.serviceAccounts.list",
    "iam service-accounts create": "iam.serviceAccounts.create",
    "iam service-accounts add-iam-policy-binding": "iam.serviceAccounts.getIamPolicy iam.serviceAccounts.setIamPolicy",
    "iam roles list": "iam.roles.list",
    "iam roles create": "iam.roles.create",
    "iam roles update": "iam.roles.get iam.roles.update",
    "projects describe": "resourcemanager.projects.get",
    "projects add-iam-policy-binding": "resourcemanager.projects.getIamPolicy resourcemanager.projects.setIamPolicy",
    # The build's account: surface/run/jobs/deploy.py asks for enabled services and goes on where it may not.
    "run jobs deploy": (
        "run.jobs.get@{4} run.jobs.create run.jobs.update@{4} iam.serviceAccounts.actAs@{--service-account} "
        "artifactregistry.repositories.downloadArtifacts@qpi-exports"
    ),
    "run jobs add-iam-policy-binding": "run.jobs.getIamPolicy@{4} run.jobs.setIamPolicy@{4}",
    # serverless_operations.RunJob with overrides, and the poller of an execution, which is no child of the job's policy (F15).
    "run jobs execute": "run.jobs.get@{4} run.jobs.run@{4} run.jobs.runWithOverrides@{4} run.executions.get",
    "run services add-iam-policy-binding": "run.services.getIamPolicy@{4} run.services.setIamPolicy@{4}",
    "functions list": "cloudfunctions.functions.list",
    "functions describe": "cloudfunctions.functions.get",
    # command_lib/functions/v2/deploy/command.py: GetFunction, ListRuntimes, GenerateUploadUrl, three times IsServiceEnabled,
    # GetProjectNumber, Create or Patch, the operation; with --no-allow-unauthenticated the service's policy.
    "functions deploy": (
        "cloudfunctions.functions.get cloudfunctions.runtimes.list cloudfunctions.functions.sourceCodeSet "
        "serviceusage.services.get resourcemanager.projects.get cloudfunctions.functions.create "
        "cloudfunctions.functions.update cloudfunctions.operations.get run.services.getIamPolicy run.services.setIamPolicy "
        "iam.serviceAccounts.actAs@{--service-account} iam.serviceAccounts.actAs@{--build-service-account} "
        "iam.serviceAccounts.actAs@{--trigger-service-account}"
    ),
    "eventarc triggers describe": "eventarc.triggers.get",
    "pubsub subscriptions update": "pubsub.subscriptions.update",
    "scheduler jobs list": "cloudscheduler.jobs.list",
    "scheduler jobs create http": "cloudscheduler.jobs.create iam.serviceAccounts.actAs@{--oauth-service-account-email}",
    "scheduler jobs update http": (
        "cloudscheduler.jobs.get cloudscheduler.jobs.update iam.serviceAccounts.actAs@{--oauth-service-account-email}"
    ),
    "storage buckets describe": "storage.buckets.get@{4}",
    # Steps of cloudbuild.yaml that are not gcloud.
    "(source of a build)": "storage.objects.get@{2} logging.logEntries.create",
    "(docker pull)": "artifactregistry.repositories.downloadArtifacts@qpi-exports",
    "(docker push)": "artifactregistry.repositories.uploadArtifacts@qpi-exports",
    "(monitoring.apply)": " ".join(
        f"{kind}.{verb}"
        for kind in ("logging.logMetrics", "monitoring.dashboards", "monitoring.alertPolicies")
        for verb in ("list", "create", "update")
    ),
    # What Cloud Scheduler sends: jobs.run of the Cloud Run Admin API.
    "(schedule)": "run.jobs.run@{2}",
    "(schedule with arguments)": "run.jobs.run@{2} run.jobs.runWithOverrides@{2}",
    # backfill_job/smoke/observe.py, in the operator's account.
    "(smoke --observe)": "logging.logEntries.list monitoring.timeSeries.list",
    # The people: command_lib/builds/submit_util.py gets the staging bucket before it uploads (F1).
    "builds submit": (
        "cloudbuild.builds.create cloudbuild.builds.get serviceusage.services.use "
        "storage.buckets.get@{--gcs-source-staging-dir} storage.objects.create@{--gcs-source-staging-dir} "
        "storage.objects.get@{--gcs-source-staging-dir} iam.serviceAccounts.actAs@{build}"
    ),
    "auth application-default login": "iam.serviceAccounts.getAccessToken@{--impersonate-service-account} serviceusage.services.use",
    "logging read": "logging.logEntries.list",
    # backfill_job.readers: entries.list of the Data Access log; without the second permission the entries are left out.
    "(readers)": "logging.logEntries.list logging.privateLogEntries.list",
    # What `readers` prints for an owner.
    "projects set-iam-policy": "resourcemanager.projects.getIamPolicy resourcemanager.projects.setIamPolicy",
    "logging sinks update": "logging.sinks.get logging.sinks.update",
    "pubsub subscriptions pull": "pubsub.subscriptions.consume@{4}",
    "scheduler jobs pause": "cloudscheduler.jobs.pause",
    "run services proxy": "run.services.get run.routes.invoke@{4}",
    "beta monitoring channels list": "monitoring.notificationChannels.list",
    # The check reads only. What its caller may not read is unknown there.
    "services list": "serviceusage.services.list",
    "storage buckets get-iam-policy": "storage.buckets.getIamPolicy@{4}",
    "projects get-iam-policy": "resourcemanager.projects.getIamPolicy",
    "iam service-accounts get-iam-policy": "iam.serviceAccounts.getIamPolicy@{4}",
    "artifacts repositories get-iam-policy": "artifactregistry.repositories.getIamPolicy@{4}",
    "pubsub topics get-iam-policy": "pubsub.topics.getIamPolicy@{4}",
    "pubsub subscriptions get-iam-policy": "pubsub.subscriptions.getIamPolicy@{4}",
    "run jobs list": "run.jobs.list",
    "run jobs get-iam-policy": "run.jobs.getIamPolicy@{4}",
    "run services get-iam-policy": "run.services.getIamPolicy@{4}",
    "builds list": "cloudbuild.builds.list",
    "eventarc triggers list": "eventarc.triggers.list",
    "logging metrics list": "logging.logMetrics.list",
    "iam roles describe": "iam.roles.get",
    "alpha monitoring policies list": "monitoring.alertPolicies.list",
    "beta monitoring channels describe": "monitoring.notificationChannels.get",
    "monitoring dashboards list": "monitoring.dashboards.list",
    # What the check shows to mend a line.
    "iam service-accounts enable": "iam.serviceAccounts.enable@{4}",
    "projects remove-iam-policy-binding": "resourcemanager.projects.getIamPolicy resourcemanager.projects.setIamPolicy",
    "storage buckets remove-iam-policy-binding": "storage.buckets.getIamPolicy storage.buckets.setIamPolicy",
    "scheduler jobs resume": "cloudscheduler.jobs.enable",
    "storage buckets update": "storage.buckets.get@{4} storage.buckets.update@{4}",
}
"""The permissions of a command, by its names: ``permission@where``. ``{4}`` is the word that names the resource, ``{--flag}`` that
flag's value, ``{build}`` the build's account; without ``@`` it must hold on the project."""


@dataclass(frozen=True, slots=True)
class Grants:
    """What each member holds: permissions by member and by place.

    Attributes:
        held: ``(member, where)`` with the permissions; `where` is PROJECT, or a bucket's, job's or account's name.
    """

    held: Mapping[tuple[str, str], frozenset[str]]

    @staticmethod
    def of(commands: Iterable[Words]) -> "Grants":
        """What the bindings among the commands give; one with a condition gives nothing here."""
        held: dict[tuple[str, str], frozenset[str]] = {}
        for words in commands:
            flags = _flags(words)
            if "add-iam-policy-binding" not in words or "expression=" in flags.get("condition", ""):
                continue
            where = PROJECT if words[1] == "projects" else _name(words[4])
            at = (flags["member"], where)
            held[at] = held.get(at, frozenset()) | _permissions(flags["role"])
        return Grants(held)

    def holds(self, member: str, permission: str, where: str) -> bool:
        """Whether a member holds a permission in a place; what holds on the project holds everywhere in it."""
        return any(permission in self.held.get((member, at), ()) for at in {where, PROJECT})


def findings(member: str, commands: Iterable[Words], grants: Grants, build: str = "") -> list[str]:
    """What a member lacks for its commands: a line for each permission and place."""
    found = {
        f"{member.partition('@')[0]}: {name}: {permission} on {where}"
        for words in commands
        for name, permission, where in _needs(words, build)
        if not grants.holds(member, permission, where)
    }
    return sorted(found)


def row_of(words: Words) -> str:
    """The name of a command's row.

    Raises:
        KeyError: It has none.
    """
    for length in (4, 3, 2, 1):
        name = " ".join(words[1 : length + 1]) if words[0] == "gcloud" else words[0]
        if name in ROWS:
            return name
    raise KeyError(f"no row for {' '.join(words)}; say in command_permissions.py which permissions it needs")


def _needs(words: Words, build: str) -> Iterator[tuple[str, str, str]]:
    flags, name = {**_flags(words), "build": build}, row_of(words)
    for need in ROWS[name].split():
        permission, _, at = need.partition("@")
        hole = re.fullmatch(r"\{(?:--)?([a-z0-9-]+)\}", at)
        if hole is None:
            yield name, permission, at or PROJECT
        elif hole[1].isdigit():
            yield name, permission, _name(words[int(hole[1])])
        elif hole[1] in flags:
            yield name, permission, _name(flags[hole[1]])


def _flags(words: Sequence[str]) -> dict[str, str]:
    return {
        name.removeprefix("--"): value
        for name, equals, value in (word.partition("=") for word in words)
        if name.startswith("--") and equals
    }


def _name(text: str) -> str:
    """A bucket without its folder, an account without its project."""
    return text.removeprefix("gs://").partition("/")[0] if "gs://" in text else text.rpartition("/")[2]


def _permissions(role: str) -> frozenset[str]:
    custom = {one.role_id: frozenset(one.permissions) for one in Role} | {PAUSE[0]: frozenset(PAUSE[1])}
    own = role.rpartition("/")[2]
    return custom[own] if own in custom else frozenset(extract()["roles"][role])


@cache
def extract() -> dict[str, dict[str, list[str]]]:
    """The committed extract of the predefined roles."""
    found: dict[str, dict[str, list[str]]] = json.loads(_ROLES.read_text(encoding="utf-8"))
    return found

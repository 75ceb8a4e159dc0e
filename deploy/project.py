"""What an owner of the project sets up once: services, the image repository, accounts, roles and bindings.

A build has no permission for any of this. It only deploys new versions into it.
"""

from collections.abc import Iterator

from backfill_job.rights import RIGHTS, Area, Part, Role, location_of
from deploy.steps import Ask, Ensure, RunCommand, Step, Words
from deploy.values import EnvironmentValues

__all__ = [
    "ACCOUNTS",
    "BUILD",
    "DEAD_LETTERS",
    "FUNCTION_BUILD",
    "PAUSE",
    "SCHEDULER",
    "TRIGGER",
    "gcloud",
    "project_steps",
    "staging",
    "table",
]

SERVICES = (
    *("artifactregistry", "bigquery", "cloudbuild", "cloudfunctions", "cloudresourcemanager"),
    *("cloudscheduler", "eventarc", "iam", "iamcredentials", "logging", "monitoring", "pubsub"),
    *("run", "storage"),
)

TRIGGER, SCHEDULER, BUILD, FUNCTION_BUILD = "trigger", "scheduler", "build", "fn-build"
"""Accounts without access to the migration's objects."""

ACCOUNTS = {
    **{part.value: f"QPI exports: {part.value}" for part in Part},
    TRIGGER: "QPI exports: brings events to the mirrors",
    SCHEDULER: "QPI exports: starts the sweeps",
    BUILD: "QPI exports: tests, builds, deploys",
    FUNCTION_BUILD: "QPI exports: builds the functions",
}

AGENTS = {
    "eventarc": ("gcp-sa-eventarc", "roles/eventarc.serviceAgent"),
    "pubsub": ("gcp-sa-pubsub", "roles/pubsub.serviceAgent"),
}
"""Google's own accounts that must exist before a binding names them, by service: the domain of the address, and the role.

Enabling a service does not make its agent (a public report of a new project). A binding to it is then refused, however often it is
retried, and so is the first trigger. An agent that is made by request gets no role (IAM documentation, "Create and grant roles to
service agents")."""

DEAD_LETTERS = "dead-letters"

PROJECT_ROLES = {
    TRIGGER: ("roles/eventarc.eventReceiver",),
    # For ``smoke --observe``, and the dead letters' count of the gate, in the operator's account.
    Part.OPERATOR.value: ("roles/logging.viewer", "roles/monitoring.viewer"),
    Part.VERIFY.value: ("roles/bigquery.jobUser", "roles/logging.privateLogViewer"),
    FUNCTION_BUILD: ("roles/logging.logWriter",),
    BUILD: (
        "roles/cloudfunctions.developer",
        "roles/cloudscheduler.admin",
        "roles/eventarc.developer",
        "roles/logging.configWriter",
        "roles/logging.logWriter",
        "roles/monitoring.alertPolicyEditor",
        "roles/monitoring.dashboardEditor",
        "roles/pubsub.editor",
        "roles/run.admin",
    ),
}
"""Predefined roles on the whole project. None of them reads or writes objects; a private log names them."""

PAUSE = (
    "qpiExportsPause",
    tuple(f"cloudscheduler.jobs.{verb}" for verb in ("enable", "get", "list", "pause")),
)
"""A custom role for the people who run the migration: they pause the sweeps before the deletion, and resume them."""

DELETER_ROLES = ("roles/logging.viewer", "roles/run.viewer")
"""Roles on the project for the people who delete the legacy path. With them they follow the executions of their own job."""

BUILDER_ROLES = (
    "roles/cloudbuild.builds.editor",
    "roles/logging.viewer",
    "roles/serviceusage.serviceUsageConsumer",
)
"""Roles on the project for the people who submit builds."""

OPERATOR_ROLES = (
    "roles/logging.privateLogViewer",
    "roles/logging.viewer",
    "roles/monitoring.viewer",
    "roles/run.viewer",
    "roles/serviceusage.serviceUsageConsumer",
)
"""Roles on the project for the people who run the migration."""


def gcloud(values: EnvironmentValues, command: str, *words: str) -> Words:
    """A gcloud command in the environment's project; the names of the command are separated by spaces."""
    return ("gcloud", *command.split(), *words, f"--project={values.project}", "--quiet")


def project_steps(values: EnvironmentValues) -> Iterator[Step]:
    """Everything an owner sets up."""
    yield from _prerequisites(values)
    yield RunCommand(gcloud(values, "services enable", *(f"{name}.googleapis.com" for name in SERVICES)))
    for service in AGENTS:
        yield RunCommand(
            gcloud(values, "beta services identity create", f"--service={service}.googleapis.com")
        )
    yield from _places(values)
    yield from _accounts(values)
    yield from _roles(values)
    yield from _storage_bindings(values)
    yield from _project_bindings(values)
    yield from _people(values)


def table(values: EnvironmentValues) -> Iterator[str]:
    """The table of accounts and rights in ``docs/deploy.md``, line by line."""
    yield "| account | where | may |"
    yield "|---|---|---|"
    for part in Part:
        for area in Area:
            held = [right.role.permissions for right in RIGHTS if (right.part, right.area) == (part, area)]
            may = sorted({name.removeprefix("storage.") for names in held for name in names})
            if may:
                at = location_of(area, values.migration).uri
                yield f"| `{values.name(part.value)}` | {area.value}, `{at}` | {', '.join(may)} |"
    for name, roles in PROJECT_ROLES.items():
        yield f"| `{values.name(name)}` | the project | {', '.join(f'`{role}`' for role in roles)} |"


def _prerequisites(values: EnvironmentValues) -> Iterator[Step]:
    """Both buckets must be in the project, and have uniform access. Cloud Storage refuses a condition on any other bucket.

    Eventarc brings a bucket's events only within the bucket's own project.
    """
    for name, bucket in (
        ("LEGACY_BUCKET", values.migration.source.bucket),
        ("NEW_BUCKET", values.migration.destination.bucket),
    ):
        found = f"--filter=name={bucket} AND uniform_bucket_level_access=true"
        missing = f"gs://{bucket} is not in {values.project}, or has no uniform bucket-level access: see docs/deploy.md, What must be there"
        yield Ask(name, gcloud(values, "storage buckets list", found, "--format=value(name)"), missing)


def _places(values: EnvironmentValues) -> Iterator[Step]:
    at, sources = f"--location={values.region}", staging(values)
    found = ("--filter=name~/qpi-exports$", "--format=value(name)")
    yield Ensure(
        gcloud(values, "artifacts repositories list", at, *found),
        gcloud(values, "artifacts repositories create qpi-exports", at, "--repository-format=docker"),
    )
    private = ("--uniform-bucket-level-access", "--public-access-prevention")
    yield Ensure(
        gcloud(values, "storage buckets list", f"--filter=name={sources}", "--format=value(name)"),
        gcloud(values, "storage buckets create", f"gs://{sources}", at, *private),
    )
    name = values.name(DEAD_LETTERS)
    kept = (f"--topic={name}", "--expiration-period=never", "--message-retention-duration=7d")
    for kind, options in (("topics", ()), ("subscriptions", kept)):
        yield Ensure(
            gcloud(values, f"pubsub {kind} list", f"--filter=name~/{name}$", "--format=value(name)"),
            gcloud(values, f"pubsub {kind} create", name, *options),
        )


def _accounts(values: EnvironmentValues) -> Iterator[Step]:
    for name, title in ACCOUNTS.items():
        listed = (f"--filter=email={values.account(name)}", "--format=value(email)")
        yield Ensure(
            gcloud(values, "iam service-accounts list", *listed),
            gcloud(values, "iam service-accounts create", values.name(name), f"--display-name={title}"),
        )


def _roles(values: EnvironmentValues) -> Iterator[Step]:
    for role_id, permissions in (*((role.role_id, role.permissions) for role in Role), PAUSE):
        title = f"QPI exports: {role_id.removeprefix('qpiExports').lower()}"
        what = (role_id, f"--permissions={','.join(permissions)}", f"--title={title}", "--stage=GA")
        yield Ensure(
            gcloud(values, "iam roles list", f"--filter=name~/{role_id}$", "--format=value(name)"),
            gcloud(values, "iam roles create", *what),
            gcloud(values, "iam roles update", *what),
        )


def _storage_bindings(values: EnvironmentValues) -> Iterator[Step]:
    """Which part holds which role where: in a whole bucket, or with a condition that limits the role to a prefix."""
    for right in RIGHTS:
        at = location_of(right.area, values.migration)
        objects = f'resource.name.startsWith("projects/_/buckets/{at.bucket}/objects/{at.prefix}")'
        limit = f"expression={objects},title={right.area.name.lower().replace('_', '-')}"
        role = f"projects/{values.project}/roles/{right.role.role_id}"
        condition = f"--condition={'None' if right.area.is_bucket else limit}"
        member = values.member(right.part)
        yield _bind(values, "storage buckets", f"gs://{at.bucket}", member, role, condition)


def _project_bindings(values: EnvironmentValues) -> Iterator[Step]:
    for name, roles in PROJECT_ROLES.items():
        for role in roles:
            yield _on_project(values, values.member(name), role)
    # Google's own accounts: Cloud Storage publishes the events, Pub/Sub forwards the dead letters.
    yield Ask("STORAGE_AGENT", gcloud(values, "storage service-agent"))
    yield _on_project(values, "serviceAccount:$STORAGE_AGENT", "roles/pubsub.publisher")
    yield Ask("NUMBER", gcloud(values, "projects describe", values.project, "--format=value(projectNumber)"))
    for domain, role in AGENTS.values():
        yield _on_project(values, f"serviceAccount:service-$NUMBER@{domain}.iam.gserviceaccount.com", role)
    pubsub = "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com"
    yield _on_project(values, pubsub, "roles/pubsub.subscriber")
    yield _bind(values, "pubsub topics", values.name(DEAD_LETTERS), pubsub, "roles/pubsub.publisher")
    # A Pub/Sub agent from before 8 April 2021 may not make the tokens with which it delivers (Eventarc's documentation).
    yield _on_account(values, TRIGGER, pubsub, "roles/iam.serviceAccountTokenCreator")
    # gcloud uploads a function's source to a bucket that Google creates and names by project and region.
    sources = f'resource.name.startsWith("projects/_/buckets/gcf-v2-sources-$NUMBER-{values.region}/")'
    condition = f"expression={sources},title=function-sources"
    yield _on_project(values, values.member(FUNCTION_BUILD), "roles/storage.objectViewer", condition)
    where, writer = f"--location={values.region}", "roles/artifactregistry.writer"
    for name in (BUILD, FUNCTION_BUILD):
        yield _bind(values, "artifacts repositories", "qpi-exports", values.member(name), writer, where)
    viewer = "roles/storage.objectViewer"
    yield _bind(values, "storage buckets", f"gs://{staging(values)}", values.member(BUILD), viewer)
    # A build deploys parts that run as these accounts.
    for name in ACCOUNTS:
        if name not in {BUILD, Part.OPERATOR.value}:
            yield _on_account(values, name, values.member(BUILD), "roles/iam.serviceAccountUser")


def _people(values: EnvironmentValues) -> Iterator[Step]:
    people, dead_letters = values.operators, values.name(DEAD_LETTERS)
    for role in BUILDER_ROLES:
        if values.builders != people or role not in OPERATOR_ROLES:
            yield _on_project(values, values.builders, role)
    for role in (*OPERATOR_ROLES, f"projects/{values.project}/roles/{PAUSE[0]}"):
        yield _on_project(values, people, role)
    for part in (Part.OPERATOR, Part.REVERSE):
        yield _on_account(values, part, people, "roles/iam.serviceAccountTokenCreator")
    yield _on_account(values, BUILD, values.builders, "roles/iam.serviceAccountUser")
    yield _on_account(values, Part.DELETION, values.deleters, "roles/iam.serviceAccountTokenCreator")
    for role in DELETER_ROLES:
        yield _on_project(values, values.deleters, role)
    # gcloud asks for the bucket before it uploads the sources of a build, which takes storage.buckets.get.
    for role in ("roles/storage.legacyBucketReader", "roles/storage.objectUser"):
        yield _bind(values, "storage buckets", f"gs://{staging(values)}", values.builders, role)
    yield _bind(values, "pubsub subscriptions", dead_letters, people, "roles/pubsub.subscriber")


def staging(values: EnvironmentValues) -> str:
    """The bucket of the sources of builds."""
    return f"{values.project}-qpi-exports-build"


def _on_project(values: EnvironmentValues, member: str, role: str, condition: str = "None") -> RunCommand:
    words = ("gcloud", "projects", "add-iam-policy-binding", values.project)
    return RunCommand((*words, f"--member={member}", f"--role={role}", f"--condition={condition}", "--quiet"))


def _on_account(values: EnvironmentValues, part: Part | str, member: str, role: str) -> RunCommand:
    return _bind(values, "iam service-accounts", values.account(part), member, role)


def _bind(values: EnvironmentValues, kind: str, name: str, member: str, role: str, *where: str) -> RunCommand:
    binding = (name, f"--member={member}", f"--role={role}", *where)
    return RunCommand(gcloud(values, f"{kind} add-iam-policy-binding", *binding))

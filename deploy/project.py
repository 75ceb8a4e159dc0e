"""What an owner of the project sets up once: services, the image repository, accounts, roles and bindings.

A build has no permission for any of this. It only deploys new versions into it.
"""

from collections.abc import Iterator

from backfill_job.rights import RIGHTS, Area, Part, Role, location_of
from deploy.steps import Ask, Ensure, Run, Step, Words
from deploy.values import Values

__all__ = [
    "BUILD",
    "DEAD_LETTERS",
    "FUNCTION_BUILD",
    "SCHEDULER",
    "TRIGGER",
    "bindings",
    "gcloud",
    "project_steps",
]

SERVICES = (
    "artifactregistry",
    "bigquery",
    "cloudbuild",
    "cloudfunctions",
    "cloudscheduler",
    "eventarc",
    "iam",
    "logging",
    "monitoring",
    "pubsub",
    "run",
    "storage",
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

DEAD_LETTERS = "dead-letters"

PROJECT_ROLES = {
    TRIGGER: ("roles/eventarc.eventReceiver",),
    Part.VERIFY.value: ("roles/bigquery.jobUser",),
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
"""Predefined roles on the whole project. None of them reads or writes objects."""

OPERATOR_ROLES = (
    "roles/cloudbuild.builds.editor",
    "roles/logging.viewer",
    "roles/monitoring.viewer",
    "roles/run.viewer",
    "roles/serviceusage.serviceUsageConsumer",
)
"""Roles on the project for the people who run the migration."""


def gcloud(values: Values, *words: str) -> Words:
    """A gcloud command in the environment's project."""
    return ("gcloud", *words, f"--project={values.project}", "--quiet")


def project_steps(values: Values) -> Iterator[Step]:
    """Everything an owner sets up."""
    yield Run(gcloud(values, "services", "enable", *(f"{name}.googleapis.com" for name in SERVICES)))
    yield from _places(values)
    yield from _accounts(values)
    yield from _roles(values)
    yield from _storage_bindings(values)
    yield from _project_bindings(values)
    yield from _people(values)


def bindings(values: Values) -> Iterator[tuple[Part, Area, Role, str]]:
    """Which part holds which role where, with the condition that limits the role to a prefix; empty for a whole bucket."""
    for right in RIGHTS:
        at = location_of(right.area, values.migration)
        condition = f'resource.name.startsWith("projects/_/buckets/{at.bucket}/objects/{at.prefix}")'
        yield right.part, right.area, right.role, "" if right.area.is_bucket else condition


def _places(values: Values) -> Iterator[Step]:
    """The places for images, sources of builds and dead letters."""
    region, staging = values.region, f"gs://{_staging(values)}"
    yield Ensure(
        gcloud(
            values,
            "artifacts",
            "repositories",
            "list",
            f"--location={region}",
            "--filter=name~/qpi-exports$",
            "--format=value(name)",
        ),
        gcloud(
            values,
            "artifacts",
            "repositories",
            "create",
            "qpi-exports",
            f"--location={region}",
            "--repository-format=docker",
        ),
    )
    yield Ensure(
        gcloud(
            values, "storage", "buckets", "list", f"--filter=name={_staging(values)}", "--format=value(name)"
        ),
        gcloud(
            values,
            "storage",
            "buckets",
            "create",
            staging,
            f"--location={region}",
            "--uniform-bucket-level-access",
            "--public-access-prevention",
        ),
    )
    name = values.name(DEAD_LETTERS)
    for kind, options in (
        ("topics", ()),
        (
            "subscriptions",
            (f"--topic={name}", "--expiration-period=never", "--message-retention-duration=7d"),
        ),
    ):
        yield Ensure(
            gcloud(values, "pubsub", kind, "list", f"--filter=name~/{name}$", "--format=value(name)"),
            gcloud(values, "pubsub", kind, "create", name, *options),
        )


def _accounts(values: Values) -> Iterator[Step]:
    for name, title in ACCOUNTS.items():
        yield Ensure(
            gcloud(
                values,
                "iam",
                "service-accounts",
                "list",
                f"--filter=email={values.account(name)}",
                "--format=value(email)",
            ),
            gcloud(values, "iam", "service-accounts", "create", values.name(name), f"--display-name={title}"),
        )


def _roles(values: Values) -> Iterator[Step]:
    for role in Role:
        what = (
            role.role_id,
            f"--permissions={','.join(role.permissions)}",
            f"--title=QPI exports: {role.name.lower()}",
            "--stage=GA",
        )
        yield Ensure(
            gcloud(values, "iam", "roles", "list", f"--filter=name~/{role.role_id}$", "--format=value(name)"),
            gcloud(values, "iam", "roles", "create", *what),
            gcloud(values, "iam", "roles", "update", *what),
        )


def _storage_bindings(values: Values) -> Iterator[Step]:
    for part, area, role, condition in bindings(values):
        limit = f"expression={condition},title={area.name.lower().replace('_', '-')}" if condition else "None"
        yield Run(
            gcloud(
                values,
                *(
                    "storage",
                    "buckets",
                    "add-iam-policy-binding",
                    f"gs://{location_of(area, values.migration).bucket}",
                ),
                f"--member=serviceAccount:{values.account(part)}",
                f"--role=projects/{values.project}/roles/{role.role_id}",
                f"--condition={limit}",
            )
        )


def _project_bindings(values: Values) -> Iterator[Step]:
    for name, roles in PROJECT_ROLES.items():
        for role in roles:
            yield _on_project(values, f"serviceAccount:{values.account(name)}", role)
    # Google's own accounts: Cloud Storage publishes the events, Pub/Sub forwards the dead letters.
    yield Ask("STORAGE_AGENT", gcloud(values, "storage", "service-agent"))
    yield _on_project(values, "serviceAccount:$STORAGE_AGENT", "roles/pubsub.publisher")
    yield Ask(
        "NUMBER", gcloud(values, "projects", "describe", values.project, "--format=value(projectNumber)")
    )
    pubsub = "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com"
    yield _on_project(values, pubsub, "roles/pubsub.subscriber")
    yield _bind(values, ("pubsub", "topics"), values.name(DEAD_LETTERS), pubsub, "roles/pubsub.publisher")
    # gcloud uploads a function's source to a bucket that Google creates and names by project and region.
    sources = f'resource.name.startsWith("projects/_/buckets/gcf-v2-sources-$NUMBER-{values.region}/")'
    yield _on_project(
        values,
        f"serviceAccount:{values.account(FUNCTION_BUILD)}",
        "roles/storage.objectViewer",
        f"expression={sources},title=function-sources",
    )
    where = f"--location={values.region}"
    for name in (BUILD, FUNCTION_BUILD):
        yield _bind(
            values,
            ("artifacts", "repositories"),
            "qpi-exports",
            f"serviceAccount:{values.account(name)}",
            "roles/artifactregistry.writer",
            where,
        )
    yield _bind(
        values,
        ("storage", "buckets"),
        f"gs://{_staging(values)}",
        f"serviceAccount:{values.account(BUILD)}",
        "roles/storage.objectViewer",
    )
    # A build deploys parts that run as these accounts.
    for name in ACCOUNTS:
        if name not in {BUILD, Part.OPERATOR.value}:
            yield _bind(
                values,
                ("iam", "service-accounts"),
                values.account(name),
                f"serviceAccount:{values.account(BUILD)}",
                "roles/iam.serviceAccountUser",
            )


def _people(values: Values) -> Iterator[Step]:
    for role in OPERATOR_ROLES:
        yield _on_project(values, values.operators, role)
    for name, role in (
        (Part.OPERATOR.value, "roles/iam.serviceAccountTokenCreator"),
        (Part.REVERSE.value, "roles/iam.serviceAccountTokenCreator"),
        (BUILD, "roles/iam.serviceAccountUser"),
    ):
        yield _bind(values, ("iam", "service-accounts"), values.account(name), values.operators, role)
    yield _bind(
        values,
        ("iam", "service-accounts"),
        values.account(Part.DELETION),
        values.deleters,
        "roles/iam.serviceAccountTokenCreator",
    )
    yield _bind(
        values,
        ("storage", "buckets"),
        f"gs://{_staging(values)}",
        values.operators,
        "roles/storage.objectUser",
    )
    yield _bind(
        values,
        ("pubsub", "subscriptions"),
        values.name(DEAD_LETTERS),
        values.operators,
        "roles/pubsub.subscriber",
    )


def _staging(values: Values) -> str:
    return f"{values.project}-qpi-exports-build"


def _on_project(values: Values, member: str, role: str, condition: str = "None") -> Run:
    return Run(
        (
            "gcloud",
            "projects",
            "add-iam-policy-binding",
            values.project,
            f"--member={member}",
            f"--role={role}",
            f"--condition={condition}",
            "--quiet",
        )
    )


def _bind(values: Values, kind: tuple[str, ...], name: str, member: str, role: str, *where: str) -> Run:
    return Run(
        gcloud(values, *kind, "add-iam-policy-binding", name, f"--member={member}", f"--role={role}", *where)
    )

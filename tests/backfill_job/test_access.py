"""What the policies say of the writer's and the consumer's access: proven, missing, or not known and why."""

import json
from pathlib import Path
from typing import Any

import pytest

from backfill_job.access import OBJECT_ROLES, Access, access, needs_of
from shared.migration import Environment, qpi_exports

MIGRATION = qpi_exports(Environment.DEV)
WRITER, CONSUMER = "serviceAccount:w@a.iam.gserviceaccount.com", "serviceAccount:c@a.iam.gserviceaccount.com"
CREATE, DELETE = "storage.objects.create", "storage.objects.delete"
NEW = "projects/_/buckets/de-bigquery-data-export-dev/objects/"


def bound(role: str, *members: str, only: str = "") -> dict[str, Any]:
    condition = {"expression": only, "title": "limit"} if only else None
    return {"role": role, "members": [*members], **({"condition": condition} if condition else {})}


def starts(prefix: str) -> str:
    return f'resource.name.startsWith("{prefix}")'


USER, CREATOR = "roles/storage.objectUser", "roles/storage.objectCreator"

WRITERS: dict[str, tuple[list[dict[str, Any]], tuple[str, ...], tuple[str, ...]]] = {
    "nothing": ([], (CREATE, DELETE), ()),
    "another account": ([bound(USER, CONSUMER)], (CREATE, DELETE), ()),
    "a role": ([bound(USER, WRITER)], (), ()),
    "everybody, unless public access is prevented": (
        [bound(USER, "allUsers")],
        (CREATE, DELETE),
        ("membership in allUsers, which gives nothing where public access is prevented",),
    ),
    "an address in another case": ([bound(USER, WRITER.replace("w@", "W@"))], (), ()),
    "creating is not overwriting": ([bound(CREATOR, WRITER)], (DELETE,), ()),
    "two roles": ([bound(CREATOR, WRITER), bound("roles/storage.legacyBucketWriter", WRITER)], (), ()),
    "our own role": ([bound("projects/p/roles/qpiExportsWrite", WRITER)], (), ()),
    "the path": ([bound(USER, WRITER, only=starts(NEW + "qpi_exports/"))], (), ()),
    "a path around it": ([bound(USER, WRITER, only=starts(NEW + "qpi"))], (), ()),
    "another path": ([bound(USER, WRITER, only=starts(NEW + "QPI_exports/"))], (CREATE, DELETE), ()),
    "the same path in another bucket": (
        [bound(USER, WRITER, only=starts("projects/_/buckets/other/objects/qpi_exports/"))],
        (CREATE, DELETE),
        (),
    ),
    "a part of the path": (
        [bound(USER, WRITER, only=starts(NEW + "qpi_exports/a/"))],
        (CREATE, DELETE),
        ("a condition that reaches only qpi_exports/a/",),
    ),
    "a condition of time": (
        [bound(USER, WRITER, only='request.time < timestamp("2027-01-01T00:00:00Z")')],
        (CREATE, DELETE),
        ("the condition limit",),
    ),
    "a condition of two parts": (
        [bound(USER, WRITER, only=starts(NEW) + " && " + starts(NEW))],
        (CREATE, DELETE),
        ("the condition limit",),
    ),
    "a group": (
        [bound(USER, "group:g@example.com")],
        (CREATE, DELETE),
        ("membership in group:g@example.com",),
    ),
    "a domain has no service accounts": (
        [bound(USER, "domain:a.iam.gserviceaccount.com")],
        (CREATE, DELETE),
        (),
    ),
    "a deleted account": ([bound(USER, f"deleted:{WRITER}?uid=1")], (CREATE, DELETE), ()),
    "a custom role": (
        [bound("projects/p/roles/exporter", WRITER)],
        (CREATE, DELETE),
        ("the role projects/p/roles/exporter",),
    ),
    "a role of another service": (
        [bound("roles/composer.worker", WRITER), bound("roles/logging.logWriter", WRITER)],
        (CREATE, DELETE),
        ("the role roles/composer.worker",),
    ),
    "an editor of the project": (
        [bound("roles/storage.legacyBucketOwner", "projectEditor:p")],
        (CREATE, DELETE),
        ("membership in projectEditor:p",),
    ),
}


@pytest.mark.parametrize(("bindings", "missing", "unsure"), WRITERS.values(), ids=WRITERS)
def test_what_a_bucket_s_policy_says_of_the_writer(
    bindings: list[dict[str, Any]], missing: tuple[str, ...], unsure: tuple[str, ...]
) -> None:
    """Only what is proven counts; what it may depend on is named."""
    (need,) = needs_of(MIGRATION, consumer=False)
    assert access(WRITER, need, {"bindings": bindings}) == Access(missing, unsure)


def test_the_project_s_policy_counts_and_says_who_its_editors_are() -> None:
    """With it, a bucket's ``projectEditor:`` is resolved."""
    (need,) = needs_of(MIGRATION, consumer=False)
    editors = {"bindings": [bound("roles/storage.legacyBucketOwner", "projectEditor:p")]}
    assert access(WRITER, need, {}, {"bindings": [bound("roles/storage.admin", WRITER)]}) == Access((), ())
    assert access(WRITER, need, editors, {"bindings": [bound("roles/editor", WRITER)]}) == Access((), ())
    assert access(WRITER, need, editors, {"bindings": []}) == Access((CREATE, DELETE), ())
    # A basic role alone reaches no object.
    assert access(WRITER, need, {}, {"bindings": [bound("roles/editor", WRITER)]}) == Access(
        (CREATE, DELETE), ()
    )


def test_the_consumer_lists_and_reads_both_paths_until_the_deletion() -> None:
    """A condition on names does not reach the listing, which is a permission on the bucket."""
    needs = needs_of(MIGRATION, consumer=True)
    assert [need.at for need in needs] == [MIGRATION.destination, MIGRATION.source]
    assert [need.at for need in needs_of(MIGRATION, consumer=True, legacy=False)] == [MIGRATION.destination]
    limited = {"bindings": [bound("roles/storage.objectViewer", CONSUMER, only=starts(NEW))]}
    assert access(CONSUMER, needs[0], limited) == Access(("storage.objects.list",), ())
    whole = [*limited["bindings"], bound("projects/p/roles/qpiExportsList", CONSUMER)]
    assert access(CONSUMER, needs[0], {"bindings": whole}) == Access((), ())


def test_the_roles_are_those_of_the_public_dump() -> None:
    """Of the same extract as the table of commands."""
    path = Path(__file__).parents[1] / "deploy" / "predefined_roles.json"
    dump = json.loads(path.read_text())["roles"]
    asked = {CREATE, DELETE, "storage.objects.get", "storage.objects.list"}
    known = {name: held & asked for name, held in OBJECT_ROLES.items() if name.startswith("roles/storage.")}
    assert known == {
        name: asked & {*held} for name, held in dump.items() if name.startswith("roles/storage.")
    }

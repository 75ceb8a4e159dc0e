"""Methods, parameters and fields against Google's discovery document, and against the table of what is served."""

import json
from collections import defaultdict
from fnmatch import fnmatch

import pytest
from discovery_extract import DOCUMENT, EXTRACT, text
from local_gcs_lab import Http, Lab

import local_gcs
from local_gcs import buckets, resources, routing
from local_gcs.discovery import google

Table = dict[tuple[str, str], set[str]]
OBJECTS = google().schemas["Object"].keys()
BUCKETS = google().schemas["Bucket"].keys()


@pytest.fixture(scope="module")
def table() -> Table:
    """The table of the package's docstring: names by what and how."""
    rows: Table = defaultdict(set)
    for line in (local_gcs.__doc__ or "").splitlines():
        if line.startswith("| ") and not line.startswith("| what"):
            what, how, names = (cell.strip() for cell in line.strip("|").split("|"))
            assert rows[what, how].isdisjoint(names.split())
            rows[what, how].update(names.split())
    return rows


def test_the_extract_is_that_of_the_installed_document() -> None:
    """The committed extract is what the script makes; the message says how to renew it."""
    installed = json.loads(DOCUMENT.read_text())["revision"]
    assert text() == EXTRACT.read_text(), (
        f"revision {installed}: run python tests/local_gcs/discovery_extract.py"
    )


def test_each_method_is_served_or_refused_as_the_table_says(table: Table) -> None:
    """Every method of Google's is in the table once, and no other is."""
    served = table["methods", "faithful"] | table["methods", "without effect"]
    assert {f"storage.{name}" for name in served} == set(routing.MODELLED)
    for method in google().methods.keys() - routing.MODELLED.keys():
        name = method.removeprefix("storage.")
        assert any(fnmatch(name, pattern) for pattern in table["methods", "refused"]), name
    for pattern in table["methods", "refused"]:
        assert any(fnmatch(method, f"storage.{pattern}") for method in google().methods), pattern


@pytest.mark.parametrize("method", sorted(google().methods))
def test_each_method_is_where_google_has_it(http: Http, method: str) -> None:
    """Google's path leads to the method, or to a refusal that names it."""
    facts = google().methods[method]
    path = "/storage/v1/" + facts.path.replace("{bucket}", "none").replace("{", "").replace("}", "")
    if method in routing.MODELLED:
        if method == "storage.objects.insert":
            path = "/upload" + path
        assert routing.resolve(facts.verb, path)[0] == method
    else:
        answer = http.ask(facts.verb, path)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["errors"][0]["reason"], method in error["message"]) == ("notModelled", True)


def test_each_parameter_is_taken_or_refused_as_the_table_says(table: Table) -> None:
    """A served method takes no parameter that Google's does not have; each of Google's is in the table."""
    without_effect = set(routing.WITHOUT_EFFECT)
    refused: dict[str, set[str]] = {"refused": set(), "refused for buckets": set()}
    for method, modelled in routing.MODELLED.items():
        known = google().methods[method].parameters
        assert modelled <= known, method
        here = routing.WITHOUT_EFFECT_HERE.get(method, frozenset())
        rest = known - modelled - without_effect - here - routing.SYSTEM
        for name in rest:
            faithful = name in table["parameters", "faithful"]
            refused["refused for buckets" if faithful else "refused"].add(name)
    every = set().union(*routing.MODELLED.values()) | {"userProject"}
    assert table["parameters", "faithful"] == every
    assert table["parameters", "without effect"] == without_effect
    for how, names in refused.items():
        assert table["parameters", how] == names


def test_each_field_of_an_object_is_in_the_table(table: Table) -> None:
    """What is shown and taken of an object is Google's, and the rest is refused."""
    what = "fields of an object"
    assert set().union(*(names for row, names in table.items() if row[0] == what)) == OBJECTS
    shown = {name for name, _ in resources.Renderer("")._fields}
    assert table[what, "faithful"] == shown
    assert table[what, "absent"] == resources.TAKEN - shown
    assert table[what, "refused"] == OBJECTS - resources.TAKEN


def test_each_field_of_a_bucket_is_in_the_table(table: Table, lab: Lab) -> None:
    """What is shown and taken of a bucket is Google's, and the rest is refused."""
    what = "fields of a bucket"
    assert set().union(*(names for row, names in table.items() if row[0] == what)) == BUCKETS
    bucket = lab.storage.bucket(lab.bucket("bucket"))
    shown = set(resources.Renderer("").bucket(bucket)) | {*buckets.KEPT, *buckets.REPLACED}
    assert table[what, "faithful"] | table[what, "without effect"] == shown
    assert table[what, "absent"] == buckets.TAKEN - shown
    assert table[what, "refused"] == BUCKETS - buckets.TAKEN


@pytest.mark.parametrize(
    ("verb", "path", "reason"),
    [
        ("GET", "/storage/v1/b/{}/o/a?generatoin=1", "invalidParameter"),
        ("GET", "/storage/v1/b/{}/o?versoins=true", "invalidParameter"),
        ("POST", "/storage/v1/b/{}/o/a/rewriteTo/b/{}/o/b?destinationKmsKeyName=k", "notModelled"),
        ("PATCH", "/storage/v1/b/{}/o/a?predefinedAcl=private", "notModelled"),
        ("DELETE", "/storage/v1/b/{}/o/a?ifSourceGenerationMatch=1", "invalidParameter"),
        ("GET", "/storage/v1/b/{}?softDeleted=true", "notModelled"),
        ("GET", "/storage/v1/b/{}/acl", "notModelled"),
        ("GET", "/storage/v1/b/{}/o/a/acl/entity", "notModelled"),
        ("POST", "/storage/v1/b/{}/o/bulkRestore", "notModelled"),
    ],
)
def test_what_is_not_modelled_is_refused(http: Http, bucket: str, verb: str, path: str, reason: str) -> None:
    """An unknown parameter, and one that Google has and this server does not model, change nothing."""
    before = http.put(bucket, "a").json()
    answer = http.ask(verb, path.replace("{}", bucket))
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, reason)
    assert http.object("GET", bucket, "a").json() == before


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"kmsKeyName": "k"}, "notModelled"),
        ({"acl": [{"entity": "allUsers"}]}, "notModelled"),
        ({"retention": {"mode": "Locked"}}, "notModelled"),
        ({"contentTyp": "text/x"}, "invalid"),
    ],
)
def test_fields_that_are_not_modelled_are_refused(
    http: Http, bucket: str, body: dict[str, object], reason: str
) -> None:
    """The same for a field of a resource, in a patch and in a rewrite."""
    http.put(bucket, "a")
    path = f"/storage/v1/b/{bucket}/o/a"
    for answer in (
        http.ask("PATCH", path, json=body),
        http.ask("POST", f"{path}/rewriteTo/b/{bucket}/o/b", json=body),
    ):
        assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, reason)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"encryption": {"defaultKmsKeyName": "k"}}, "notModelled"),
        ({"hierarchicalNamespace": {"enabled": True}}, "notModelled"),
        ({"autoclass": {"enabled": True}}, "notModelled"),
        ({"versioning": {"enable": True}}, "invalid"),
        ({"storageClass": "FREEZING"}, "invalid"),
        ({"lifecycle": {"rule": [{"action": {"type": "Shred"}, "condition": {"age": 1}}]}}, "notModelled"),
        ({"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"agee": 1}}]}}, "invalid"),
        ({"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {}}]}}, "invalid"),
    ],
)
def test_buckets_that_are_not_modelled_are_refused(
    http: Http, bucket: str, body: dict[str, object], reason: str
) -> None:
    """The same for a bucket, at any depth, when it is made and when it is changed."""
    for answer in (
        http.ask("PATCH", f"/storage/v1/b/{bucket}", json=body),
        http.ask("POST", "/storage/v1/b?project=test", json={"name": "another-bucket", **body}),
    ):
        assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, reason)


def test_what_is_turned_off_passes(http: Http, bucket: str) -> None:
    """Clients repeat the defaults of what they do not use, and the parameters that every method has."""
    path = f"/storage/v1/b/{bucket}"
    off = {"hierarchicalNamespace": {"enabled": False}, "autoclass": None, "acl": []}
    assert http.ask("PATCH", path, json=off).status_code == 200
    common = "prettyPrint=false&userProject=p&quotaUser=q&key=k&alt=json&projection=full"
    for target in (f"{path}/o?{common}", f"{path}?{common}&softDeleted=false"):
        assert http.ask("GET", target).status_code == 200


@pytest.mark.parametrize("header", routing.REFUSED_HEADERS)
def test_encryption_keys_of_a_customer_are_refused(http: Http, bucket: str, header: str) -> None:
    """To store as plain what a client wants encrypted would be a wrong answer."""
    answer = http.ask("GET", f"/storage/v1/b/{bucket}/o", headers={header: "AES256"})
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, "notModelled")

"""What Google documents and foreign clients rely on, request by request."""

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from local_gcs_lab import Http

import local_gcs
from local_gcs.objects import Content
from local_gcs.waiting import HANGS

QUANTUM = 256 * 1024
CONTEXTS = {"custom": {"team": {"value": "a"}, "state": {"value": "raw"}}}


def reason(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]


def begin(http: Http, bucket: str, name: str, **headers: str) -> str:
    query = {"uploadType": "resumable", "name": name}
    answer = http.ask("POST", f"/upload/storage/v1/b/{bucket}/o", params=query, json={}, headers=headers)
    return answer.headers["Location"].removeprefix(http.url)


def patch(http: Http, bucket: str, name: str, body: dict[str, Any]) -> requests.Response:
    return http.ask("PATCH", f"/storage/v1/b/{bucket}/o/{name}", json=body)


class TestUploads:
    def test_a_client_that_cannot_take_308_gets_200(self, http: Http, bucket: str) -> None:
        """X-GUploader-No-308, as Go sends it: 200, and 308 in a header, for chunk and status alike."""
        session = begin(http, bucket, "a")
        for body, content_range in ((bytes(QUANTUM), f"bytes 0-{QUANTUM - 1}/*"), (b"", "bytes */*")):
            headers = {"X-GUploader-No-308": "yes", "Content-Range": content_range}
            answer = http.ask("PUT", session, data=body, headers=headers)
            found = answer.headers["X-HTTP-Status-Code-Override"], answer.headers["Range"]
            assert (answer.status_code, *found) == (200, "308", f"bytes=0-{QUANTUM - 1}")

    @pytest.mark.parametrize("content_range", ["bytes 0-*/*", "bytes 0-*/7"])
    def test_a_stream_ends_with_its_request(self, http: Http, bucket: str, content_range: str) -> None:
        """A chunk without a last byte goes on to the end of the request, as Node's default upload sends it."""
        answer = http.ask(
            "PUT", begin(http, bucket, "a"), data=b"content", headers={"Content-Range": content_range}
        )
        assert (answer.status_code, answer.json()["size"]) == (200, "7")

    def test_a_stream_that_ended_early_goes_on(self, http: Http, bucket: str) -> None:
        """With a total size, fewer bytes are kept and the rest is asked for; more are refused."""
        session = begin(http, bucket, "a")
        first = http.ask("PUT", session, data=b"con", headers={"Content-Range": "bytes 0-*/7"})
        assert (first.status_code, first.headers["Range"]) == (308, "bytes=0-2")
        assert (
            http.ask("PUT", session, data=b"tents", headers={"Content-Range": "bytes 3-*/7"}).status_code
            == 400
        )
        last = http.ask("PUT", session, data=b"tent", headers={"Content-Range": "bytes 3-*/7"})
        assert last.status_code == 200
        assert http.object("GET", bucket, "a", alt="media").content == b"content"

    @pytest.mark.parametrize(
        ("announced", "sent", "status"),
        [
            ({"X-Upload-Content-Length": "7"}, {}, 200),
            ({"X-Upload-Content-Length": "8"}, {}, 400),
            ({}, {"X-Goog-Hash": f"md5={Content.of(b'content').md5}"}, 200),
            ({}, {"X-Goog-Hash": f"md5={Content.of(b'another').md5}"}, 400),
            ({}, {"X-Goog-Hash": f"crc32c=AAAAAA==,md5={Content.of(b'content').md5}"}, 400),
        ],
    )
    def test_announced_size_and_hash_are_checked(
        self, http: Http, bucket: str, announced: dict[str, str], sent: dict[str, str], status: int
    ) -> None:
        """A size of the first request and a hash of the last chunk; a wrong one leaves no object."""
        session = begin(http, bucket, "a", **announced)
        assert http.ask("PUT", session, data=b"content", headers=sent).status_code == status
        assert http.object("GET", bucket, "a").status_code == (200 if status == 200 else 404)


class TestReads:
    @pytest.mark.parametrize(
        ("header", "right", "wrong"), [("If-Match", 200, 412), ("If-None-Match", 304, 200)]
    )
    @pytest.mark.parametrize("quote", ["", '"'])
    @pytest.mark.parametrize(
        "target", ["/storage/v1/b/{}/o/a", "/download/storage/v1/b/{}/o/a", "/storage/v1/b/{}"]
    )
    def test_entity_tags(  # noqa: PLR0917 - a table of three columns and two fixtures
        self, http: Http, bucket: str, header: str, right: int, wrong: int, quote: str, target: str
    ) -> None:
        """Of metadata, content and buckets, with and without quotes, alone and in a list."""
        http.put(bucket, "a")
        path = target.format(bucket)
        tag = http.ask("GET", path.replace("/download", "")).json()["etag"]
        for value, status in (
            (f"{quote}{tag}{quote}", right),
            (f'"x", {quote}{tag}{quote}', right),
            ("*", right),
            (f"{quote}x{quote}", wrong),
        ):
            answer = http.ask("GET", path, headers={header: value})
            assert answer.status_code == status
            assert status != 304 or not answer.content

    def test_a_failed_read_of_content_says_so_in_text(self, http: Http, bucket: str) -> None:
        """The message, not JSON; a failed read of metadata is JSON."""
        for path in (f"/storage/v1/b/{bucket}/o/none?alt=media", f"/download/storage/v1/b/{bucket}/o/none"):
            answer = http.ask("GET", path)
            assert (answer.status_code, answer.text) == (404, f"No such object: {bucket}/none")
            assert answer.headers["Content-Type"].startswith("text/")
        assert reason(http.object("GET", bucket, "none")) == (404, "notFound")

    def test_an_unpacked_download_says_so(self, http: Http, bucket: str) -> None:
        """X-GUploader-Response-Body-Transformations: gunzipped."""
        http.put(bucket, "a", gzip.compress(b"text"), contentEncoding="gzip")
        answers = [
            http.ask("GET", f"/download/storage/v1/b/{bucket}/o/a", headers={"Accept-Encoding": encoding})
            for encoding in ("identity", "gzip")
        ]
        header = "X-GUploader-Response-Body-Transformations"
        assert [answer.headers.get(header) for answer in answers] == ["gunzipped", None]

    def test_a_selection_of_what_is_not_there_is_refused(self, http: Http, bucket: str) -> None:
        """A typo in a projection must not pass a test; the name of a custom key is any name."""
        http.put(bucket, "a")
        path = f"/storage/v1/b/{bucket}"
        for target, good, bad in (
            (f"{path}/o/a", "name,metadata/x,contexts(custom/any/value)", "nam"),
            (f"{path}/o", "items(name,owner),nextPageToken", "items(name,sise)"),
            (f"{path}/o", "*", "name"),
            (path, "labels/x,softDeletePolicy", "softDeletePolicy/retention"),
            ("/storage/v1/b?project=test", "items/name", "items/name/x"),
            (f"{path}/iam", "bindings(role,members)", "binding"),
        ):
            assert http.ask("GET", target, params={"fields": good}).status_code == 200, good
            assert reason(http.ask("GET", target, params={"fields": bad})) == (400, "invalidParameter")
        copied = http.rewrite((bucket, "a"), (bucket, "b"), fields="done,resorce")
        assert (reason(copied), http.object("GET", bucket, "b").status_code) == (
            (400, "invalidParameter"),
            404,
        )

    @pytest.mark.parametrize(
        ("verb", "path", "name"),
        [
            ("GET", "/storage/v1/b", "project"),
            ("POST", "/storage/v1/b", "project"),
            ("POST", "/storage/v1/b/{}/o/a/restore", "generation"),
            ("GET", "/storage/v1/b/{}/o/a?softDeleted=true", "generation"),
            ("POST", "/storage/v1/b/{}/lockRetentionPolicy", "ifMetagenerationMatch"),
            ("GET", "/storage/v1/b/{}/iam/testPermissions", "permissions"),
        ],
    )
    def test_required_parameters(self, http: Http, bucket: str, verb: str, path: str, name: str) -> None:
        """What Google requires is asked for by name."""
        answer = http.ask(verb, path.format(bucket), json={"name": "b"} if verb == "POST" else None)
        assert reason(answer) == (400, "required")
        assert answer.json()["error"]["errors"][0]["location"] == name

    def test_other_ways_to_ask(self, http: Http, bucket: str) -> None:
        """A POST that stands for another verb, and a slash after the list of buckets."""
        http.put(bucket, "a")
        headers = {"X-HTTP-Method-Override": "PATCH"}
        changed = http.ask(
            "POST", f"/storage/v1/b/{bucket}/o/a", json={"contentType": "text/x"}, headers=headers
        )
        assert changed.json()["contentType"] == "text/x"
        assert http.ask("GET", "/storage/v1/b/?project=test").json()["items"]


class TestObjects:
    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            ("2024-01-02T03:04:05Z", None),
            ("2024-01-02T03:04:05.1Z", None),
            ("2024-01-02T03:04:05.1234Z", None),
            ("2024-01-02T03:04:05.123456Z", None),
            ("2024-01-02T03:04:05.123456789Z", "2024-01-02T03:04:05.123456Z"),
            ("2024-01-02T03:04:05+02:00", "2024-01-02T01:04:05Z"),
        ],
    )
    def test_a_custom_time_comes_back_as_given(
        self, http: Http, bucket: str, given: str, shown: str | None
    ) -> None:
        """In UTC and to the microsecond, and a copy has the same."""
        http.put(bucket, "a")
        assert patch(http, bucket, "a", {"customTime": given}).json()["customTime"] == (shown or given)
        copied = http.rewrite((bucket, "a"), (bucket, "b")).json()["resource"]
        assert copied["customTime"] == (shown or given)

    def test_custom_times_compare_as_times(self, http: Http, bucket: str) -> None:
        """Not as texts; and a date alone is not a time."""
        http.put(bucket, "a")
        times = ("2024-01-02T00:00:00Z", "2024-01-02T00:00:00.000001Z", "2024-01-02T00:00:00Z", "2024-02-01")
        assert [patch(http, bucket, "a", {"customTime": time}).status_code for time in times] == [
            200,
            200,
            400,
            400,
        ]

    def test_an_update_remembers_the_release_of_a_hold(self, http: Http) -> None:
        """The retention period goes on from the release, also after a PUT that names no hold."""
        bucket = http.bucket(
            "held-bucket", retentionPolicy={"retentionPeriod": "60"}, defaultEventBasedHold=True
        )
        http.put(bucket, "a")
        http.ask("POST", "/_local/clock", json={"seconds": 3600})
        released = patch(http, bucket, "a", {"eventBasedHold": False}).json()
        updated = http.ask("PUT", f"/storage/v1/b/{bucket}/o/a", json={"contentType": "text/x"}).json()
        assert updated["retentionExpirationTime"] == released["retentionExpirationTime"]
        assert released["retentionExpirationTime"] > released["timeCreated"].replace("T00", "T01")

    def test_a_compose_may_delete_its_sources(self, http: Http, bucket: str) -> None:
        """deleteSourceObjects: the sources go once the whole is there; a protected one stops it before."""
        for name in "ab":
            http.put(bucket, name, name.encode())
        body = {"sourceObjects": [{"name": "a"}, {"name": "b"}], "deleteSourceObjects": True}
        patch(http, bucket, "b", {"temporaryHold": True})
        path = f"/storage/v1/b/{bucket}/o/whole/compose"
        assert reason(http.ask("POST", path, json=body)) == (403, "objectUnderActiveHold")
        patch(http, bucket, "b", {"temporaryHold": False})
        assert http.ask("POST", path, json=body).status_code == 200
        assert [item["name"] for item in http.list(bucket)["items"]] == ["whole"]

    def test_storage_classes(self, http: Http, bucket: str) -> None:
        """A bucket gives its class to what names none, also to a copy; a patch does not change it, a rewrite does."""
        cold = http.bucket(f"cold-{bucket}", storageClass="COLDLINE")
        http.put(bucket, "a")
        copied = http.rewrite((bucket, "a"), (cold, "a")).json()["resource"]
        assert copied["storageClass"] == "COLDLINE"
        path = f"/storage/v1/b/{cold}/o/a"
        moved = http.ask("POST", f"{path}/rewriteTo/b/{cold}/o/a", json={"storageClass": "ARCHIVE"}).json()
        assert moved["resource"]["storageClass"] == "ARCHIVE"
        assert http.ask("PATCH", path, json={"storageClass": "STANDARD"}).status_code == 400
        assert http.ask("PATCH", path, json={"storageClass": "ARCHIVE"}).status_code == 200
        wrong = http.ask("POST", f"{path}/rewriteTo/b/{cold}/o/a", json={"storageClass": "ICE"})
        assert reason(wrong) == (400, "invalid")

    def test_the_time_of_deletion(self, http: Http, bucket: str) -> None:
        """A version that is not live any more says since when: noncurrent or soft-deleted."""
        http.put(bucket, "a")
        http.object("DELETE", bucket, "a")
        gone = http.list(bucket, softDeleted="true")["items"][0]
        assert gone["timeDeleted"] == gone["softDeleteTime"]
        versioned = http.bucket(f"versioned-{bucket}", versioning={"enabled": True})
        http.put(versioned, "a")
        assert "timeDeleted" not in http.list(versioned, versions="true")["items"][0]
        http.object("DELETE", versioned, "a")
        archived = http.list(versioned, versions="true")["items"][0]
        http.object("DELETE", versioned, "a", generation=archived["generation"])
        assert http.list(versioned, softDeleted="true")["items"][0]["timeDeleted"] == archived["timeDeleted"]


class TestContexts:
    def test_set_change_and_remove(self, http: Http, bucket: str) -> None:
        """A patch merges; a changed one keeps its creation time; null removes one, or all."""
        http.put(bucket, "a")
        set_ = patch(http, bucket, "a", {"contexts": CONTEXTS}).json()["contexts"]["custom"]
        assert {key: context["value"] for key, context in set_.items()} == {"team": "a", "state": "raw"}
        assert set_["team"]["createTime"] == set_["team"]["updateTime"]
        http.ask("POST", "/_local/clock", json={"seconds": 1})
        changes = {"custom": {"team": None, "state": {"value": "done"}, "new": {"value": ""}}}
        changed = patch(http, bucket, "a", {"contexts": changes}).json()["contexts"]["custom"]
        assert {key: context["value"] for key, context in changed.items()} == {"state": "done", "new": ""}
        assert changed["state"]["createTime"] == set_["state"]["createTime"] < changed["state"]["updateTime"]
        assert "contexts" in patch(http, bucket, "a", {"contentType": "text/x"}).json()
        assert "contexts" not in patch(http, bucket, "a", {"contexts": None}).json()

    @pytest.mark.parametrize(
        "custom",
        [7, {"k": "v"}, {"k": {"value": 7}}, {"k" * 257: {"value": "v"}}, {"google:k": {"value": "v"}}],
    )
    def test_malformed(self, http: Http, bucket: str, custom: object) -> None:
        """A context has a key of at most 256 bytes that is not Google's own, and a text."""
        http.put(bucket, "a")
        assert patch(http, bucket, "a", {"contexts": {"custom": custom}}).status_code == 400

    def test_copies_keep_them(self, http: Http, bucket: str) -> None:
        """Rewrite, also with a body, copy, move, restore and compose; unless dropped, or replaced."""
        made = http.put(bucket, "a").json()
        patch(http, bucket, "a", {"contexts": CONTEXTS})
        path = f"/storage/v1/b/{bucket}/o"

        def values(resource: dict[str, Any]) -> dict[str, str]:
            return {
                key: part["value"] for key, part in resource.get("contexts", {}).get("custom", {}).items()
            }

        def copied(body: object = None, query: str = "") -> dict[str, str]:
            answer = http.ask("POST", f"{path}/a/rewriteTo/b/{bucket}/o/b{query}", json=body)
            return values(answer.json()["resource"])

        both, other = {"team": "a", "state": "raw"}, {"custom": {"team": {"value": "b"}}}
        assert (copied(), copied({"contentType": "text/x"})) == (both, both)
        assert (copied({"contexts": other}), copied(None, "?dropContextGroups=custom")) == ({"team": "b"}, {})
        assert values(http.ask("POST", f"{path}/a/copyTo/b/{bucket}/o/c").json()) == both
        assert values(http.ask("POST", f"{path}/c/moveTo/o/d").json()) == both
        patch(http, bucket, "b", {"contexts": {"custom": {"team": {"value": "z"}}}})
        body = {"sourceObjects": [{"name": "a"}, {"name": "b"}]}
        composed = http.ask("POST", f"{path}/whole/compose", json=body).json()
        assert values(composed) == both | {"team": "z"}
        http.object("DELETE", bucket, "a")
        assert (
            values(http.object("POST", bucket, "a", "/restore", generation=made["generation"]).json()) == both
        )

    @pytest.mark.parametrize(
        ("wanted", "names"),
        [
            ('contexts."team":*', ["a", "b"]),
            ('-contexts."team":*', ["c"]),
            ('contexts."team"="a"', ["a"]),
            ('-contexts."team"="a"', ["b", "c"]),
        ],
    )
    def test_listings_filter_by_them(self, http: Http, bucket: str, wanted: str, names: list[str]) -> None:
        """Presence and value, and their opposites, on pages as ever; common prefixes are exempt."""
        for name, value in (("a", "a"), ("b", "b"), ("c", None)):
            http.put(bucket, name)
            if value:
                patch(http, bucket, name, {"contexts": {"custom": {"team": {"value": value}}}})
        http.put(bucket, "d/e")
        query = {"filter": wanted, "delimiter": "/"}
        found = http.list(bucket, **query)
        assert ([item["name"] for item in found["items"]], found["prefixes"]) == (names, ["d/"])
        assert http.list(bucket, maxResults=1, **query)["items"][0]["name"] == names[0]
        assert http.list(bucket, filter='size>"7"')["error"]["code"] == 400


class TestBuckets:
    def change(self, http: Http, verb: str, bucket: str, body: dict[str, Any], **params: Any) -> Any:
        answer = http.ask(verb, f"/storage/v1/b/{bucket}", json=body, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def test_an_update_replaces_and_a_patch_merges(self, http: Http, bucket: str) -> None:
        """Labels and nested objects; null removes, and a null effectiveTime is no value."""
        self.change(http, "PATCH", bucket, {"labels": {"a": "1", "b": "2"}})
        assert self.change(http, "PATCH", bucket, {"labels": {"b": None, "c": "3"}})["labels"] == {
            "a": "1",
            "c": "3",
        }
        assert self.change(http, "PUT", bucket, {"labels": {"d": "4"}})["labels"] == {"d": "4"}
        iam = self.change(http, "PATCH", bucket, {"iamConfiguration": {"publicAccessPrevention": "enforced"}})
        assert iam["iamConfiguration"]["uniformBucketLevelAccess"] == {"enabled": True}
        assert "labels" not in self.change(http, "PUT", bucket, {"versioning": {"enabled": True}})
        policy = {"retentionDurationSeconds": 864_000, "effectiveTime": None}
        shown = self.change(http, "PATCH", bucket, {"softDeletePolicy": policy})["softDeletePolicy"]
        assert shown["retentionDurationSeconds"] == "864000"
        assert shown["effectiveTime"].endswith("Z")
        http.ask("POST", "/_local/clock", json={"seconds": 1})
        assert self.change(http, "PATCH", bucket, {"labels": None})["softDeletePolicy"] == shown
        longer = {"retentionDurationSeconds": 864_001}
        changed = self.change(http, "PATCH", bucket, {"softDeletePolicy": longer})["softDeletePolicy"]
        assert changed["effectiveTime"] > shown["effectiveTime"]

    def test_a_locked_retention_policy(self, http: Http, bucket: str) -> None:
        """It can become longer, not shorter, and it stays; the lock asks for the metageneration."""
        path = f"/storage/v1/b/{bucket}"
        assert http.ask("POST", f"{path}/lockRetentionPolicy?ifMetagenerationMatch=1").status_code == 400
        unlocked = self.change(
            http, "PATCH", bucket, {"retentionPolicy": {"retentionPeriod": 60, "isLocked": True}}
        )
        assert "isLocked" not in unlocked["retentionPolicy"]
        wrong = http.ask("POST", f"{path}/lockRetentionPolicy?ifMetagenerationMatch=1")
        assert reason(wrong) == (412, "conditionNotMet")
        locked = http.ask("POST", f"{path}/lockRetentionPolicy?ifMetagenerationMatch=2").json()
        assert locked["retentionPolicy"]["isLocked"] is True
        for verb, body in (
            ("PATCH", {"retentionPolicy": {"retentionPeriod": 59}}),
            ("PATCH", {"retentionPolicy": None}),
            ("PUT", {"labels": {}}),
        ):
            assert reason(http.ask(verb, path, json=body)) == (403, "forbidden")
        longer = self.change(http, "PATCH", bucket, {"retentionPolicy": {"retentionPeriod": 61}})
        assert (longer["retentionPolicy"]["retentionPeriod"], longer["retentionPolicy"]["isLocked"]) == (
            "61",
            True,
        )

    def test_requester_pays(self, http: Http, bucket: str, other: str) -> None:
        """Every request to such a bucket, as source or destination, names the project that pays."""
        http.put(bucket, "a")
        http.put(other, "a")
        self.change(http, "PATCH", bucket, {"billing": {"requesterPays": True}})
        refused = [
            http.object("GET", bucket, "a"),
            http.ask("GET", f"/storage/v1/b/{bucket}/o"),
            http.rewrite((bucket, "a"), (other, "b")),
            http.rewrite((other, "a"), (bucket, "b")),
        ]
        assert [reason(answer) for answer in refused] == [(400, "required")] * 4
        assert http.object("GET", bucket, "a", userProject="p").status_code == 200
        assert http.object("GET", other, "a").status_code == 200
        self.change(http, "PATCH", bucket, {"billing": None}, userProject="p")
        assert http.object("GET", bucket, "a").status_code == 200

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            ({"location": "eu"}, "multi-region"),
            ({"location": "EUR4"}, "dual-region"),
            ({"location": "EU", "customPlacementConfig": {"dataLocations": ["A", "B"]}}, "dual-region"),
            ({"location": "europe-west1"}, "region"),
        ],
    )
    def test_location_types(self, http: Http, bucket: str, body: dict[str, Any], kind: str) -> None:
        """Dual regions, predefined and configured, are not regions."""
        made = http.bucket(f"{kind}-{bucket}-{len(str(body))}", **body)
        assert http.ask("GET", f"/storage/v1/b/{made}").json()["locationType"] == kind


class TestLifecycle:
    @pytest.fixture(autouse=True)
    @staticmethod
    def without_rules_afterwards(http: Http, bucket: str) -> Iterator[None]:
        """Leaves no rule to the next test: all run on one server."""
        yield
        http.ask("PATCH", f"/storage/v1/b/{bucket}", json={"lifecycle": None})

    @staticmethod
    def rules(*rules: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        actions = [
            {"type": "Delete"} if action == "Delete" else {"type": "SetStorageClass", "storageClass": action}
            for action, _ in rules
        ]
        return {"rule": [{"action": a, "condition": c} for a, (_, c) in zip(actions, rules, strict=True)]}

    @staticmethod
    def run(http: Http, days: float = 0) -> dict[str, int]:
        server = local_gcs.LocalServer(http.url)
        server.turn_clock(days * 86_400)
        return server.run_lifecycle()

    def test_delete_and_set_storage_class(self, http: Http, bucket: str) -> None:
        """A rule acts once its age is reached; the cheapest class wins, and Delete wins over all."""
        rules = self.rules(
            ("NEARLINE", {"age": 1}),
            ("COLDLINE", {"age": 2}),
            ("Delete", {"age": 3, "matchesPrefix": ["tmp/"]}),
        )
        http.ask("PATCH", f"/storage/v1/b/{bucket}", json={"lifecycle": rules})
        made = http.put(bucket, "a").json()
        http.put(bucket, "tmp/a")
        assert self.run(http) == {"deleted": 0, "moved": 0}
        assert self.run(http, 1.1) == {"deleted": 0, "moved": 2}
        moved = http.object("GET", bucket, "a").json()
        assert (moved["storageClass"], moved["generation"]) == ("NEARLINE", made["generation"])
        assert moved["timeStorageClassUpdated"] > moved["timeCreated"] == made["timeStorageClassUpdated"]
        assert self.run(http, 2) == {"deleted": 1, "moved": 1}
        assert [item["storageClass"] for item in http.list(bucket)["items"]] == ["COLDLINE"]
        assert len(http.list(bucket, softDeleted="true")["items"]) == 1

    def test_noncurrent_versions(self, http: Http, bucket: str) -> None:
        """By the number of newer versions, and by the time since they became noncurrent; a hold protects."""
        rules = self.rules(("Delete", {"numNewerVersions": 2}), ("Delete", {"daysSinceNoncurrentTime": 5}))
        body = {"versioning": {"enabled": True}, "lifecycle": rules}
        http.ask("PATCH", f"/storage/v1/b/{bucket}", json=body)
        made = [http.put(bucket, "a").json()["generation"] for _ in range(4)]
        held = http.put(bucket, "held").json()
        patch(http, bucket, "held", {"temporaryHold": True})
        assert self.run(http) == {"deleted": 2, "moved": 0}
        left = {item["generation"] for item in http.list(bucket, versions="true")["items"]}
        assert left == {*made[2:], held["generation"]}
        assert self.run(http, 6) == {"deleted": 1, "moved": 0}
        http.ask("PATCH", f"/storage/v1/b/{bucket}", json={"lifecycle": self.rules(("Delete", {"age": 0}))})
        assert self.run(http)["deleted"] == 1
        assert [item["name"] for item in http.list(bucket)["items"]] == ["held"]

    @pytest.mark.parametrize(
        ("condition", "hit"),
        [
            ({"createdBefore": "2020-01-01"}, False),
            ({"createdBefore": "2999-01-01"}, True),
            ({"customTimeBefore": "2024-01-02"}, True),
            ({"customTimeBefore": "2024-01-01"}, False),
            ({"daysSinceCustomTime": 1}, True),
            ({"isLive": False}, False),
            ({"isLive": True, "matchesSuffix": [".txt"]}, True),
            ({"matchesStorageClass": ["NEARLINE"]}, False),
            ({"noncurrentTimeBefore": "2999-01-01"}, False),
            ({"sizeAboveBytes": "1"}, False),
            ({"sizeBelowBytes": 2}, True),
            ({"age": 0, "matchesPrefix": ["b"]}, False),
        ],
    )
    def test_conditions(self, http: Http, bucket: str, condition: dict[str, Any], *, hit: bool) -> None:
        """Each condition that is modelled, hit and missed."""
        http.put(bucket, "a.txt")
        patch(http, bucket, "a.txt", {"customTime": "2024-01-01T12:00:00Z"})
        body = {"lifecycle": self.rules(("Delete", condition))}
        assert http.ask("PATCH", f"/storage/v1/b/{bucket}", json=body).status_code == 200
        assert self.run(http)["deleted"] == int(hit)


class TestFaults:
    def script(self, http: Http, method: str, *instructions: str) -> dict[str, str]:
        body = {"instructions": {method: list(instructions)}}
        return {"x-retry-test-id": http.ask("POST", "/retry_test", json=body).json()["id"]}

    @pytest.mark.parametrize("path", ["/download/storage/v1/b/{}/o/a", "/storage/v1/b/{}/o/a?alt=media"])
    def test_a_stream_that_breaks_after_some_bytes(self, http: Http, bucket: str, path: str) -> None:
        """return-broken-stream-after-NK, for both addresses of a download under the one name of Google's."""
        http.put(bucket, "a", bytes(QUANTUM))
        headers = self.script(http, "storage.objects.get", "return-503", "return-broken-stream-after-100K")
        assert http.ask("GET", path.format(bucket), headers=headers).status_code == 503
        with http.session.get(
            http.url + path.format(bucket), headers=headers, stream=True, timeout=HANGS
        ) as answer:
            with pytest.raises(requests.exceptions.RequestException):
                answer.content  # noqa: B018 - reads it
            assert answer.raw.tell() == 100 * 1024
        assert len(http.ask("GET", path.format(bucket), headers=headers).content) == QUANTUM

    def test_names_of_the_testbench(self, http: Http) -> None:
        """storage.serviceaccount.get; and a name that nothing answers to is refused."""
        headers = self.script(http, "storage.serviceaccount.get", "return-504")
        path = "/storage/v1/projects/test/serviceAccount"
        assert [http.ask("GET", path, headers=headers).status_code for _ in range(2)] == [504, 200]
        body = {"instructions": {"storage.objects.got": ["return-503"]}}
        assert http.ask("POST", "/retry_test", json=body).status_code == 400

    def test_rules_use_the_same_names(self, http: Http, bucket: str, server: local_gcs.LocalServer) -> None:
        """A rule for storage.objects.get hits downloads, and can cut an answer after some bytes."""
        http.put(bucket, "a", b"0123456789")
        rule = {"method": "storage.objects.get", "count": 2, "status": "truncate", "after_bytes": 3}
        server.set_faults(rules=[rule])
        for path in (f"/download/storage/v1/b/{bucket}/o/a", f"/storage/v1/b/{bucket}/o/a"):
            with http.session.get(http.url + path, stream=True, timeout=HANGS) as answer:
                with pytest.raises(requests.exceptions.RequestException):
                    answer.content  # noqa: B018 - reads it
                assert answer.raw.tell() == 3
        assert http.object("GET", bucket, "a", alt="media").content == b"0123456789"
        for wrong in ({**rule, "method": "storage.objects.got"}, {"status": 503, "after_bytes": 3}):
            assert http.ask("POST", "/_local/faults", json={"rules": [wrong]}).status_code == 400

    def test_writes_to_one_name_have_a_limit(
        self, http: Http, bucket: str, server: local_gcs.LocalServer
    ) -> None:
        """Create, update, delete and copies onto it; other names, reads and later writes are free."""
        http.put(bucket, "other")
        server.set_faults(object_writes_per_second=0.01)
        assert http.put(bucket, "a").status_code == 200
        limited = [
            http.put(bucket, "a"),
            patch(http, bucket, "a", {}),
            http.object("DELETE", bucket, "a"),
            http.rewrite((bucket, "other"), (bucket, "a")),
        ]
        assert [reason(answer) for answer in limited] == [(429, "rateLimitExceeded")] * 4
        assert http.rewrite((bucket, "a"), (bucket, "b")).status_code == 200
        assert http.object("GET", bucket, "a").status_code == 200
        http.ask("POST", "/_local/clock", json={"seconds": 101})
        assert http.object("DELETE", bucket, "a").status_code == 204

    @pytest.mark.parametrize("body", [{}, {"seconds": -1}, {"seconds": "x"}, {"seconds": 1, "minutes": 1}])
    def test_a_clock_goes_forward_only(self, http: Http, body: dict[str, object]) -> None:
        """It takes a number of seconds and nothing else."""
        before = http.ask("GET", "/_local/clock").json()["time"]
        assert http.ask("POST", "/_local/clock", json=body).status_code == 400
        assert http.ask("POST", "/_local/clock", json={"seconds": 0}).json()["time"] >= before

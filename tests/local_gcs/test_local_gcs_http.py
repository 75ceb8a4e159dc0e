"""The JSON API over HTTP, where the conformance probe is silent."""

import json

import pytest
import requests
from local_gcs_lab import Http

import local_gcs
from local_gcs.waiting import HANGS

QUANTUM = 256 * 1024


def begin(http: Http, bucket: str, name: str, **params: object) -> requests.Response:
    query = {"uploadType": "resumable", "name": name, **params}
    return http.ask("POST", f"/upload/storage/v1/b/{bucket}/o", params=query, json={"metadata": {"k": "v"}})


def send(http: Http, session: str, data: bytes, content_range: str) -> requests.Response:
    path = session.removeprefix(http.url)
    return http.ask("PUT", path, data=data, headers={"Content-Range": content_range})


class TestResumable:
    def test_chunks_and_status(self, http: Http, bucket: str) -> None:
        """Chunks arrive with 308, the status can be asked at any time, and the object appears at the end only."""
        session = begin(http, bucket, "a").headers["Location"]
        data = bytes(range(256)) * 1024 + b"the end"
        asked = send(http, session, b"", "bytes */*")
        assert (asked.status_code, asked.headers.get("Range")) == (308, None)
        first = send(http, session, data[:QUANTUM], f"bytes 0-{QUANTUM - 1}/*")
        assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}")
        assert http.object("GET", bucket, "a").status_code == 404
        asked = send(http, session, b"", f"bytes */{len(data)}")
        assert (asked.status_code, asked.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}")
        last = send(http, session, data[QUANTUM:], f"bytes {QUANTUM}-{len(data) - 1}/{len(data)}")
        assert (last.status_code, last.json()["metadata"]) == (200, {"k": "v"})
        assert http.object("GET", bucket, "a", alt="media").content == data
        again = send(http, session, b"", f"bytes */{len(data)}")
        assert (again.status_code, again.json()["generation"]) == (200, last.json()["generation"])

    def test_chunks_sent_again(self, http: Http, bucket: str) -> None:
        """A chunk that overlaps what has arrived adds only what is new; one behind a gap is refused."""
        session = begin(http, bucket, "a").headers["Location"]
        data = b"0" * QUANTUM + b"1" * QUANTUM
        send(http, session, data[:QUANTUM], f"bytes 0-{QUANTUM - 1}/*")
        gap = send(http, session, data[:QUANTUM], f"bytes {2 * QUANTUM}-{3 * QUANTUM - 1}/*")
        assert gap.status_code == 503
        done = send(http, session, data, f"bytes 0-{2 * QUANTUM - 1}/{2 * QUANTUM}")
        assert done.status_code == 200
        assert http.object("GET", bucket, "a", alt="media").content == data

    def test_odd_chunk(self, http: Http, bucket: str) -> None:
        """A chunk that is not the last must be a multiple of 256 KiB."""
        session = begin(http, bucket, "a").headers["Location"]
        assert send(http, session, b"12345", "bytes 0-4/*").status_code == 400

    def test_conditions_at_both_ends(self, http: Http, bucket: str) -> None:
        """A condition is checked when the upload begins and again when it ends."""
        session = begin(http, bucket, "a", ifGenerationMatch=0).headers["Location"]
        http.put(bucket, "a", b"another writer")
        assert begin(http, bucket, "a", ifGenerationMatch=0).status_code == 412
        assert send(http, session, b"late", "bytes 0-3/4").status_code == 412
        assert http.object("GET", bucket, "a", alt="media").content == b"another writer"

    def test_given_up(self, http: Http, bucket: str) -> None:
        """A cancelled upload is gone."""
        session = begin(http, bucket, "a").headers["Location"]
        assert http.ask("DELETE", session.removeprefix(http.url)).status_code == 499
        assert send(http, session, b"x", "bytes 0-0/1").status_code == 404


class TestBatch:
    def batch(self, http: Http, parts: list[str]) -> requests.Response:
        body = "".join(
            f"--xyz\r\nContent-Type: application/http\r\nContent-ID: <id+{n}>\r\n\r\n{part}\r\n"
            for n, part in enumerate(parts)
        )
        headers = {"Content-Type": 'multipart/mixed; boundary="xyz"'}
        return http.ask("POST", "/batch/storage/v1", data=f"{body}--xyz--\r\n", headers=headers)

    def test_each_part_has_its_own_answer(
        self, http: Http, bucket: str, server: local_gcs.LocalServer
    ) -> None:
        """Parts succeed and fail one by one, in order, and are counted one by one."""
        http.put(bucket, "a")
        path = f"/storage/v1/b/{bucket}/o"
        patch = json.dumps({"metadata": {"k": "v"}})
        answer = self.batch(
            http,
            [
                f"PATCH {path}/a HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{patch}",
                f"DELETE {path}/a?ifGenerationMatch=1 HTTP/1.1\r\n\r\n",
                f"DELETE {path}/none HTTP/1.1\r\n\r\n",
                f"GET {http.url}{path}/a?fields=metadata HTTP/1.1\r\n\r\n",
                f"DELETE {path}/a HTTP/1.1\r\n\r\n",
            ],
        )
        text = answer.text
        statuses = [line.split()[1] for line in text.splitlines() if line.startswith("HTTP/1.1")]
        assert statuses == ["200", "412", "404", "200", "204"]
        assert [f"<response-id+{n}>" in text for n in range(5)] == [True] * 5
        assert '{"metadata":{"k":"v"}}' in text
        methods = server.stats()["methods"]
        assert methods["storage.objects.delete"] == {"count": 3, "by_status": {"204": 1, "404": 1, "412": 1}}
        assert methods["storage.batch"]["count"] == 1

    @pytest.mark.parametrize(("parts", "status"), [(100, 200), (101, 400)])
    def test_size(self, http: Http, bucket: str, parts: int, status: int) -> None:
        """A batch of more than 100 calls is refused whole."""
        http.put(bucket, "a")
        call = f"DELETE /storage/v1/b/{bucket}/o/a HTTP/1.1\r\n\r\n"
        assert self.batch(http, [call] * parts).status_code == status
        assert http.object("GET", bucket, "a").status_code == (404 if status == 200 else 200)

    def test_what_cannot_be_a_part(self, http: Http, bucket: str) -> None:
        """Uploads, downloads and batches in a batch are refused, and so is a body that is no batch."""
        for target in (f"/upload/storage/v1/b/{bucket}/o", f"/download/storage/v1/b/{bucket}/o/a", "/batch"):
            assert self.batch(http, [f"POST {target} HTTP/1.1\r\n\r\n"]).status_code == 400
        headers = {"Content-Type": "multipart/mixed; boundary=xyz"}
        for body in ("", "nothing", "--xyz\r\n\r\n"):
            assert http.ask("POST", "/batch/storage/v1", data=body, headers=headers).status_code == 400


class TestErrors:
    def test_failed_condition(self, http: Http, bucket: str) -> None:
        """A failed condition has Google's body, word for word."""
        http.put(bucket, "a")
        message = "At least one of the pre-conditions you specified did not hold."
        detail = {
            "message": message,
            "domain": "global",
            "reason": "conditionNotMet",
            "locationType": "header",
            "location": "If-Match",
        }
        expected = {"error": {"code": 412, "message": message, "errors": [detail]}}
        assert http.put(bucket, "a", ifGenerationMatch=0).json() == expected

    def test_messages(self, http: Http, bucket: str) -> None:
        """What is missing is named as Google names it."""
        gone = http.object("GET", bucket, "d/é").json()["error"]
        assert (gone["code"], gone["message"]) == (404, f"No such object: {bucket}/d/é")
        gone = http.ask("GET", "/storage/v1/b/no-such-bucket/o").json()["error"]
        assert (gone["code"], gone["message"]) == (404, "The specified bucket does not exist.")

    @pytest.mark.parametrize(
        ("verb", "path", "status"),
        [
            ("GET", "/", 404),
            ("GET", "/storage/v1/b/{}/o/a/b", 404),
            ("POST", "/storage/v1/b/{}/o/a", 405),
            ("GET", "/storage/v1/b/{}/o/%FF", 400),
            ("GET", "/storage/v1/b/{}/o?prefix=%ED%A0%80", 400),
            ("GET", "/storage/v1/b/{}/o?maxResults=x", 400),
            ("GET", "/storage/v1/b/{}/o?maxResults=0", 400),
            ("GET", "/storage/v1/b/{}/o?softDeleted=true&versions=true", 400),
            ("GET", "/storage/v1/b/{}/o/a?ifGenerationMatch=x", 400),
            ("POST", "/upload/storage/v1/b/{}/o?name=a", 400),
            ("POST", "/upload/storage/v1/b/{}/o?uploadType=media", 400),
            ("POST", "/upload/storage/v1/b/{}/o?uploadType=media&name=%ED%A0%80", 400),
            ("POST", "/upload/storage/v1/b/{}/o?uploadType=multipart&name=a", 400),
            ("GET", "/_local/nothing", 404),
        ],
    )
    def test_nonsense(self, http: Http, bucket: str, verb: str, path: str, status: int) -> None:
        """Nonsense is refused with a status of its own, never with a 500."""
        assert http.ask(verb, path.format(bucket)).status_code == status

    @pytest.mark.parametrize(
        "body",
        [
            "[]",
            "{",
            '{"metadata": 7}',
            '{"contentType": 7}',
            '{"temporaryHold": "x"}',
            '{"cacheControl": "\\ud800"}',
        ],
    )
    def test_bodies(self, http: Http, bucket: str, body: str) -> None:
        """A body of the wrong shape changes nothing."""
        before = http.put(bucket, "a").json()
        answer = http.ask("PATCH", f"/storage/v1/b/{bucket}/o/a", data=body)
        assert answer.status_code == 400
        assert http.object("GET", bucket, "a").json() == before


class TestMetadata:
    def test_patch_and_update(self, http: Http, bucket: str) -> None:
        """A patch merges and null removes; an update replaces everything that can be edited."""
        http.put(bucket, "a")
        path = f"/storage/v1/b/{bucket}/o/a"
        http.ask(
            "PATCH",
            path,
            json={"metadata": {"a": "1", "b": "2"}, "contentType": "text/x", "cacheControl": "no-store"},
        )
        patched = http.ask(
            "PATCH", path, json={"metadata": {"a": None, "c": "3"}, "cacheControl": None}
        ).json()
        assert patched["metadata"] == {"b": "2", "c": "3"}
        assert (patched["contentType"], "cacheControl" in patched) == ("text/x", False)
        assert "metadata" not in http.ask("PATCH", path, json={"metadata": None}).json()
        updated = http.ask("PUT", path, json={"cacheControl": "no-store"}).json()
        assert ("contentType" in updated, updated["cacheControl"], updated["metageneration"]) == (
            False,
            "no-store",
            "5",
        )

    def test_custom_time_only_goes_forward(self, http: Http, bucket: str) -> None:
        """A custom time can be set and moved on, not back and not away."""
        http.put(bucket, "a")
        answers = [
            http.ask("PATCH", f"/storage/v1/b/{bucket}/o/a", json={"customTime": time}).status_code
            for time in ("2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z", None, "2024-01-03T00:00:00Z", "soon")
        ]
        assert answers == [200, 400, 400, 200, 400]


def test_soft_delete_over_http(http: Http, bucket: str) -> None:
    """What was deleted can be listed, looked at and restored under a condition; a live listing does not show it."""
    generation = http.put(bucket, "a", b"lost").json()["generation"]
    http.object("DELETE", bucket, "a")
    assert http.list(bucket) == {"kind": "storage#objects"}
    listed = http.list(bucket, softDeleted="true")["items"]
    assert [(item["name"], item["generation"]) for item in listed] == [("a", generation)]
    looked = http.object("GET", bucket, "a", softDeleted="true", generation=generation).json()
    assert looked["hardDeleteTime"] > looked["softDeleteTime"]
    http.put(bucket, "a", b"new")
    answer = http.object("POST", bucket, "a", "/restore", generation=generation, ifGenerationMatch=0)
    assert answer.status_code == 412
    assert http.object("POST", bucket, "a", "/restore", generation=generation).status_code == 200
    assert http.object("GET", bucket, "a", alt="media").content == b"lost"


def test_stats(http: Http, bucket: str, server: local_gcs.LocalServer) -> None:
    """Requests are counted by method and status until they are reset; the double's own requests are not."""
    server.reset_stats()
    http.put(bucket, "a")
    http.rewrite((bucket, "a"), (bucket, "b"), ifGenerationMatch=0)
    http.rewrite((bucket, "a"), (bucket, "b"), ifGenerationMatch=0)
    http.ask("GET", "/nowhere")
    assert server.stats() == {
        "requests": 4,
        "methods": {
            "storage.objects.insert": {"count": 1, "by_status": {"200": 1}},
            "storage.objects.rewrite": {"count": 2, "by_status": {"200": 1, "412": 1}},
            "unknown": {"count": 1, "by_status": {"404": 1}},
        },
    }
    assert server.count("storage.objects.rewrite") == 2
    server.reset_stats()
    assert server.stats() == {"requests": 0, "methods": {}}


def test_fill(http: Http, bucket: str, other: str, server: local_gcs.LocalServer) -> None:
    """A fill is the same for the same seed, spreads over days, sends no events, and never overwrites."""
    before = server.events()
    assert (
        server.fill(bucket, 60, prefix="p/", days=3, first_day="2024-02-28", size=400, metadata={"k": "v"})
        == 60
    )
    server.fill(other, 60, prefix="p/", days=3, first_day="2024-02-28", size=400, metadata={"k": "v"})
    fields = "items(name,size,crc32c,md5Hash,contentType,metadata)"
    assert http.list(bucket, fields=fields) == http.list(other, fields=fields)
    days = http.list(bucket, prefix="p/", delimiter="/")["prefixes"]
    assert days == ["p/qpi_answers_20240228/", "p/qpi_answers_20240229/", "p/qpi_answers_20240301/"]
    item = http.list(bucket, maxResults=1)["items"][0]
    assert (item["contentType"], item["metadata"], 400 <= int(item["size"]) < 500) == (
        "application/json",
        {"k": "v"},
        True,
    )
    line = http.object("GET", bucket, item["name"], alt="media").content
    assert set(json.loads(line)) == {"user_id", "submitted_at", "answers"}
    answer = http.ask(
        "POST", "/_local/fill", json={"bucket": bucket, "count": 1, "prefix": "p/", "first_day": "2024-02-28"}
    )
    assert answer.status_code == 409
    assert (
        http.ask("POST", "/_local/fill", json={"bucket": bucket, "count": 1, "days": -1}).status_code == 400
    )
    assert server.events() == before


def test_downloads_say_what_they_are(http: Http, bucket: str) -> None:
    """A download carries generation, hashes and metadata; gzip content comes as stored."""
    put = http.put(bucket, "a", b"hello", contentEncoding="gzip").json()
    answer = http.session.get(
        f"{http.url}/download/storage/v1/b/{bucket}/o/a", params={"alt": "media"}, stream=True, timeout=HANGS
    )
    with answer:
        assert answer.raw.read(decode_content=False) == b"hello"
    assert answer.headers["x-goog-generation"] == put["generation"]
    assert answer.headers["x-goog-hash"] == f"crc32c={put['crc32c']},md5={put['md5Hash']}"
    assert (answer.headers["Content-Encoding"], answer.headers["ETag"]) == ("gzip", put["etag"])


def test_permissions_on_an_object_are_asked_of_one_that_is_there(http: Http, bucket: str) -> None:
    """Everything is permitted; of an absent object nothing is said."""
    path = f"/storage/v1/b/{bucket}/o/a/iam/testPermissions?permissions=storage.objects.get&permissions=x.y"
    assert http.ask("GET", path).status_code == 404
    http.put(bucket, "a", b"")
    assert http.ask("GET", path).json()["permissions"] == ["storage.objects.get", "x.y"]

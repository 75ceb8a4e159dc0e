"""Faults: each hits the requests that it is meant for, and no others."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests
from local_gcs_lab import Http

import local_gcs
from local_gcs.faults import FaultPlan
from local_gcs.waiting import HANGS

LIST = "storage.objects.list"
INSERT = "storage.objects.insert"


def test_rule_takes_its_turn(http: Http, bucket: str, server: local_gcs.LocalServer) -> None:
    """A rule lets some requests pass, hits the next, and is over."""
    server.set_faults(rules=[{"method": LIST, "skip": 2, "count": 2, "status": 503, "message": "Not now."}])
    answers = [http.ask("GET", f"/storage/v1/b/{bucket}/o") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200, 200, 503, 503, 200, 200]
    assert answers[2].json()["error"]["message"] == "Not now."
    assert http.put(bucket, "a").status_code == 200


def test_rule_for_a_bucket_lasts(http: Http, bucket: str, other: str, server: local_gcs.LocalServer) -> None:
    """Without a count a rule lasts; it meets the bucket as source and as destination, and no other bucket."""
    http.put(bucket, "a")
    http.put(other, "a")
    server.set_faults(rules=[{"bucket": bucket, "count": None, "status": 403, "reason": "forbidden"}])
    denied = [
        http.object("GET", bucket, "a"),
        http.ask("GET", f"/storage/v1/b/{bucket}"),
        http.rewrite((bucket, "a"), (other, "b")),
        http.rewrite((other, "a"), (bucket, "b")),
    ]
    assert [answer.status_code for answer in denied] == [403] * 4
    assert denied[0].json()["error"]["errors"][0]["reason"] == "forbidden"
    assert http.object("GET", other, "a").status_code == 200
    server.clear_faults()
    assert http.object("GET", bucket, "a").status_code == 200


def test_rule_for_names(http: Http, bucket: str, server: local_gcs.LocalServer) -> None:
    """A name prefix meets objects, listings below it, and uploads whose name is in the query or in the metadata."""
    server.set_faults(rules=[{"name_prefix": "p/", "count": None, "status": 500}])
    body = b'--x\r\n\r\n{"contentType": "text/x", "name": "%b"}\r\n--x\r\n\r\ndata\r\n--x--'
    path = f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart"
    for name, status in (("p/a", 500), ("q/a", 200)):
        assert http.put(bucket, name).status_code == status
        headers = {"Content-Type": "multipart/related; boundary=x"}
        assert http.ask("POST", path, data=body % name.encode(), headers=headers).status_code == status
        assert http.rewrite((bucket, "q/a"), (bucket, name)).status_code in {status, 404}
        assert http.ask("GET", f"/storage/v1/b/{bucket}/o", params={"prefix": name}).status_code == status


@pytest.mark.parametrize(
    ("kind", "happened"), [("reset_before", False), ("reset_after", True), ("truncate", True)]
)
def test_lost_answers(
    http: Http, bucket: str, server: local_gcs.LocalServer, kind: str, *, happened: bool
) -> None:
    """A reset before the effect leaves nothing; a reset after it, or half an answer, leaves exactly one effect."""
    server.set_faults(rules=[{"method": INSERT, "status": kind}])
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        http.put(bucket, "a", b"once", ifGenerationMatch=0)
    assert http.object("GET", bucket, "a").status_code == (200 if happened else 404)
    assert http.put(bucket, "a", b"twice", ifGenerationMatch=0).status_code == (412 if happened else 200)
    versions = http.list(bucket, softDeleted="true")
    assert "items" not in versions
    counted = server.stats()["methods"][INSERT]["by_status"]
    first = "truncated" if kind == "truncate" else "reset"
    assert counted == {first: 1, "412" if happened else "200": 1}


def test_rates_are_seeded(http: Http, bucket: str, server: local_gcs.LocalServer) -> None:
    """Rates hit about their share of all requests, and the same ones for the same seed."""
    plan = {"seed": 3, "rates": {"429": 0.2, "503": 0.2, "reset_before": 0.2}}

    def outcome() -> str:
        try:
            return str(http.object("GET", bucket, "none").status_code)
        except requests.ConnectionError:
            return "reset"

    runs = []
    for _ in range(2):
        server.set_faults(**plan)
        runs.append([outcome() for _ in range(150)])
    assert runs[0] == runs[1]
    shares = Counter(runs[0])
    assert set(shares) == {"429", "503", "reset", "404"}
    assert all(10 <= number <= 90 for number in shares.values())


def test_latency(http: Http, bucket: str, server: local_gcs.LocalServer) -> None:
    """A request waits at least as long as it is told to."""
    server.set_faults(latency_ms=50, latency_jitter_ms=1)
    assert http.object("GET", bucket, "none").elapsed.total_seconds() >= 0.05


def test_the_server_s_own_requests_are_never_hit(http: Http, server: local_gcs.LocalServer) -> None:
    """With every request failing, stats and faults can still be asked for."""
    server.set_faults(rates={"503": 1})
    assert http.ask("GET", "/storage/v1/b").status_code == 503
    assert server.stats()["methods"]["storage.buckets.list"]["by_status"] == {"503": 1}
    assert http.ask("GET", "/_local/faults").json()["rates"] == {"503": 1}


def test_a_limit_makes_any_client_loop(http: Http, bucket: str, server: local_gcs.LocalServer) -> None:
    """With a limit, a rewrite takes several calls though the client asked for no chunks."""
    http.put(bucket, "a", b"0123456789")
    server.set_faults(max_rewrite_bytes_per_call=4)
    answers, token = [], {}
    while len(answers) < 5 and not (answers and answers[-1]["done"]):
        answers.append(http.rewrite((bucket, "a"), (bucket, "b"), **token).json())
        token = {"rewriteToken": answers[-1].get("rewriteToken", "")}
    assert [(a["done"], a["totalBytesRewritten"]) for a in answers] == [
        (False, "4"),
        (False, "8"),
        (True, "10"),
    ]


def test_scripted_retries(http: Http, bucket: str) -> None:
    """A client can script the faults of its own calls; the calls of other clients stay whole."""
    script = {LIST: ["return-503", "return-broken-stream", "return-reset-connection-after-effect"]}
    identifier = http.ask("POST", "/retry_test", json={"instructions": script}).json()["id"]
    headers = {"x-retry-test-id": identifier}
    path = f"/storage/v1/b/{bucket}/o"
    assert http.ask("GET", path).status_code == 200
    assert http.ask("GET", path, headers=headers).status_code == 503
    for _ in range(2):
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            http.ask("GET", path, headers=headers)
    assert http.ask("GET", path, headers=headers).status_code == 200
    assert http.ask("GET", f"/retry_test/{identifier}").json()["completed"] is True
    assert http.ask("DELETE", f"/retry_test/{identifier}").status_code == 200
    assert http.ask("GET", f"/retry_test/{identifier}").status_code == 404
    assert http.ask("POST", "/retry_test", json={"instructions": {LIST: ["explode"]}}).status_code == 400


def test_batch_answers_travel_together(http: Http, bucket: str, server: local_gcs.LocalServer) -> None:
    """If the answer to one part is lost, the whole batch's is, and the other parts have happened."""
    http.put(bucket, "a")
    http.put(bucket, "b")
    server.set_faults(
        rules=[{"method": "storage.objects.delete", "name_prefix": "a", "status": "reset_before"}]
    )
    parts = "".join(
        f"--x\r\n\r\nDELETE /storage/v1/b/{bucket}/o/{name} HTTP/1.1\r\n\r\n\r\n" for name in "ab"
    )
    with pytest.raises(requests.ConnectionError):
        http.ask(
            "POST", "/batch", data=f"{parts}--x--", headers={"Content-Type": "multipart/mixed; boundary=x"}
        )
    assert [item["name"] for item in http.list(bucket)["items"]] == ["a"]


@pytest.mark.parametrize(
    "plan",
    [
        {"rule": []},
        {"rules": [{}]},
        {"rules": [{"status": 200}]},
        {"rules": [{"status": "explode"}]},
        {"rules": [{"status": 503, "after": 1}]},
        {"rules": [7]},
        {"rates": {"500": 0.1}},
        {"rates": {"429": 0.6, "503": 0.6}},
        {"rates": 7},
        {"rates": {"429": "a"}},
        {"rates": {"429": -1}},
        {"rules": 5},
        {"rules": [{"status": 503, "skip": "x"}]},
        {"rules": [{"status": 503, "count": True}]},
        {"rules": [{"status": 503, "count": 1.5}]},
        {"seed": [1]},
        {"latency_ms": "x"},
        {"rewrite_gap_ms": -5},
        {"events": {"duplicate": "x"}},
        {"events": {"reorder": 1}},
        {"events": {"lose": 1}},
        {"events": 7},
    ],
)
def test_misspelt_plans(refused: Callable[..., tuple[int, str]], plan: dict[str, object]) -> None:
    """A plan that is not understood is refused: a test must not pass because its fault never happened."""
    assert refused(FaultPlan.of, plan) == (400, "invalid")


def test_others_act_in_the_gap_of_a_rewrite(http: Http, bucket: str, server: local_gcs.LocalServer) -> None:
    """With a gap a write overtakes the rewrite that read before it, and its condition fails at the commit."""
    http.put(bucket, "a", b"source")
    server.set_faults(rewrite_gap_ms=10_000, seed=3)  # this seed makes it 2.4 seconds
    with closing(HTTPConnection(urlsplit(http.url).netloc, timeout=HANGS)) as rewriting:
        rewriting.request("POST", f"/storage/v1/b/{bucket}/o/a/rewriteTo/b/{bucket}/o/b?ifGenerationMatch=0")
        server.stats()  # once it answers this, it has read what was sent before
        assert http.put(bucket, "b", b"faster").status_code == 200
        assert rewriting.getresponse().status == 412
    server.set_faults(
        rewrite_gap_ms=5, rules=[{"method": "storage.objects.rewrite", "status": "reset_after"}]
    )
    with pytest.raises(requests.ConnectionError):
        http.rewrite((bucket, "a"), (bucket, "c"))
    assert http.object("GET", bucket, "c").status_code == 200

"""Runs a local server for the length of a with-block: a real process, which never outlives the block.

The process also stops when its standard input ends, so it does not outlive a killed parent either.

Apart from `__init__`, which exports it, because that one is the table of what is served.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from local_gcs.waiting import HANGS, STILL, wait_until

__all__ = ["LocalServer", "running"]

STOPPING = 60.0
"""Seconds that a server may take to stop by itself. After that it is killed."""
ANNOUNCEMENT = "local_gcs listening on "


class LocalServer:
    """A running server; its methods ask it over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url
        # Never through a proxy: the server is on this machine.
        self._opener = build_opener(ProxyHandler({}))

    def stats(self) -> dict[str, Any]:
        """Requests by method: ``{"requests": n, "methods": {name: {"count": n, "by_status": {status: n}}}}``."""
        return self._ask("GET", "stats")

    def reset_stats(self) -> None:
        """Sets all counts to 0."""
        self._ask("DELETE", "stats")

    def count(self, method: str) -> int:
        """Number of requests for an API method, such as ``storage.objects.rewrite``."""
        return int(self.stats()["methods"].get(method, {"count": 0})["count"])

    def fill(self, bucket: str, count: int, **more: Any) -> int:
        """Stores many objects at once, without events; `local_gcs.server.Fill` explains `more`."""
        return int(self._ask("POST", "fill", {"bucket": bucket, "count": count, **more})["objects"])

    def add_subscriber(self, url: str, **more: Any) -> str:
        """Makes the server post events, and gives the subscriber's id; `local_gcs.events.Subscription` explains `more`."""
        return str(self._ask("POST", "subscribers", {"url": url, **more})["id"])

    def remove_subscriber(self, identifier: str) -> None:
        """Ends a subscription."""
        self._ask("DELETE", f"subscribers?id={identifier}")

    def events(self) -> dict[str, int]:
        """Counts of events: pending, published, delivered, failed, dead, duplicated, dropped."""
        return self._ask("GET", "events")

    def wait_for_events(self, *, still: float = STILL) -> dict[str, int]:
        """Wait until no event is pending, and give the counts then. A delivery, or giving one up, is progress.

        Raises:
            NothingMoved: Events are still pending, and for `still` seconds there has been no progress.
        """
        return wait_until(
            self.events,
            lambda counts: not counts["pending"],
            "events are still pending",
            progress=lambda counts: (counts["delivered"], counts["dead"]),
            still=still,
        )

    def turn_clock(self, seconds: float) -> None:
        """Turns the server's clock on; it does not go back."""
        self._ask("POST", "clock", {"seconds": seconds})

    def run_lifecycle(self) -> dict[str, int]:
        """Applies the lifecycle rules of all buckets; gives the numbers of deleted and moved versions."""
        return self._ask("POST", "lifecycle")

    def set_faults(self, **plan: Any) -> None:
        """Puts faults into force; `local_gcs.faults` explains the vocabulary."""
        self._ask("POST", "faults", plan)

    def clear_faults(self) -> None:
        """Removes all faults."""
        self._ask("DELETE", "faults")

    def dead_letters(self) -> list[dict[str, Any]]:
        """Events that were given up, each with url, attempts, error, headers and body."""
        letters: list[dict[str, Any]] = self._ask("GET", "dead-letters")["items"]
        return letters

    def forget_dead_letters(self) -> None:
        """Removes the dead letters, as a purge of their subscription does."""
        self._ask("DELETE", "dead-letters")

    def undelivered(self) -> str:
        """The number of dead letters, as Cloud Monitoring's ``timeSeries.list`` has it for a subscription; JSON."""
        now = datetime.now(UTC).isoformat()
        point = {
            "interval": {"startTime": now, "endTime": now},
            "value": {"int64Value": str(len(self.dead_letters()))},
        }
        metric = "pubsub.googleapis.com/subscription/num_undelivered_messages"
        labels = {"project_id": "local", "subscription_id": "dead-letters"}
        series = {
            "metric": {"type": metric},
            "resource": {"type": "pubsub_subscription", "labels": labels},
            "metricKind": "GAUGE",
            "valueType": "INT64",
            "points": [point],
        }
        return json.dumps({"timeSeries": [series], "unit": "1"})

    def grant(self, bucket: str, bindings: Mapping[str, str]) -> None:
        """Sets a bucket's IAM policy, which is not enforced: a member by role."""
        policy = {"bindings": [{"role": role, "members": [member]} for role, member in bindings.items()]}
        self._ask("PUT", f"b/{bucket}/iam", policy, below="storage/v1")

    def replay_dead_letters(self) -> int:
        """Sends the dead letters again and gives their number."""
        return int(self._ask("POST", "dead-letters/replay")["replayed"])

    def _ask(
        self, verb: str, path: str, body: Mapping[str, Any] | None = None, below: str = "_local"
    ) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/{below}/{path}", data, method=verb)  # noqa: S310 - our own http address
        with self._opener.open(request, timeout=HANGS) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@contextmanager
def running(
    *,
    buckets: Sequence[str] = (),
    generations: str = "unordered",
    events: Sequence[str] = (),
    faults: Mapping[str, Any] | None = None,
    seed: int = 0,
    arguments: Sequence[str] = (),
) -> Iterator[LocalServer]:
    """Starts a server on a free port, and stops it at the end of the block.

    The arguments are those of the command line, which explains them, and `arguments` are further ones.

    Raises:
        RuntimeError: It did not start; its standard error gives the reason.
    """
    command = [sys.executable, "-m", "local_gcs", "--port", "0", "--until-stdin-closes"]
    command += [f"--generations={generations}", f"--seed={seed}"]
    command += [f"--bucket={name}" for name in buckets] + [f"--events={url}" for url in events]
    command += [f"--faults={json.dumps(faults)}"] if faults else []
    with subprocess.Popen(
        [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield LocalServer(_address(process))
        finally:
            _stop(process)


def _address(process: "subprocess.Popen[str]") -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith(ANNOUNCEMENT):
        raise RuntimeError(f"local_gcs did not start (exit status {process.wait(STOPPING)})")
    return line.removeprefix(ANNOUNCEMENT).strip()


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()

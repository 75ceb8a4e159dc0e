"""What a run left, read back from where it lies: the storage, the reports, the logs; as the values that are judged."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from http.client import HTTPException
from pathlib import Path as File
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, build_opener

from story_alerts import GRAVE
from story_facts import Ledger, LogLine, Version, World
from story_operator import WITHOUT_LOG
from story_stage import MIGRATION, PATHS, Stage

from local_gcs.waiting import HANGS
from monitoring.vocabulary import line_problems
from shared.migration import Location

__all__ = ["ACCOUNTS", "gathered", "lines_about", "listed", "manifest_checksums", "versions_now"]

CANARIES = "_canary/"
"""What the gate writes and removes again; no writer's, and no consumer's."""
ACCOUNTS = ("copied", "already_equal", "superseded", "conflict", "erased", "failed", "excluded")
OUTCOMES = ("deleted", "already_gone", "overwritten_since", "destination_changed", "held", "failed")
REPORTED = frozenset({"mirror_conflict", "object_conflict", "verification_difference", "object_kept"})
FIELDS = "nextPageToken,items(name,generation,md5Hash,timeCreated,timeDeleted)"


def gathered(stage: Stage) -> World:
    """Everything that is judged. Asked for when everybody has stopped writing."""
    lines = [*_lines(stage)]
    graves = [line for line in lines if line.content is None or line.content.get("severity") in GRAVE]
    reported = {
        _relative(str(line.content.get("object")))
        for line in lines
        if line.content and line.content.get("event") in REPORTED
    }
    for handover in stage.handovers:
        reported |= handover.later
    before = {name: versions for name, versions in stage.before.items() if name not in stage.erased}
    return World(
        uploads={name: tuple(versions) for name, versions in stage.uploads.items()},
        versions=_merged(before, versions_now(stage)),
        kept=_kept(stage),
        imports=tuple(stage.consumer.imports),
        rows=tuple(stage.consumer.rows()),
        handovers=tuple(stage.handovers),
        ledgers=tuple(_ledgers(stage)),
        certificates=_certificates(stage),
        lines=tuple(graves),
        reported=frozenset(reported),
        manifest=stage.manifest,
        erased=frozenset(stage.erased),
        not_there=stage.not_there,
        deleting_since=stage.deleting_since,
        happenings=tuple(sorted(stage.operator.happenings, key=lambda each: each.at)),
    )


def versions_now(stage: Stage) -> dict[str, list[Version]]:
    """All versions that Cloud Storage has, on both paths, by name below the prefix."""
    found: defaultdict[str, list[Version]] = defaultdict(list)
    for path, location in PATHS.items():
        for item in listed(stage.server.url, location, versions=True):
            relative = item["name"][len(location.prefix) :]
            if relative.startswith(CANARIES) or MIGRATION.is_excluded(relative):
                continue
            gone = item.get("timeDeleted")
            found[relative].append(
                Version(
                    path,
                    int(item["generation"]),
                    item["md5Hash"],
                    datetime.fromisoformat(item["timeCreated"]),
                    live=gone is None,
                    gone=None if gone is None else datetime.fromisoformat(gone),
                )
            )
    return dict(found)


def manifest_checksums(stage: Stage, place: str) -> dict[str, str]:
    """What a manifest says would be deleted: checksum by name."""
    name = place.removeprefix(f"gs://{MIGRATION.destination.bucket}/")
    data = _get(
        stage.server.url,
        f"/storage/v1/b/{MIGRATION.destination.bucket}/o/{quote(name + 'l', safe='')}?alt=media",
    )
    return {line["name"]: line["md5"] for line in map(json.loads, data.splitlines())}


def lines_about(stage: Stage, name: str) -> Iterator[tuple[datetime, str]]:
    """Every log line that names an object, with its time: for a history."""
    for line in _lines(stage):
        content = line.content
        if content and str(content.get("object", "")).endswith(f"/{name}") and content.get("time"):
            told = {
                key: content[key]
                for key in (
                    "event",
                    "outcome",
                    "phase",
                    "verdict",
                    "because",
                    "error",
                    "source_generation",
                    "destination_generation",
                )
                if content.get(key)
            }
            yield (
                datetime.fromisoformat(content["time"]),
                f"{line.source}: {' '.join(f'{k}={v}' for k, v in told.items())}",
            )


def _merged(
    before: Mapping[str, list[Version]], now: Mapping[str, list[Version]]
) -> dict[str, tuple[Version, ...]]:
    """What was there before the deletion and is not now is gone, and still history."""
    merged = {}
    for name in {*before, *now}:
        ours = now.get(name, [])
        known = {(each.path, each.generation) for each in ours}
        gone = [
            Version(each.path, each.generation, each.checksum, each.created, live=False, gone=each.gone)
            for each in before.get(name, [])
            if (each.path, each.generation) not in known
        ]
        merged[name] = (*gone, *ours)
    return merged


def _kept(stage: Stage) -> dict[str, frozenset[str]]:
    """What was kept before it was replaced; both directions keep in the same place."""
    home = MIGRATION.own_ref("replaced", "")
    found: defaultdict[str, set[str]] = defaultdict(set)
    for item in listed(stage.server.url, Location(home.bucket, home.name.rstrip("/") + "/")):
        relative = item["name"][len(home.name.rstrip("/")) + 1 :].rpartition("/")[0]
        found[relative].add(item["md5Hash"])
    return {name: frozenset(checksums) for name, checksums in found.items()}


def _ledgers(stage: Stage) -> Iterator[Ledger]:
    for path in sorted(stage.folder.glob("reports/*/*.json")):
        yield from _ledger(f"{path.parent.name}/{path.name}", json.loads(path.read_text()))
    reports = Location(MIGRATION.destination.bucket, "reports/")
    for item in listed(stage.server.url, reports):
        if item["name"].endswith("run.json"):
            data = _get(
                stage.server.url, f"/storage/v1/b/{reports.bucket}/o/{quote(item['name'], safe='')}?alt=media"
            )
            yield from _ledger(item["name"], json.loads(data))


def _ledger(where: str, content: Mapping[str, Any]) -> Iterator[Ledger]:
    """The books in one report, whichever it is."""
    for books in (content.get("ledger"), (content.get("handover") or {}).get("ledger")):
        if books:
            yield Ledger(where, books["listed"], {name: books[name] for name in ACCOUNTS})
    for name in ("this_process", "manifest_so_far"):
        if name in content:
            books = content[name]
            yield Ledger(f"{where} {name}", books["lines"], {each: books[each] for each in OUTCOMES})
    if "outlook" in content:
        outlook, undone = content["outlook"], content["undone"]
        yield Ledger(f"{where} outlook", outlook["selected"], outlook["ways"])
        if undone:
            yield Ledger(f"{where} undone", outlook["selected"], undone["outcomes"])
            after = {key: undone.get(key, 0) for key in ("there", "not_there", "erased")}
            yield Ledger(f"{where} there", outlook["selected"], after)


def _certificates(stage: Stage) -> dict[str, str]:
    """What is wrong with each; the last one must also be true of both paths as they are."""
    found = sorted(stage.folder.glob("reports/*/certificate.json"))
    return {
        path.parent.name: _wrong_with(path) or _unlike_the_paths(stage, path, last=path == found[-1])
        for path in found
    }


def _wrong_with(path: File) -> str:
    content = json.loads(path.read_text())
    plain = json.dumps(content["data"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    actual = hashlib.sha256(plain.encode()).hexdigest()
    return (
        ""
        if actual == content["data_sha256"]
        else f"its data has the SHA-256 {actual}, it states {content['data_sha256']}"
    )


def _unlike_the_paths(stage: Stage, path: File, *, last: bool) -> str:
    """Ask the command: 0 for the same as now, 1 for changed since, or for the same and not equal; 2 for damaged."""
    attempt, process = stage.operator.begin("certify", "--check", str(path))
    stage.operator.wait(attempt, process)
    run = json.loads(path.read_text())["run"]
    right = attempt.code == (0 if run["clean"] else 1) if last else attempt.code in {0, 1}
    return "" if right else f"certify ended with {attempt.code}: {attempt.said()[-300:]}"


def _lines(stage: Stage) -> Iterator[LogLine]:
    for name in stage.functions:
        for text in (stage.folder / f"{name}.log").read_text(errors="replace").split("\n"):
            # A kill tears the line that is being written.
            if text.strip() and not (text.startswith("{") and not text.endswith("}")):
                yield _line(name, "cloud_run_revision", text)
    for attempt in stage.operator.attempts:
        if attempt.name not in WITHOUT_LOG:
            for text in attempt.out.read_text(errors="replace").split("\n"):
                if text.strip() and (attempt.code != -9 or text.endswith("}")):
                    yield _line(f"{attempt.number:03} {attempt.name}", "cloud_run_job", text)
        errors = attempt.out.with_suffix(".err").read_text(errors="replace")
        if "Traceback" in errors:
            yield LogLine(attempt.name, "cloud_run_job", None, errors[-2_000:])


def _line(source: str, resource: str, text: str) -> LogLine:
    wrong = line_problems(text)
    return LogLine(
        source, resource, None if wrong else json.loads(text), f"{wrong[0]}: {text}" if wrong else text
    )


def _relative(uri: str) -> str:
    for location in PATHS.values():
        if uri.startswith(location.uri):
            return uri[len(location.uri) :]
    return ""


def listed(url: str, location: Location, *, versions: bool = False) -> Iterator[dict[str, Any]]:
    """The objects below a prefix, with the fields of `FIELDS`; all versions if asked for."""
    token = ""
    while True:
        query = f"prefix={quote(location.prefix, safe='')}&versions={str(versions).lower()}&pageToken={quote(token, safe='')}"
        answer = json.loads(
            _get(url, f"/storage/v1/b/{location.bucket}/o?{query}&fields={quote(FIELDS, safe='')}")
        )
        yield from answer.get("items", ())
        token = answer.get("nextPageToken", "")
        if not token:
            return


def _get(url: str, path: str) -> bytes:
    """Ask the storage, again until it answers: it may have its faults just now."""
    opener = build_opener(ProxyHandler({}))
    failed: Exception | None = None
    for _ in range(50):
        try:
            with opener.open(url + path, timeout=HANGS) as answer:
                return bytes(answer.read())
        except (OSError, HTTPException) as error:  # a status that is no success, no answer, or half of one
            failed = error
            if isinstance(error, HTTPError):
                error.close()
    raise OSError(f"{path}: no answer in 50 tries") from failed

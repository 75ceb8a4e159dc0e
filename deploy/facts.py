"""Reads a project with gcloud, side by side, and changes nothing: each answer is JSON, or the reason why there is none.

A module of its own: a test makes projects out of the answers, and none of it decides anything.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from deploy.project import gcloud, staging
from deploy.steps import CommandEnd, Runs, Words
from deploy.values import EnvironmentValues

__all__ = ["Facts", "UnreadableFact", "ask_project", "field", "policy_command", "questions", "role_command"]

AT_ONCE = 8
"""Processes of gcloud at once; each takes a second or two of a processor."""


@dataclass(frozen=True, slots=True)
class UnreadableFact:
    """A question without an answer.

    Attributes:
        why: gcloud's words, in one line.
        absent: Whether gcloud says that the thing does not exist.
    """

    why: str
    absent: bool


Facts = Mapping[str, Any]
"""Answers by the question's name: parsed JSON, or `UnreadableFact`."""


def questions(values: EnvironmentValues) -> dict[str, Words]:
    """What to ask first: everything but the policies of things that may not exist yet."""
    region, where = f"--region={values.region}", f"--location={values.region}"
    source, destination = values.migration.source.bucket, values.migration.destination.bucket
    buckets = {"legacy bucket": source, "new bucket": destination, "staging bucket": staging(values)}
    asked = {
        "services": gcloud(values, "services list --enabled"),
        "project": gcloud(values, "projects describe", values.project),
        "project policy": gcloud(values, "projects get-iam-policy", values.project),
        **{
            name: gcloud(values, "storage buckets describe", f"gs://{bucket}", "--raw")
            for name, bucket in buckets.items()
        },
        "iam service-accounts": gcloud(values, "iam service-accounts list"),
        "iam roles": gcloud(values, "iam roles list"),
        "artifacts repositories": gcloud(values, "artifacts repositories list", where),
        "pubsub topics": gcloud(values, "pubsub topics list"),
        "pubsub subscriptions": gcloud(values, "pubsub subscriptions list"),
        "builds": gcloud(values, "builds list", region, "--filter=status=SUCCESS", "--limit=1"),
        "run jobs": gcloud(values, "run jobs list", region),
        "functions": gcloud(values, "functions list --v2", f"--regions={values.region}"),
        "triggers": gcloud(values, "eventarc triggers list --location=-"),
        "schedules": gcloud(values, "scheduler jobs list", where),
        "metrics": gcloud(values, "logging metrics list"),
        # gcloud has it as alpha only. With --quiet it would install that component where it is missing; without, it ends.
        "alerts": gcloud(values, "alpha monitoring policies list")[:-1],
        "dashboards": gcloud(values, "monitoring dashboards list"),
        # Likewise, of beta.
        "channel": gcloud(values, "beta monitoring channels describe", values.channel)[:-1],
    }
    return {name: (*words, "--format=json") for name, words in asked.items()}


def policy_command(values: EnvironmentValues, kind: str, name: str) -> Words:
    """Reads the policy of one thing; `kind` is as in the binding's command, as ``pubsub topics``."""
    places = {"artifacts": f"--location={values.region}", "run": f"--region={values.region}"}
    where = [places[kind.split(maxsplit=1)[0]]] if kind.split(maxsplit=1)[0] in places else []
    return (*gcloud(values, f"{kind} get-iam-policy", name, *where), "--format=json")


def role_command(values: EnvironmentValues, role_id: str) -> Words:
    """Reads a custom role with its permissions, which a listing of roles leaves out."""
    return (*gcloud(values, "iam roles describe", role_id), "--format=json")


def field(found: Any, *path: str) -> Any:
    """A field of an answer; None where it is not there, or where something on the way has another form."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def ask_project(asked: Mapping[str, Words], run: Runs) -> dict[str, Any]:
    """Ask all questions side by side."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = zip(asked.items(), pool.map(run, asked.values()), strict=True)
        return {name: _read(words, answer) for (name, words), answer in answers}


def _read(words: Words, answer: CommandEnd) -> Any:
    """The answer: a list of objects where the command lists, and else one object."""
    said = " ".join(answer.err.split())
    if answer.code:
        why = said or f"gcloud ended with {answer.code} and no message"
        return UnreadableFact(
            why, "NOT_FOUND" in why or "not found: 404" in why or "could not be found" in why
        )
    if "unreachable" in said:  # gcloud lists what it could reach, warns, and ends with 0
        return UnreadableFact(f"a part is missing: {said}", absent=False)
    try:
        found = json.loads(answer.out)
    except ValueError:
        return UnreadableFact("gcloud's answer is not JSON", absent=False)
    lists = "list" in words
    whole = isinstance(found, list) and all(isinstance(one, dict) for one in found) if lists else found
    if isinstance(found, list if lists else dict) and (lists or found) and whole:
        return found
    return UnreadableFact("gcloud's answer has another form", absent=False)

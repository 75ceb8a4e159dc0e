"""Reads a project with gcloud, side by side, and changes nothing: each answer is JSON, or the reason why there is none.

A module of its own although only `check` reads the answers: a test makes projects out of them, and none of it decides anything.
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from deploy.project import gcloud, staging
from deploy.steps import Answer, Words
from deploy.values import Values

__all__ = ["Facts", "Unreadable", "ask", "policy_command", "questions"]

AT_ONCE = 8
"""Processes of gcloud at once; each takes a second or two of a processor."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A question without an answer.

    Attributes:
        why: gcloud's words, in one line.
        absent: Whether gcloud says that the thing does not exist.
    """

    why: str
    absent: bool


Facts = Mapping[str, Any]
"""Answers by the question's name: parsed JSON, or `Unreadable`."""


def questions(values: Values) -> dict[str, Words]:
    """What to ask first: everything but the policies of things that may not exist yet."""
    region, where = f"--region={values.region}", f"--location={values.region}"
    migration = values.migration
    asked = {
        "services": gcloud(values, "services list --enabled"),
        "project": gcloud(values, "projects describe", values.project),
        "project policy": gcloud(values, "projects get-iam-policy", values.project),
        "legacy bucket": gcloud(
            values, "storage buckets describe", f"gs://{migration.source.bucket}", "--raw"
        ),
        "new bucket": gcloud(
            values, "storage buckets describe", f"gs://{migration.destination.bucket}", "--raw"
        ),
        "staging bucket": gcloud(values, "storage buckets describe", f"gs://{staging(values)}", "--raw"),
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
    }
    return {name: (*words, "--format=json") for name, words in asked.items()}


def policy_command(values: Values, kind: str, name: str) -> Words:
    """Reads the policy of one thing; `kind` is as in the binding's command, as ``pubsub topics``."""
    places = {"artifacts": f"--location={values.region}", "run": f"--region={values.region}"}
    where = [places[kind.split(maxsplit=1)[0]]] if kind.split(maxsplit=1)[0] in places else []
    return (*gcloud(values, f"{kind} get-iam-policy", name, *where), "--format=json")


def ask(asked: Mapping[str, Words], run: Callable[[Words], Answer]) -> dict[str, Any]:
    """Ask all questions side by side."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(asked, pool.map(lambda words: _read(run(words)), asked.values()), strict=True))


def _read(answer: Answer) -> Any:
    if answer.code:
        why = " ".join(answer.err.split()) or f"gcloud ended with {answer.code} and no message"
        return Unreadable(why, "NOT_FOUND" in why or "not found: 404" in why or "could not be found" in why)
    try:
        found = json.loads(answer.out or "[]")
    except ValueError:
        return Unreadable("gcloud's answer is not JSON", absent=False)
    return (
        found
        if isinstance(found, dict | list)
        else Unreadable("gcloud's answer is not as expected", absent=False)
    )

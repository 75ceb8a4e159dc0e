"""What BigQuery's errors mean: a folder that cannot be loaded, or no answer.

What a job says about a bad row may quote the row. Those are people's answers, so that values are cut out of every message.
"""

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import TimeoutError as JobTimeout
from typing import Any

import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from backfill_job.import_test.comparison import NotLoadable
from backfill_job.wording import shown
from shared.answers import error_for, no_answer
from shared.errors import MigrationError, PermissionDenied, Unavailable, UnexpectedAnswer, UsageError

__all__ = ["CLIENT_ERRORS", "PATIENCE_SECONDS", "judged", "said_by", "translated"]

PATIENCE_SECONDS = 1_800.0
"""How long a job may take. A day loads in a minute or two; the DAG's own loads queue with these."""

CLIENT_ERRORS = (
    api.GoogleAPICallError,
    api.RetryError,
    auth.GoogleAuthError,
    requests.RequestException,
    ConnectionError,
    JobTimeout,
)
"""Everything the client raises for an answer, for none, and for a job that does not end."""

_QUOTED = re.compile(r"(?!(?<=n)'t\b)(['\"`])(?:.*\1|.*)", re.DOTALL)
"""From the first quote that is no apostrophe to the last: a value may itself hold quotes, and may be cut short."""

_VALUE = re.compile(r"\b(Value|value is)\b:?.*", re.DOTALL)
_MAX_SAID = 500

_TRANSIENT_REASONS = frozenset(
    {"backendError", "internalError", "jobBackendError", "jobInternalError", "rateLimitExceeded"}
    | {"jobRateLimitExceeded", "quotaExceeded", "stopped", "tableUnavailable", "timeout"}
)
_REFUSED_REASONS = frozenset({"accessDenied", "billingNotEnabled", "blocked", "policyViolation"})


def judged(result: Mapping[str, Any], errors: Iterable[Mapping[str, Any]], glob: str) -> NotLoadable:
    """What a failed load job means: a folder that cannot be loaded, or no answer to that question.

    Args:
        result: The job's ``errorResult``: what ended it.
        errors: The job's ``errors``: everything it came upon.
        glob: What was to be loaded.

    Returns:
        Why it cannot be loaded.

    Raises:
        MigrationError: The job failed for a reason that is not in the folder.
    """
    reason = str(result.get("reason"))
    about_objects = [
        error for error in (result, *errors) if str(error.get("location", "")).startswith("gs://")
    ]
    if reason == "notFound":
        return NotLoadable(f"{glob}: {_redacted(str(result.get('message', '')))}")
    if reason == "invalid" and about_objects:
        # BigQuery says first that there were too many errors, and last which.
        last = about_objects[-1]
        return NotLoadable(f"{shown(str(last['location']))}: {_redacted(str(last.get('message', '')))}")
    raise _for_reason(reason, _redacted(str(result.get("message", ""))), glob)


def _for_reason(reason: str, said: str, about: str) -> MigrationError:
    if reason in _TRANSIENT_REASONS:
        return Unavailable(about, f"BigQuery's job failed, another try can help ({reason}: {said})")
    if reason in _REFUSED_REASONS:
        return PermissionDenied(about, f"BigQuery's job was refused ({reason}: {said})")
    if reason == "invalid":
        return UsageError(
            f"BigQuery cannot load {about} into this dataset ({said}); dataset and buckets must be in one location"
        )
    return UnexpectedAnswer(about, f"BigQuery's job failed ({reason}: {said})")


def translated(error: Exception, about: str) -> MigrationError:
    """Say the client's error in this project's terms.

    Args:
        error: What the client raised.
        about: The table or the objects that were asked about.

    Returns:
        The error to raise.
    """
    cause = error.cause if isinstance(error, api.RetryError) and error.cause is not None else error
    match cause:
        case api.GoogleAPICallError() if cause.code is not None:
            reasons = {str(entry.get("reason")) for entry in cause.errors}
            if not reasons.isdisjoint(_TRANSIENT_REASONS):
                return Unavailable(about, f"BigQuery does not take it now ({said_by(cause)})")
            if isinstance(cause, api.NotFound):
                return UnexpectedAnswer(about, f"BigQuery does not know it ({said_by(cause)})")
            return error_for(int(cause.code), reasons, said_by(cause), about)
        case auth.GoogleAuthError() if not cause.retryable and not isinstance(cause, auth.TransportError):
            return PermissionDenied(about, f"the credentials were refused and could not be renewed ({cause})")
        case JobTimeout():
            return Unavailable(
                about, f"BigQuery's job did not end within {PATIENCE_SECONDS / 60:.0f} minutes"
            )
        case _:
            return no_answer(cause, about)


def said_by(error: Exception) -> str:
    """What BigQuery said, without the client's repetition of the request and without values."""
    entries: list[dict[str, Any]] = list(getattr(error, "errors", None) or ())
    said = next((str(entry["message"]) for entry in entries if entry.get("message")), str(error))
    return _redacted(said)


def _redacted(said: str) -> str:
    """A message without what it quotes from the data, on one line."""
    return " ".join(_VALUE.sub(r"\1: …", _QUOTED.sub("'…'", said)).split())[:_MAX_SAID]

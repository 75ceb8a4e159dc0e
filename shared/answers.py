"""Maps HTTP error responses to our exceptions: one table of (status, reason) for every client of the JSON API."""

from collections.abc import Collection

from shared.errors import (
    ConditionFailed,
    ObjectNotFound,
    ObjectProtected,
    PermissionDenied,
    StorageError,
    Unavailable,
    UnexpectedAnswer,
)

__all__ = [
    "PROTECTED_REASONS",
    "TRANSIENT_STATUSES",
    "error_for",
    "is_transient",
    "names_object",
    "no_answer",
]

PROTECTED_REASONS = frozenset({"retentionPolicyNotMet", "objectUnderActiveHold"})
"""Reasons of a 403 that are about the object and not about the account (Cloud Storage documentation, "Object holds")."""

TRANSIENT_STATUSES = frozenset({408, 429})
"""Statuses below 500 after which the same request may succeed (Cloud Storage documentation, "Retry strategy")."""

FIRST_SERVER_FAULT = 500


def is_transient(status: int) -> bool:
    """Tell whether the same request may succeed later."""
    return status >= FIRST_SERVER_FAULT or status in TRANSIENT_STATUSES


def error_for(status: int, reasons: Collection[str], message: str, uri: str) -> StorageError:
    """The exception that an error response means.

    Every 404 becomes `ObjectNotFound`. Where `names_object` is false, the client asks the bucket first.

    Args:
        reasons: The ``reason`` of each entry of the answer's ``error.errors``.
        message: The service's own words.
        uri: The object of the request, as ``gs://bucket/name``.
    """
    if is_transient(status):
        return Unavailable(uri, f"no success within the time allowed; last answer: {message}")
    match status:
        case 412:
            return ConditionFailed(uri, "its generation is not the one expected")
        case 404:
            return ObjectNotFound(uri, f"no such object ({message})")
        case 403 if not PROTECTED_REASONS.isdisjoint(reasons):
            return ObjectProtected(uri, f"a hold or a retention policy forbids it ({message})")
        case 401 | 403:
            return PermissionDenied(uri, f"permission denied ({message})")
        case _:
            return UnexpectedAnswer(uri, f"unexpected answer: {status} {message}")


def names_object(message: str) -> bool:
    """Tell whether a 404's message says that the object is missing. Any other 404 may be about the bucket."""
    return "No such object" in message


def no_answer(error: object, uri: str) -> Unavailable:
    """The exception for a missing or incomplete answer within the time allowed; `error` ended the last attempt."""
    return Unavailable(uri, f"no answer within the time allowed; last error: {error}")

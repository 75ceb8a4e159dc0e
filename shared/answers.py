"""What an answer that is no success means, in this project's terms: one table for every client of the JSON API."""

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

__all__ = ["PROTECTED_REASONS", "TRANSIENT_STATUSES", "error_for", "is_transient", "no_answer"]

PROTECTED_REASONS = frozenset({"retentionPolicyNotMet", "objectUnderActiveHold"})
"""Reasons of a 403 that are about the object and not about the account (Cloud Storage documentation, "Object holds")."""

TRANSIENT_STATUSES = frozenset({408, 429})
"""Statuses below 500 after which the same request may succeed (Cloud Storage documentation, "Retry strategy")."""

FIRST_SERVER_FAULT = 500


def is_transient(status: int) -> bool:
    """Tell whether the same request may succeed later."""
    return status >= FIRST_SERVER_FAULT or status in TRANSIENT_STATUSES


def error_for(status: int, reasons: Collection[str], message: str, uri: str) -> StorageError:
    """Say an answer in this project's terms.

    A 404 is read as being about the object. A caller for whom it may be about the bucket has to find out.

    Args:
        status: The HTTP status.
        reasons: The ``reason`` of each entry of the answer's ``error.errors``.
        message: What the service said.
        uri: What was asked about, as ``gs://bucket/name``.

    Returns:
        The error to raise.
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


def no_answer(error: object, uri: str) -> Unavailable:
    """Say that no answer, or only part of one, came within the time allowed.

    Args:
        error: What the last attempt ended in.
        uri: What was asked about.
    """
    return Unavailable(uri, f"no answer within the time allowed; last error: {error}")

"""Maps HTTP error responses to our exceptions: one table of (status, reason) for every client of the JSON API.

Permanence follows from the reason and not from the status. An operator can mend a disabled key, a hold or a policy. Only
a request that may succeed without that is transient. Only a failed precondition is a race.

The sources are pages of Cloud Storage's documentation, unless a row says otherwise.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from shared.errors import (
    Cause,
    ConditionFailed,
    ObjectNotFound,
    ObjectProtected,
    PermissionDenied,
    Refused,
    StorageError,
    Unavailable,
    UnexpectedAnswer,
)

__all__ = [
    "MEANINGS",
    "Meaning",
    "as_listing",
    "error_for",
    "is_transient",
    "names_object",
    "no_answer",
    "said_by",
]

FIRST_SERVER_FAULT = 500
NOT_IMPLEMENTED = 501
FIRST_CLIENT_FAULT = 400
FORBIDDEN = 403


class Meaning(NamedTuple):
    """A row of the table. The first row that fits an answer says what it means.

    Attributes:
        status: 0 fits every status.
        reasons: One of these words must be the answer's, in any case of letters; empty fits every reason.
        words: A regular expression that the message must contain, in any case of letters; empty fits every message.
        source: Where Google says so.
    """

    status: int
    reasons: str
    words: str
    error: type[StorageError]
    cause: Cause
    source: str


_JSON = "HTTP status and error codes for JSON"
_XML = "HTTP status and error codes for XML"
_RETRY = "Retry strategy"
_PAYS = "Requester Pays"
_HOLDS = "Object holds"
_KEYS = "Customer-managed encryption keys"

MEANINGS = (
    Meaning(412, "conditionNotMet PreconditionFailed", "", ConditionFailed, Cause.CHANGED, f"{_JSON}; {_XML}"),
    Meaning(412, "orgPolicyConstraintFailed", "", Refused, Cause.ORGANIZATION, _JSON),
    Meaning(412, "softDeletePolicyNotSet", "", Refused, Cause.SOFT_DELETE, "Use soft-deleted objects"),
    Meaning(412, "", "constraints/", Refused, Cause.ORGANIZATION, "Organization policy constraints"),
    Meaning(429, "", "rate limit for object mutation", Unavailable, Cause.OBJECT_RATE, "Quotas and limits"),
    Meaning(429, "", "", Unavailable, Cause.NO_ANSWER, _RETRY),
    Meaning(408, "", "", Unavailable, Cause.NO_ANSWER, _RETRY),
    Meaning(409, "", "", Unavailable, Cause.CONFLICT, f"{_JSON}: of operations at the same time"),
    Meaning(0, "", r"^(<\?xml [^>]*>\s*|<!--.*?-->\s*)*<(!doctype )?html", UnexpectedAnswer, Cause.ODD_ANSWER, "Cloud Storage JSON API overview: it answers in JSON"),
    Meaning(404, "", "No such object", ObjectNotFound, Cause.CHANGED, _JSON),
    Meaning(404, "", r"kms key|cryptokey|\bproject\b.* not found", Refused, Cause.REFUSED, f"{_JSON}: not about an object"),
    Meaning(404, "", "", ObjectNotFound, Cause.CHANGED, _JSON),
    Meaning(403, "rateLimitExceeded userRateLimitExceeded usageLimits.rateLimitExceeded usageLimits.userRateLimitExceeded SlowDown",
         "", Unavailable, Cause.NO_ANSWER, _JSON),
    Meaning(0, "cloudKmsBadKey cloudKmsDisabledKey cloudKmsDecryptionKeyNotFound cloudKmsEncryptionKeyNotFound "
         "cloudKmsKeyLocationNotAllowed kmsDisabledKey", "", Refused, Cause.KEY, _JSON),
    Meaning(0, "", r"cloud ?kms|kms key", Refused, Cause.KEY, _KEYS),
    Meaning(400, "resourceIsEncryptedWithCustomerEncryptionKey customerEncryptionKeyIsIncorrect",
         "", Refused, Cause.KEY, _JSON),
    Meaning(0, "userProjectMissing userProjectInvalid userProjectInconsistent authenticationRequiredRequesterPays",
         "", PermissionDenied, Cause.PAYER, _JSON),
    Meaning(0, "userProjectAccessDenied", "", PermissionDenied, Cause.PAYER, _JSON),
    Meaning(400, "", r"requester.pays|user project", PermissionDenied, Cause.PAYER, _PAYS),
    Meaning(0, "userProjectAccountProblem accountDisabled AccountProblem", "", PermissionDenied, Cause.BILLING, f"{_JSON}; {_XML}"),
    Meaning(403, "", r"billing (account|to be enabled)", PermissionDenied, Cause.BILLING, _JSON),
    Meaning(403, "objectUnderActiveHold", "", ObjectProtected, Cause.HOLD, _JSON),
    Meaning(403, "retentionPolicyNotMet", "", ObjectProtected, Cause.RETENTION, _JSON),
    Meaning(403, "", r"under active \S+ hold", ObjectProtected, Cause.HOLD, _HOLDS),
    Meaning(403, "", r"retention (policy|period)|object retention", ObjectProtected, Cause.RETENTION, "Bucket Lock"),
    Meaning(403, "orgPolicyConstraintFailed SecurityPolicyViolated vpcServiceControls", "",
         PermissionDenied, Cause.ORGANIZATION, f"{_JSON}; {_XML}"),
    Meaning(403, "accessNotConfigured usageLimits.accessNotConfigured countryBlocked sslRequired quotaExceeded", "",
         Refused, Cause.REFUSED, f"{_JSON}: no permission mends these"),
    Meaning(403, "", "API has not been used in project", Refused, Cause.REFUSED, "Enable and disable services"),
    Meaning(403, "", r"organization's policy|constraints/", PermissionDenied, Cause.ORGANIZATION, "VPC Service Controls"),
    Meaning(403, "", "", PermissionDenied, Cause.PERMISSION, _JSON),
    Meaning(401, "", "", PermissionDenied, Cause.PERMISSION, _JSON),
    Meaning(NOT_IMPLEMENTED, "", "", Refused, Cause.REFUSED, "RFC 9110, section 15.6.2: the server did nothing"),
)  # fmt: skip
"""Every other answer from 400 on is refused with its own words, or transient from 500 on."""

_TRANSIENT = frozenset(row.status for row in MEANINGS if row.error is Unavailable and row.status != FORBIDDEN)

_WORDS_OF_A_RACE = "pre-conditions you specified did not hold"
"""The message of a failed precondition (the JSON and the XML API send the same)."""


def is_transient(status: int) -> bool:
    """Tell whether a status alone says that the same request may succeed later (documentation, "Retry strategy")."""
    return (status >= FIRST_SERVER_FAULT and status != NOT_IMPLEMENTED) or status in _TRANSIENT


def error_for(status: int, reasons: Collection[str], message: str, uri: str) -> StorageError:
    """The exception that an error response means.

    Every 404 of the service becomes `ObjectNotFound`. Where `names_object` is false, the client asks the bucket first.
    A page in HTML is not the service's: something on the way made it, and it says nothing of the object.

    Args:
        reasons: The ``reason`` of each entry of the answer's ``error.errors``, or the ``Code`` of an XML answer.
        uri: The object of the request, as ``gs://bucket/name``.
    """
    known = {reason.lower() for reason in reasons}
    message = " ".join(message.split()) or f"status {status}"
    row = next((each for each in MEANINGS if _fits(each, status, known, message)), None)
    if row is None:
        if is_transient(status):
            return Unavailable(uri, _transient(message))
        if status < FIRST_CLIENT_FAULT:
            return UnexpectedAnswer(uri, f"unexpected answer: {status} {message}")
        return Refused(uri, _refused(status, reasons, message))
    return row.error(uri, _detail(row, status, reasons, message), row.cause)


def _fits(row: Meaning, status: int, reasons: set[str], message: str) -> bool:
    return (
        row.status in {0, status}
        and (row.status != 0 or FIRST_CLIENT_FAULT <= status < FIRST_SERVER_FAULT)
        and (not row.reasons or not reasons.isdisjoint(row.reasons.lower().split()))
        and (not row.words or re.search(row.words, message, re.IGNORECASE) is not None)
    )


def _detail(row: Meaning, status: int, reasons: Collection[str], message: str) -> str:
    """What happened and what it means."""
    if row.error is ConditionFailed:
        return "its generation is not the one expected"
    if row.error is ObjectNotFound:
        return f"no such object ({message})"
    if row.error is UnexpectedAnswer:
        return f"not an answer of Cloud Storage ({status} {message})"
    if row.error is ObjectProtected:
        return f"a hold or a retention policy forbids it ({message})"
    if row.error is Unavailable:
        return _transient(message)
    if row.cause is Cause.PERMISSION:
        return f"permission denied ({message})"
    if row.error is PermissionDenied:
        return f"{row.cause.value} ({message}). {row.cause.fix}"
    return _refused(status, reasons, message)


def _transient(message: str) -> str:
    return f"no success within the time allowed; last answer: {message}"


def _refused(status: int, reasons: Collection[str], message: str) -> str:
    return f"refused ({' '.join([str(status), *sorted(reasons)])}): {message}"


_CODE = re.compile(r"<Code>\s*([A-Za-z0-9_.]{1,80})\s*</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,2000})</Message>")


def said_by(body: bytes) -> tuple[str, list[str]]:
    """The service's message and reasons, as far as the body of an error response has them.

    Google's JSON errors are ``{"error": {"message": …, "errors": [{"reason": …, "message": …}]}}``. Its XML errors are
    ``<Error><Code>…</Code><Message>…</Message></Error>``. Media requests get the message alone, and a proxy has its own form.
    """
    message, reasons = _said_in_json(body)
    text = body.decode(errors="replace")
    if not reasons and "<Error>" in text:
        reasons = _CODE.findall(text)
        message = next(iter(_MESSAGE.findall(text)), message)
    if not reasons and _WORDS_OF_A_RACE in message:
        reasons = ["conditionNotMet"]
    return message, reasons


def _said_in_json(body: bytes) -> tuple[str, list[str]]:
    try:
        error = json.loads(body)["error"]
        entries = [entry for entry in error.get("errors", ()) if isinstance(entry, dict)]
        message = next((entry["message"] for entry in entries if entry.get("message")), None)
        reasons = [str(entry["reason"]) for entry in entries if entry.get("reason")]
        return str(message or error["message"]), reasons
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return body[:200].decode(errors="replace"), []


_LISTED: Mapping[str, type] = {
    "kind": str, "items": list, "prefixes": list, "nextPageToken": str
}  # fmt: skip
"""The fields of a listing's answer (reference, "Objects: list")."""


def as_listing(content: Any) -> dict[str, Any]:
    """The parsed body of a listing's answer. Anything else with status 200 would read as an empty listing.

    Raises:
        ValueError: It has other fields, or fields of another type.
    """
    if not isinstance(content, dict):
        raise ValueError("not a listing: no JSON object")  # noqa: TRY004 -- callers repeat the request after a ValueError
    given = {key: value for key, value in content.items() if (key, value) != ("nextPageToken", None)}
    odd = [key for key, value in given.items() if not isinstance(value, _LISTED.get(key, ()))]
    if odd:
        raise ValueError(f"not a listing: {', '.join(sorted(map(str, odd)))[:200]}")
    return content


def names_object(message: str) -> bool:
    """Tell whether a 404's message says that the object is missing. Any other 404 may be about the bucket."""
    return "No such object" in message


def no_answer(error: object, uri: str) -> Unavailable:
    """The exception for a missing or incomplete answer within the time allowed; `error` ended the last attempt."""
    return Unavailable(uri, f"no answer within the time allowed; last error: {error}")

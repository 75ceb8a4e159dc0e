"""Refusals: the error that Cloud Storage answers with instead of doing what a request asks.

The model raises `RequestRefused`. The HTTP layer renders it as the error body of the JSON API (Cloud Storage documentation,
"HTTP status and error codes for JSON"). In this package "refuses with 404" says that a function raises it with this status.
"""

__all__ = [
    "RequestRefused",
    "bucket_missing",
    "condition_failed",
    "invalid",
    "not_found",
    "not_modified",
    "object_missing",
]


class RequestRefused(Exception):
    """A request that is refused with an HTTP status.

    Attributes:
        reason: Google's machine-readable reason, such as ``conditionNotMet``.
        location: The header or parameter at fault; empty if there is none.
    """

    def __init__(self, status: int, reason: str, message: str, *, location: str = "") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason
        self.message, self.location = message, location

    def body(self) -> dict[str, object]:
        """The JSON error body."""
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location:
            kind = "header" if self.location.startswith("If-") else "parameter"
            detail |= {"locationType": kind, "location": self.location}
        return {"error": {"code": self.status, "message": self.message, "errors": [detail]}}


def object_missing(bucket: str, name: str) -> RequestRefused:
    """404: no such object, or no such version of it."""
    return RequestRefused(404, "notFound", f"No such object: {bucket}/{name}")


def bucket_missing() -> RequestRefused:
    """404: no such bucket."""
    return RequestRefused(404, "notFound", "The specified bucket does not exist.")


def not_found() -> RequestRefused:
    """404: no such resource."""
    return RequestRefused(404, "notFound", "Not Found")


def condition_failed() -> RequestRefused:
    """412: a generation or metageneration condition does not hold."""
    message = "At least one of the pre-conditions you specified did not hold."
    return RequestRefused(412, "conditionNotMet", message, location="If-Match")


def not_modified() -> RequestRefused:
    """304: a read asked for something newer, and there is nothing newer."""
    return RequestRefused(304, "notModified", "Not Modified", location="If-None-Match")


def invalid(message: str, *, location: str = "", reason: str = "invalid") -> RequestRefused:
    """400: the request is invalid."""
    return RequestRefused(400, reason, message, location=location)

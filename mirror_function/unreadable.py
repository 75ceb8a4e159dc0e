"""What becomes of a request that the functions framework cannot even make an event of.

The framework reads body and headers before it calls the function; what that raises would be answered with 500 and a traceback,
and Eventarc would deliver the same body for a day. Registered in ``main.py``, because the framework takes error handlers while it
loads that file.
"""

import flask
from cloudevents.exceptions import GenericException
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.wrappers import Response

from mirror_function.logs import start_logging
from mirror_function.mirror import MirrorOutcome
from shared.events_log import Event, EventLog

__all__ = ["answer_unreadable", "entered"]

_ENTERED = "qpi_exports_entered"


def entered() -> None:
    """Note that a function has been called: from here on an error is ours, not the request's."""
    setattr(flask.g, _ENTERED, True)


def answer_unreadable(error: Exception) -> HTTPException | Response:
    """Answer an error that reached the framework.

    Args:
        error: Whatever was raised.

    Returns:
        The answer it already is; 400 for a body that broke off on the way, which may come whole the next time; success for one
        that came whole and is no event: it would be none the next time either.

    Raises:
        Exception: It was raised by the function: the framework logs it and answers 500.
    """
    if isinstance(error, HTTPException):
        return error
    if flask.g.get(_ENTERED):
        raise error
    start_logging()
    why = f"the request cannot be read: {type(error).__name__}"
    identifier = flask.request.headers.get("ce-id")
    EventLog().emit(
        Event.MIRROR_DROPPED, outcome=MirrorOutcome.DROPPED.value, event_id=str(identifier), error=why
    )
    whole = isinstance(error, GenericException)  # of cloudevents: it had all of the body
    return Response("dropped\n", mimetype="text/plain") if whole else BadRequest(why)

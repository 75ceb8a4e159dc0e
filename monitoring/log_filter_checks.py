"""Whether a log filter reads the logs that are meant, and names events, fields and labels that exist."""

from collections.abc import Iterable, Iterator

from monitoring import log_filter
from monitoring.catalog import RESOURCE_LABELS
from monitoring.vocabulary import event_fields, events_named
from shared.errors import UsageError

__all__ = ["field_problems", "log_filter_problems"]


def log_filter_problems(text: str) -> Iterator[str]:
    """What is wrong with a log filter."""
    try:
        found = log_filter.parse(text)
    except UsageError as error:
        yield str(error)
        return
    compared = [*log_filter.comparisons(found)]
    events = events_named(compared)
    for event in events - event_fields().keys():
        yield f"no event is called {event}"
    yield from field_problems(
        {one.field.removeprefix("jsonPayload.") for one in compared if one.field.startswith("jsonPayload.")},
        events,
    )
    types = {value for one in compared if one.field == "resource.type" for value in one.values}
    if not types:
        yield "the filter names no resource.type, and reads every log"
    labels = frozenset[str]().union(*(RESOURCE_LABELS.get(name, frozenset()) for name in types))
    for one in compared:
        if one.field.startswith("resource.labels.") and one.field.rpartition(".")[2] not in labels:
            yield f"no resource in the filter has a label {one.field.rpartition('.')[2]}"


def field_problems(fields: Iterable[str], events: set[str]) -> Iterator[str]:
    """Fields that none of the events has."""
    known = event_fields()
    for name in sorted({*fields} - {"event"}):
        if not any(name in known.get(event, ()) for event in events or known):
            yield f"no event that is meant has a field {name}"

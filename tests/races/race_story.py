"""Tells an interleaving to a reader: one line for each step, the actor and its act."""

from race_model import Refusal, Version
from race_replay import Answer, Copy, Delete, Look, Put, Side, shown, shown_source
from race_scope import Scope
from race_world import Act, Step

__all__ = ["told"]


def told(scope: Scope, step: Step) -> str:
    """Tell one step in one line."""
    if step.act is Act.WRITES:
        return _line("writer", _told_write(step))
    who = "a given-up call" if step.who < 0 else scope.actors[step.who].name
    if step.act in _INSTEAD:
        return _line(who, _INSTEAD[step.act])
    return _line(who, _told_answer(step) + _AFTERWARDS.get(step.act, ""))


def _line(who: str, what: str) -> str:
    return f"{who:<24} {what}"


def _told_write(step: Step) -> str:
    version = step.answer
    if not isinstance(version, Version):
        return "deletes the source"
    verb = "writes the source" if version.metageneration == 1 else "labels the source"
    return f"{verb}: {shown_source(version)}"


def _told_answer(step: Step) -> str:
    match step.call, step.answer:
        case Look(at), (Version() | None) as seen:
            return f"looks at the {at.value}: {shown_source(seen) if at is Side.SOURCE else shown(seen)}"
        case Delete(), Refusal() as refusal:
            return f"is refused to delete the destination ({refusal.value})"
        case Delete(), _:
            return "deletes the destination"
        case Put(data), _:
            return f"writes {data!r} to the destination"
        case _, Refusal() as refusal:
            return f"is refused to copy ({refusal.value})"
        case _, taken if step.act in _COMMITS:
            return f"commits its copy: the destination is {shown(_version(taken))}"
        case Copy(_, there), (Version() as taken):
            wanted = (
                "whatever is there" if there is None else "what it saw there" if there else "nothing there"
            )
            return f"begins to copy {shown_source(taken)} over {wanted}"
        case _:
            return "asks for a copy"


def _version(answer: Answer) -> Version | None:
    return answer if isinstance(answer, Version) else None


_COMMITS = {Act.COMMITS, Act.COMMITS_REPEATS, Act.COMMITS_GIVES_UP, Act.ORPHAN_COMMITS}
_AFTERWARDS = {
    Act.COMMITS_REPEATS: "; the answer is lost, it asks again",
    Act.COMMITS_GIVES_UP: "; the answer is lost, it gives up and starts again",
}
_INSTEAD = {
    Act.HANGS_REPEATS: "gets no answer and asks again; the call goes on alone",
    Act.HANGS_GIVES_UP: "gets no answer, gives up and starts again; the call goes on alone",
    Act.GIVES_UP: "gets no answer, gives up and starts again",
    Act.IS_LOST: "is lost",
}

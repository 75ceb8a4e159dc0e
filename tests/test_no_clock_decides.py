"""No test takes its verdict from a wall clock: what waits, waits for progress, and a limit only catches what hangs.

`local_gcs.waiting` explains the mechanism. These tests read the source of all tests and of the demo, and find the next place
that sleeps, looks at a clock, sets a short limit, or turns in an empty loop.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(
    [*(ROOT / "tests").rglob("*.py"), *(ROOT / "demo").glob("*.py"), ROOT / "local_gcs" / "process.py"]
)
SHORTEST_GUARD = 600
"""Seconds: a limit below it can be reached by a slow machine."""

CLOCKS = {
    *(f"time.{name}" for name in ("sleep", "time", "monotonic", "perf_counter", "process_time")),
    *(
        "asyncio.sleep",
        "threading.Timer",
        "signal.alarm",
        "signal.setitimer",
        "asyncio.timeout",
        "asyncio.wait_for",
    ),
}
LIMITS = {"timeout", "patience"}
LIMITED = {"wait", "join", "communicate", "result", "acquire"}
"""Methods whose only positional argument is a limit in seconds."""

EXCEPTIONS = {
    # What is waited for has no count, or the time is not judged.
    "tests/testing_paths.py put": "two objects of one test must not share a millisecond",
    "tests/testing_paths.py settled": "longer than the latency that the server adds; then the server answers in order",
    "tests/local_gcs/test_local_gcs_cli.py test_options_arrive": "generations are times: between the time before and the time after",
    "tests/mirror_function/test_mirror_handler.py test_what_the_new_path_s_writers_do_is_never_marked": (
        "writes again until the server's clock shows another millisecond"
    ),
    "tests/races/race_explorer.py explore_world": "the seconds are printed, not judged",
    "tests/races/race_explorer.py found": "the seconds are printed, not judged",
    "tests/backfill_job/test_bulk.py rewrite": "answers come after the stop was seen: the stop's own poll is waited for",
    "tests/backfill_job/test_workers.py do": "longer than it takes to notice a stop, so that the poll comes in between",
    "tests/local_gcs/foreign/use_googleapiclient.py <module>": "each turn of the loop downloads a part",
    "tests/shared/test_server_time.py clock": "a right program waits it out; a wrong one lets the other thread get on",
    "tests/e2e/story_stage.py chapter": "the seconds are printed, not judged",
    "tests/e2e/story_plot.py tell": "a soak of so many minutes goes on for so long",
    "tests/e2e/story_consumer.py _work": "the consumer's pause between two looks; a request over its limit is repeated without end",
    "tests/e2e/story_consumer.py _get": "the consumer's pause before it asks again",
    "demo/writer.py _write": "uploads a second are a rate; an upload over its limit is repeated without end",
    "demo/writer.py _pace": "the writer's pause between two looks at what waits",
    "tests/shared/test_replicate.py change_class": "a change is later than the one before by a millisecond at least",
    "tests/shared/test_replicate.py patch": "a change is later than the one before by a millisecond at least",
    "demo/writer.py _until_acknowledged": "the writer's pause before it repeats an upload",
    "demo/__main__.py _run": "the seconds are printed, not judged",
    # The limit itself is tested: what it ends would never come.
    "tests/shared/test_gcs_wire.py test_time_is_up_when_no_answer_comes": "the answer is held back",
    "tests/shared/test_gcs_client.py asked": "the answer never comes",
    "tests/shared/test_answers.py look": "the answer drips, and never comes as a whole",
    "tests/shared/test_answers.py drip": "the pause between two bytes of an answer that never comes",
}


def findings(text: str) -> Iterator[tuple[str, str]]:
    """What looks at a clock: the innermost function around it, and the words."""

    def walk(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Call):
            yield from ((function, words) for words in _calls(node))
        if isinstance(node, ast.While) and all(isinstance(each, ast.Pass | ast.Assert) for each in node.body):
            yield function, f"while {ast.unparse(node.test)}: an empty loop"
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function)

    yield from walk(ast.parse(text), "<module>")


def _calls(node: ast.Call) -> Iterator[str]:
    """What in one call is a clock, or a limit that a slow machine can reach."""
    name = ast.unparse(node.func)
    zero = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
    if name in CLOCKS and not zero:
        yield name
    limits = LIMITS | ({"total"} if name.endswith("ClientTimeout") else set())
    yield from (
        f"{each.arg}={ast.unparse(each.value)}"
        for each in node.keywords
        if each.arg in limits and _is_short(each.value)
    )
    if name.rpartition(".")[2] in LIMITED and len(node.args) == 1 and _is_short(node.args[0]):
        yield ast.unparse(node)


def _is_short(value: ast.expr) -> bool:
    number = isinstance(value, ast.Constant) and isinstance(value.value, int | float)
    return number and not isinstance(value.value, bool) and value.value < SHORTEST_GUARD


def found() -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    for path in FILES:
        where = path.relative_to(ROOT).as_posix()
        for function, words in findings(path.read_text()):
            places.setdefault(f"{where} {function}", []).append(words)
    return places


def test_nothing_sleeps_or_looks_at_a_clock_without_a_reason() -> None:
    """A new place waits with `local_gcs.waiting`, or gives its reason above."""
    assert {place: words for place, words in found().items() if place not in EXCEPTIONS} == {}


def test_every_exception_is_still_one() -> None:
    """An exception that nothing needs any more would hide the next place."""
    assert sorted(EXCEPTIONS.keys() - found().keys()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f():\n    time.sleep(0.2)", "time.sleep"),
        ("async def f():\n    await asyncio.sleep(1)", "asyncio.sleep"),
        ("def f():\n    assert time.monotonic() - began < 8", "time.monotonic"),
        ("def f():\n    subprocess.run(words, timeout=60)", "timeout=60"),
        ("def f():\n    process.wait(10)", "process.wait(10)"),
        ("def f():\n    while not done():\n        pass", "while not done(): an empty loop"),
        ("def f():\n    while not done():\n        assert running", "while not done(): an empty loop"),
    ],
)
def test_it_finds_what_it_looks_for(text: str, words: str) -> None:
    """And where it stands."""
    assert [*findings(text)] == [("f", words)]


def test_it_leaves_alone_what_does_not_judge() -> None:
    """A turn of the event loop, a generous limit, a wait without one."""
    text = "async def f():\n    await asyncio.sleep(0)\n    run(timeout=HANGS)\n    run(timeout=3600)\n    thread.join()\n"
    assert [*findings(text)] == []

"""Argument lists, valid, nearly valid and absurd, made of a program's own parser: a new option is fuzzed by itself."""

import argparse
from collections.abc import Sequence

from hypothesis import strategies as st

ABSURD = (
    "",
    " ",
    "\t",
    "-",
    "--",
    "0",
    "1",
    "-1",
    "00",
    "1.5",
    "1e400",
    "-1e400",
    "nan",
    "inf",
    "-inf",
    "99999999999999999999999999",
    "9" * 5_000,
    "1_000",
    "\u0663",
    "\u00b2",
    "\u00fcn\u00ef",
    "\udcff",
    "\x1b[31mred\x1b[0m",
    "two\nlines",
    "carriage\rreturn",
    "\u202eright to left",
    "\u2028",
    "a" * 3_000,
    "%s%d",
    "{0}",
    "[bold]markup[/]",
    "'",
    "$(touch x)",
    "None",
    "null",
    "true",
    ".",
)

PLACES = (
    "gs://",
    "gs:///",
    "gs:///x/",
    "gs://b",
    "gs://b//",
    "gs://LEGACY",
    "gs://LEGACY/",
    "gs://LEGACY//",
    "gs://LEGACY/QPI_exports",
    "gs://LEGACY/QPI_exports/",
    "gs://LEGACY/QPI_exports/qpi_answers_20240101/",
    "gs://NEW/",
    "gs://NEW/qpi_exports/",
    "gs://NEW/qpi_exports/x/",
    "gs://NEW/reports/",
    "gs://NEW/_migration/qpi_exports/",
    "gs://fuzz-missing/x/",
    "gs://NEW/\u00fcn\u00ef/",
    "gs://NEW/\udcff/",
    "gs://NEW/two\nlines/",
    "gs://NEW/" + "p" * 1_100 + "/",
    "gs://NEW/./",
    "gs://NEW/../",
    "gs://NEW/a#b?c%2F/",
    "GS://NEW/qpi_exports/",
    "s3://NEW/qpi_exports/",
    "https://storage.googleapis.com/NEW/",
)
"""LEGACY and NEW stand for the example's own buckets, FOLDER for its folder."""

FILES = (
    "FOLDER",
    "FOLDER/",
    "FOLDER/file.json",
    "FOLDER/file.json/below",
    "FOLDER/missing",
    "FOLDER/missing/missing",
    "FOLDER/loop",
    "FOLDER/checkout",
    "FOLDER/empty",
    "FOLDER/\udcff",
    "FOLDER/\x1b[2J",
    "FOLDER/" + "n" * 300,
    "FOLDER/file.json\nx",
    "FOLDER/socket",
)

TIMES = (
    "20240101",
    "20240230",
    "00000000",
    "99991231",
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "3d",
    "-1d",
    "999999999w",
    "1e9d",
    "36h",
    "0s",
)

SAMPLES = {
    "gs://BUCKET/PREFIX/": PLACES,
    "DIR|gs://…/": (*PLACES, *FILES),
    "DIR": FILES,
    "FILE": FILES,
    "PATH": FILES,
    "LOGFILE": FILES,
    "MANIFEST": (*FILES, *PLACES, "gs://NEW/manifest.json", "gs://NEW/manifest.jsonl"),
    "GLOB": ("*", "**", "[", "[!", "?", "*/user_id_1.jsonl", "[z-a]", "(" * 100, "*" * 200),
    "YYYY-MM-DD": TIMES,
    "TIMESTAMP|DURATION": TIMES,
    "SECONDS": ("0", "60", "1e-300", "86399999999999", "86399999999999.99"),
    "DAYS": ("0", "7", "3650", "3651", "1e-9"),
    "N": ("3", "7", "5000", "8765", "65536"),
    "none|sample:P|all": ("none", "all", "sample:1", "sample:100", "sample:0", "sample:101", "sample:1e-400"),
    "WHO": ("Ada", "x" * 200),
    "TEXT": ("because", "x" * 2_000),
    "DELETE_QPI_EXPORTS": ("DELETE_QPI_EXPORTS", "delete_qpi_exports"),
    "PROJECT.DATASET": ("p.d", "p", "p.d.e", ".", "p.\u00fc"),
    "LOCATION": ("EU", "eu", "europe-west1"),
    "URL": ("https://example.test/runbook", "https://", "http://127.0.0.1:1"),
    "ID": ("my-project", "MY PROJECT"),
    "JSON": ("{}", "[]", "null", "[" * 100_000, '{"latency":1e400}', '{"seed":NaN}', '{"x":1}', "{"),
    "CHECK": ("soak", "references"),
}
"""What is plausible, by what the help calls the value. What has no line here gets absurd values only."""

TASKS = ("1", "1", "0", "-1", "1.5", "", "\u00b2", "1000000", "9" * 5_000)
"""For what starts processes: never a number that would start one."""

NOT_FOREVER = ("--serve",)


def _value(action: argparse.Action) -> st.SearchStrategy[str]:
    plausible = [*SAMPLES.get(str(action.metavar), ())]
    if action.choices is not None:
        plausible += [str(choice) for choice in action.choices]
    if "--tasks" in action.option_strings:
        return st.sampled_from(TASKS)
    absurd = st.sampled_from(ABSURD)
    if not plausible:
        return absurd | st.text(st.characters(exclude_characters="\0/~."), max_size=8)
    # Mostly plausible: the absurd is refused by the first who looks, and the others never run.
    return st.integers(0, 5).flatmap(lambda dice: st.sampled_from(plausible) if dice else absurd)


def _said(action: argparse.Action) -> st.SearchStrategy[list[str]]:
    """One argument with its values."""
    name = st.sampled_from(action.option_strings) if action.option_strings else None
    least, most = {None: (1, 1), "?": (0, 1), "+": (1, 3), "*": (0, 3), 0: (0, 0)}[action.nargs]
    values = st.lists(_value(action), min_size=least, max_size=most)
    if name is None:
        return values
    joined = st.tuples(name, values, st.booleans())
    return joined.map(
        lambda said: [f"{said[0]}={said[1][0]}"] if said[2] and len(said[1]) == 1 else [said[0], *said[1]]
    )


def words(actions: Sequence[argparse.Action], good: Sequence[Sequence[str]]) -> st.SearchStrategy[list[str]]:
    """Argument lists.

    Args:
        actions: The parser's.
        good: Beginnings with which the command comes to its work; one is used most times.
    """
    usable = [action for action in actions if not set(action.option_strings) & {*NOT_FOREVER, "-h"}]
    said = st.lists(st.sampled_from(usable).flatmap(_said), max_size=5)
    beginning = st.sampled_from([*good, *good, []])
    return st.tuples(beginning, said).map(lambda two: [*two[0], *(word for part in two[1] for word in part)])

"""Whoever can name an object can write to nobody's screen, page or log: one list of hostile names, every command, every surface.

Line feeds and carriage returns are missing: Cloud Storage takes no name with them ("Object naming requirements").
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from testing_commands import Commands, Ended, run_command, where
from testing_deletion import Scene
from testing_paths import Paths

from monitoring.preview.__main__ import draw
from shared.gateway import Gateway
from shared.phase import Phase

ESCAPE = "\x1b"
NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "javascript:alert(3)",
    f"{ESCAPE}[2J{ESCAPE}[1;31mERASED",
    f"{ESCAPE}]0;title\x07bell",
    "[bold red]markup[/bold red]",
    "qpi_answers_20240101/\x0b\x0cbreak: 0 objects differ",
    "right\u202eto\u2066left",
    "zero\u200bwidth",
    "\x85next\u2028line\u2029paragraph",
    "$(touch hacked)",
    "`touch hacked`; echo 'x",
    "{{ 7 * 7 }}{% raw %}",
    "%s%n{0}",
    "x" * 900,
)
DECEIVING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What moves a cursor, begins a line or cannot be seen; but for the line feed that we write ourselves."""

HOSTILE = {"metadata": {"k<script>": f"<script>alert(4)</script>{ESCAPE}[2J"}, "content_type": "text/html"}


def surfaces(folder: Path) -> Iterator[tuple[str, str]]:
    """Everything that the commands have left for people: pages and texts."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".html", ".log", ".txt", ".patch"}:
            yield path.name, path.read_text(encoding="utf-8")


def check_page(text: str) -> None:
    """No element of a name's making: what is in a page stands there as text."""
    for name in NAMES[:2]:
        assert name not in text
    assert "<script>alert" not in text
    assert "<img src=x" not in text


def check_screen(ended: Ended) -> None:
    for text in (ended.out, ended.err):
        assert not DECEIVING.search(text), repr(DECEIVING.search(text))
        assert not re.search(r"^break: 0 objects differ", text, re.MULTILINE)


def check_left(folder: Path) -> None:
    for name, text in surfaces(folder):
        if name.endswith(".html"):
            check_page(text)
        else:
            assert not DECEIVING.search(text), name
            # Every line is one that we began.
            assert all(re.match(r"\d{4}-\d{2}-\d{2}T", line) for line in text.splitlines()), name


def fill(paths: Paths) -> None:
    for number, name in enumerate(NAMES):
        paths.put(name, b"%d" % number, **HOSTILE)


def test_no_name_reaches_a_screen_a_log_or_a_page_as_it_is(
    paths: Paths, commands: Commands, tmp_path: Path
) -> None:
    """Missing, differing, extra and equal ones; dry run, execution, verification, status and the dashboard."""
    fill(paths)
    report = ("--report", str(tmp_path / "report"))
    for name in NAMES[:4]:
        paths.put(name, b"something else", side="destination")
    paths.put(f"extra{NAMES[3]}", side="destination")
    seen = [commands.run("verify", *report), commands.run("migrate", *report)]
    seen += [commands.run("migrate", "--execute", "--yes", *report), commands.run("verify", *report)]
    seen += [commands.run("verify", "--contents", "all", *report)]
    for ended in seen:
        check_screen(ended)
    assert [ended.code for ended in seen] == [1, 0, 1, 1, 1]
    assert sorted(paths.names()) == sorted([*NAMES, f"extra{NAMES[3]}"])
    check_left(tmp_path)
    page = tmp_path / "page.html"
    page.write_text(draw(sorted((tmp_path / "logs").glob("*.log"))), encoding="utf-8")
    check_page(page.read_text(encoding="utf-8"))


def test_json_lines_are_one_object_each(paths: Paths, commands: Commands) -> None:
    """For Cloud Logging: a line feed in a name begins no second entry."""
    fill(paths)
    ended = commands.run("verify", "--log-format", "json")
    lines = [json.loads(line) for line in ended.out.split("\n") if line]
    named = {line["object"] for line in lines if line["event"] == "verification_difference"}
    assert named == {f"{paths.migration.source.uri}{name}" for name in NAMES}


def test_nobody_s_words_do_either(paths: Paths, gateway: Gateway) -> None:
    """Who signs, and why: what is shown again is plain."""
    paths.put("a")
    for words in (("--by", f"Ada{ESCAPE}[2J"), ("--by", "Ada", "--note", "so\nphase: deleted")):
        ended = run_command("signoff", "data", *words, *where(paths))
        assert ended.code == 2
        check_screen(ended)
    signed = run_command("signoff", "data", "--by", "<script>alert(1)</script>[bold]", *where(paths))
    assert signed.code == 0
    ended = run_command("status", *where(paths))
    check_screen(ended)
    assert "<script>alert(1)</script>[bold]" in ended.out, "a terminal is no browser"


def test_cutover_and_rollback_name_what_is_later_without_harm(paths: Paths, commands: Commands) -> None:
    """Late writers' names are shown to the operator one by one."""
    fill(paths)
    assert commands.run("migrate", "--execute", "--yes").code == 0
    commands.go(Phase.CUT_OVER)
    for name in NAMES:
        paths.put(name, b"by a late writer")
    for words in (("rollback", "--dry-run"), ("rollback", "--refresh"), ("cutover", "--by", "Ada", "--yes")):
        ended = commands.run(*words)
        assert ended.code == 0, ended.err
        check_screen(ended)


def test_deletion_and_undo_name_objects_without_harm(scene: Scene, tmp_path: Path) -> None:
    """The dry run, the lines that were kept, the manifest's place, and what can be brought back."""
    scene.both(*NAMES, **HOSTILE)
    scene.cut_over()
    check_screen(scene.run())
    ended = scene.delete(len(NAMES))
    assert ended.code == 0, ended.err
    check_screen(ended)
    for words in ((scene.manifest_uri,), (scene.manifest_uri, "--execute")):
        ended = scene.undo(*words)
        assert ended.code == 0
        check_screen(ended)
    assert sorted(scene.legacy()) == sorted(NAMES)
    check_left(tmp_path / "logs")

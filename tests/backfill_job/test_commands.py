"""All commands as one program: what is said without arguments, what every help has, what a shell completes."""

import argparse
import contextlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from testing_commands import Commands, run_command, where
from testing_paths import Paths

from backfill_job.__main__ import main
from backfill_job.commands import COMMANDS, PROGRAMS, load, parser_of
from backfill_job.run.command import RARE
from shared.command_line import OneLineParser
from shared.phase import Phase

LINES = 40

ROOT = Path(__file__).parent.parent.parent


def help_of(name: str) -> str:
    parser = argparse.ArgumentParser(prog=name)
    load(name).prepare(parser)
    return parser.format_help()


def examples_in(text: str) -> list[str]:
    """The command lines of a help's examples, without what is said beside them."""
    part = text.partition("\nexamples:\n")[2].partition("\n\n")[0].replace("\\\n", " ")
    return [re.split(r"(?<=\S) {2,}(?!--)", line.strip())[0] for line in part.splitlines()]


def test_without_arguments_it_says_where_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    """And exits with 2, so that a job that was deployed without its arguments does not look as if it had done something."""
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    _, _, steps = said.err.partition("where to begin:\n")
    assert steps.splitlines()[0].split()[:2] == ["make", "demo"]
    for name in COMMANDS:
        assert re.search(rf"^    {name}( |$)", said.err, re.MULTILINE)
    typed = [line.split("   ")[0].split() for line in steps.splitlines() if "--env" in line]
    assert [words[:3] for words in typed] == [["python", "-m", "backfill_job"]] * 3
    parser = parser_of("x")
    assert [parser.parse_args(words[3:]).command for words in typed] == ["smoke", "migrate", "status"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_says_what_it_is_for_and_every_exit_code(name: str) -> None:
    """In one line each."""
    summary, text = load(name).summary, help_of(name)
    assert summary[0].isupper()
    assert summary.endswith((".", "?"))
    assert "``" not in summary
    codes = re.findall(r"^  (\d)  \S", text.partition("\nexit codes:\n")[2], re.MULTILINE)
    assert codes in (["0", "1", "2"], ["0", "2"])


WIDE = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}
"""The digits of a Japanese keyboard."""

NUMBERS = ("4", "20261101", "2026-11-01", "7d")


def counting_options(name: str, parser: OneLineParser) -> Iterator[tuple[str, str]]:
    """The options of a command that read a number or a time, each with one that it takes."""
    load(name).prepare(parser)
    for action in parser._actions:
        for text in NUMBERS if action.type and action.option_strings else ():
            with contextlib.suppress(argparse.ArgumentTypeError, ValueError):
                value = action.type(text)  # type: ignore[operator]  # it may be a name that argparse knows
                if callable(value) or isinstance(value, int | timedelta | date):
                    yield action.option_strings[-1], text
                    break


@pytest.mark.parametrize("name", COMMANDS)
def test_a_number_has_the_digits_that_every_reader_reads(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python reads those of every script, 1_000 and +1: one line, exit code 2, whatever the option."""
    parser = OneLineParser(prog=name)
    for option, text in counting_options(name, parser):
        for wrong in (
            text.translate(WIDE),
            f"{text[:-1]}{text[-1:].translate(WIDE)}",
            f"{text[0]}_{text[1:]}",
            f"+{text}",
            f" {text}",
        ):
            if wrong != text:
                with pytest.raises(SystemExit) as ended:
                    parser.parse_args([option, wrong])
                (line,) = capsys.readouterr().err.splitlines()
                assert (ended.value.code, option in line) == (2, True), line


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_that_is_there_twice_with_two_values_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """argparse drops the first one silently. The same value twice says the same, and what may be repeated is."""
    parser = OneLineParser(prog=name)
    load(name).prepare(parser)
    for action in parser._actions:
        action.required = False
    for action in parser._actions:
        values = [text for text in TEXTS if is_read(parser, action, text)][:2]
        if len(values) < 2 or not action.option_strings or action.nargs == 0:
            continue
        option = action.option_strings[-1]
        twice = [f"{option}={values[0]}", f"{option}={values[1]}"]
        if isinstance(action, argparse._AppendAction | argparse._ExtendAction):
            assert len(getattr(parser.parse_args(twice), action.dest)) == 2
            continue
        parser.parse_args(twice[:1] * 2)
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(twice)
        (line,) = capsys.readouterr().err.splitlines()
        said = f"argument {'/'.join(action.option_strings)}: it is there twice, with "
        assert (ended.value.code, said in line) == (2, True), line


TEXTS = (
    "4",
    "7",
    "2026-11-01",
    "2026-11-02",
    "7d",
    "8d",
    "a",
    "b",
    "dev",
    "stg",
    "gs://a/b/",
    "gs://c/d/",
    "all",
    "none",
)


def is_read(parser: OneLineParser, action: argparse.Action, text: str) -> bool:
    """Whether an option takes a text."""
    with contextlib.suppress(argparse.ArgumentTypeError, argparse.ArgumentError, ValueError):
        value = parser._get_value(action, text)
        return action.choices is None or value in action.choices
    return False


def test_there_are_options_that_read_a_number() -> None:
    """Else the test above proves nothing."""
    found = {option for name in COMMANDS for option, _ in counting_options(name, OneLineParser(prog=name))}
    assert found >= {
        "--days",
        "--import-days",
        "--grace",
        "--since",
        "--soak-days",
        "--port",
        "--today",
        "--tasks",
    }


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("word", ["NAME", "WHO"])
def test_a_printed_command_that_was_pasted_as_it_is_names_nobody(name: str, word: str) -> None:
    """What a printed command has in the place of a person is not put on record."""
    parser = argparse.ArgumentParser(prog=name, exit_on_error=False)
    load(name).prepare(parser)
    (by,) = [each for each in parser._actions if "--by" in each.option_strings] or [None]
    if by is not None:
        assert callable(by.type)
        with pytest.raises(argparse.ArgumentTypeError, match=f"{word} stands for a name: say who it is"):
            by.type(word)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_usual_help_fits_a_screen(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 lines of 80 columns. --help-all explains every option, and the usual help says how many it leaves out."""
    monkeypatch.setenv("COLUMNS", "80")

    def shown(option: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([name, option])
        assert ended.value.code == 0
        return capsys.readouterr().out

    usual, whole = shown("--help"), shown("--help-all")
    assert sum(max(1, -(-len(line) // 80)) for line in usual.splitlines()) <= LINES
    parser = parser_of("x", [name])
    choices = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
    actions = [each for each in choices[name]._actions if each.help != argparse.SUPPRESS]
    options = {word for action in actions for word in action.option_strings}
    assert {word for word in options if re.search(rf"{word}\b", whole)} == options
    left_out = {word for word in RARE & options if not re.search(rf"^  {word}\b", usual, re.MULTILINE)}
    assert left_out == RARE & options
    more = re.search(r"^(\d+) more options?: .* --help-all$", usual, re.MULTILINE)
    assert (int(more[1]) if more else 0) == len(left_out)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["migrat"], "migrate"),
        (["migrate", "--env", "dve"], "dev"),
        (["migrate", "--env", "dev", "--exectue"], "--execute"),
        (["gate", "--env", "dev", "--overide", "names"], "--override"),
        (["gate", "--env", "dev", "--override", "name"], "names"),
        (["gate", "--env", "dev", "--dead"], "--dead-letters"),
    ],
)
def test_a_wrong_word_is_told_what_was_probably_meant(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands, options, and what an option accepts."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert (ended.value.code, f"; did you mean {meant}?" in capsys.readouterr().err) == (2, True)


def test_an_unknown_option_names_its_command_and_only_a_near_word_is_suggested(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another command's option is not suggested, nor one that shares some letters."""
    for words in (["gate", "--env", "dev", "--details"], ["status", "--env", "dev", "--verbose"]):
        with pytest.raises(SystemExit):
            main(words)
        said = f"backfill_job {words[0]}: unrecognized arguments: {words[-1]} (--help shows what it takes)\n"
        assert capsys.readouterr().err.endswith(said)


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if "--source" in help_of(name) and name != "certify"]
)
def test_an_environment_and_a_pair_of_its_own_contradict_each_other(
    name: str, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of them wins would be a guess: one line, exit code 2, before the first request."""
    needed = {
        "references": ["."],
        "signoff": ["data", "--by", "Ada"],
        "begin": ["--by", "Ada"],
        "cutover": ["--by", "Ada", "--yes"],
        "import-test": ["--last", "1"],
        "loaded": ["--last", "1"],
        "readers": ["--log-file", "x"],
        "rollback": ["--by", "Ada", "--yes"],
        "erasure": ["x"],
    }
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    for place in ("gs://another/x/", "gs://x/y/", "x"):
        pair = ("--env", "dev", "--destination", place)
        ended = run_command(name, *pair, *needed.get(name, ()))
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "--env dev names both paths already" in ended.err, "whatever else is wrong with the path"


TOGETHER = "belong together"
ONE_RUN = "--run-date plays one run: without --date, --from, --to and --last"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("import-test", ("--run-date", "20240102", "--date", "20240101"), ONE_RUN),
        ("import-test", ("--run-date", "20240102", "--from", "20240101"), ONE_RUN),
        ("import-test", ("--run-date", "20240102", "--to", "20240101"), ONE_RUN),
        ("import-test", ("--run-date", "20240102", "--last", "1"), ONE_RUN),
        ("import-test", ("--last", "1", "--engine", "bigquery"), "needs --dataset PROJECT.DATASET"),
        ("import-test", ("--last", "1", "--engine", "duckdb", "--dataset", "p.d"), "for --engine bigquery"),
        ("import-test", ("--last", "1", "--location", "EU"), "--dataset and --location are for"),
        ("readers", ("--log-file", "x", "--by", "Ada"), TOGETHER),
        ("readers", ("--log-file", "x", "--reason", "he leaves"), TOGETHER),
        ("readers", ("--acknowledge", "user:a@b", "--reason", "he leaves"), TOGETHER),
        ("references", (".", "--accept", "x", "--reason", "y", "--by", "Ada"), "and to --record"),
        ("references", (".", "--record", "--accept", "x", "--reason", "y"), TOGETHER),
        ("references", (".", "--record", "--accept", "x", "--by", "Ada"), TOGETHER),
        ("references", (".", "--record", "--reason", "y", "--by", "Ada"), TOGETHER),
        ("references", (".", "--accept", "x"), TOGETHER),
    ],
)
def test_arguments_that_say_nothing_together_are_refused_with_the_reason(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, name: str, arguments: tuple[str, ...], said: str
) -> None:
    """One line, exit code 2, before the first request."""
    paths = commands.paths
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    monkeypatch.chdir(commands.folder)
    paths.server.reset_stats()
    ended = run_command(name, *where(paths), *arguments)
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended
    assert said in ended.err
    assert paths.server.stats()["methods"] == {}


@pytest.mark.parametrize(
    ("line", "program"),
    [
        (["backfill_job/migrate_qpi_exports.py"], "migrate_qpi_exports"),
        (["backfill_job/delete_old_qpi_exports.py"], "delete_old_qpi_exports"),
        (["-m", "backfill_job"], "backfill_job"),
    ],
)
def test_outside_the_environment_one_line_says_what_to_do(line: list[str], program: str) -> None:
    """-S: without the packages of this environment."""
    done = subprocess.run(
        [sys.executable, "-S", *line, "--env", "dev"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"run `make setup` once, then .venv/bin/{program} with" in done.stderr


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    """The image has no installed package to ask."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.split()[-1] == version("qpi-exports-migration")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_understood(name: str) -> None:
    """An example that the command refuses is worse than none."""
    examples = examples_in(help_of(name))
    assert examples
    for example in examples:
        words = shlex.split(example.removeprefix('eval "$(').removesuffix(')"'))
        if words[:4] == ["gcloud", "run", "jobs", "execute"]:
            (words,) = (word[7:].split(",") for word in words if word.startswith("--args="))
        elif words[0] in PROGRAMS:
            words[0] = PROGRAMS[words[0]]
        else:
            words = words[1:] if words[0] == "backfill_job" else words[3:]
        assert words[0] == name
        # The checkout is on an operator's machine.
        words = [ROOT.as_posix() if word == "../airflow-dags" else word for word in words]
        assert parser_of("x", [name]).parse_args(words).command == name


def test_the_installed_programs_are_these_commands() -> None:
    """``backfill_job``, and the two that are programs of their own."""
    installed = {
        one.name for one in entry_points(group="console_scripts") if one.value.startswith("backfill_job.")
    }
    assert installed == {"backfill_job", *PROGRAMS}


def completed(script: str, *words: str) -> set[str]:
    """What bash offers for the last of these words."""
    quoted = " ".join(map(shlex.quote, words))
    ask = f'COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _shtab_{words[0]}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes_commands_options_and_their_values() -> None:
    """By bash itself, with what ``completion bash`` prints."""
    ended = run_command("completion", "bash")
    assert (ended.code, ended.err) == (0, "")
    assert completed(ended.out, "backfill_job", "c") == {"certify", "cutover", "completion"}
    assert completed(ended.out, "backfill_job", "verify", "--rep") == {"--report"}
    assert completed(ended.out, "backfill_job", "verify", "--env", "") == {"dev", "stg", "prod"}
    assert completed(ended.out, "migrate_qpi_exports", "--exe") == {"--execute"}
    assert completed(ended.out, "delete_old_qpi_exports", "--confirm-d") == {"--confirm-delete"}
    assert completed(ended.out, "backfill_job", "certify", "--check", "READ") == {"README.md"}


def test_zsh_gets_its_own_form() -> None:
    """There is no zsh to try it in here; what it prints names the three programs."""
    ended = run_command("completion", "zsh")
    assert (ended.code, ended.err) == (0, "")
    assert re.findall(r"^#compdef (\S+)", ended.out, re.MULTILINE) == ["backfill_job", *PROGRAMS]


def test_without_the_package_that_writes_it_one_line_says_what_to_install() -> None:
    """Exit code 2."""
    code = "import sys; sys.modules['shtab'] = None; from backfill_job.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "completion", "bash"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "completion: the package shtab is not installed: pip install -e '.[job,completion]'\n"
    )


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("cutover", ("--by", "Ada", "--yes")),
        ("rollback", ("--by", "Ada", "--yes")),
        ("rollback", ("--dry-run",)),
        ("verify", ()),
        ("delete", ()),
    ],
)
def test_whoever_may_not_read_the_state_cannot_start(
    paths: Paths, commands: Commands, command: str, arguments: tuple[str, ...]
) -> None:
    """Exit code 2, as every help says of a missing permission before anything is done."""
    paths.put("qpi_answers_20240101/user_id_1.jsonl")
    rule = {"method": "storage.objects.download", "name_prefix": "_migration/", "count": None, "status": 403}
    paths.server.set_faults(rules=[rule])
    ended = commands.run(command, *arguments)
    assert (ended.code, "permission denied" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("command", "arguments", "phase"),
    [
        ("cutover", ("--by", "Ada", "--yes"), Phase.DUAL_WRITE),
        ("rollback", ("--by", "Ada", "--yes"), Phase.CUT_OVER),
        ("rollback", ("--dry-run",), Phase.CUT_OVER),
        ("gate", (), Phase.DUAL_WRITE),
        ("undo", ("--rehearse",), Phase.DUAL_WRITE),
    ],
)
def test_what_is_about_the_whole_is_no_work_for_one_of_several_tasks(
    paths: Paths, commands: Commands, command: str, arguments: tuple[str, ...], phase: Phase
) -> None:
    """Each task would take its part for everything: a rollback would end with the other tasks' objects left behind."""
    for number in range(1, 9):
        paths.put(f"qpi_answers_2024010{number}/user_id_1.jsonl", side="destination")
        paths.put(f"qpi_answers_2024010{number}/user_id_0.jsonl")
    if phase is Phase.CUT_OVER:
        commands.go(Phase.CUT_OVER)
    tasks = {"CLOUD_RUN_TASK_COUNT": "2", "CLOUD_RUN_TASK_INDEX": "0", "CLOUD_RUN_EXECUTION": "e-1"}
    ended = run_command(command, *where(paths), "--log-dir", str(commands.folder), *arguments, environ=tasks)
    assert ended.code == 2
    assert "run it as one task" in ended.err
    assert commands.state.phase is phase


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gat"], "argument COMMAND: invalid choice: 'gat' (choose from "),
        (["gate", "--env", "qa"], "gate: argument --env: invalid choice: 'qa'"),
        (["verify", "--env"], "verify: argument --env: expected one argument"),
        (["delete", "--env", "dev", "--confirm"], "unrecognized arguments: --confirm"),
        (["migrate", "--env", "dev", "--exec"], "unrecognized arguments: --exec"),
    ],
)
def test_wrong_arguments_are_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a page of usage before it; and no option is guessed from its beginning, least of all one that deletes."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert line.endswith("(--help shows what it takes)")

"""Steps of a deployment: printed, performed, and refused."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.__main__ import main
from deploy.steps import Ask, CommandEnd, Ensure, Failed, RunCommand, Words, perform, script, with_gcloud
from deploy.values import read_values
from shared.env_file import read_env_file
from shared.errors import UsageError
from shared.migration import Environment

DEPLOY = Path(__file__).parent.parent.parent / "deploy"


def answering(answers: dict[str, CommandEnd], seen: list[Words]) -> Callable[[Words], CommandEnd]:
    def run(words: Words) -> CommandEnd:
        seen.append(words)
        return answers.get(words[0], CommandEnd(0, "", ""))

    return run


class TestPerform:
    """The steps, one by one, with a gcloud that answers as told."""

    @pytest.mark.parametrize(
        ("listed", "update", "changes"),
        [
            ("", ("update",), ["create"]),
            ("", None, ["create"]),
            ("it\n", ("update",), ["update"]),
            ("it\n", None, []),
        ],
    )
    def test_what_is_there_is_updated_and_never_created_again(
        self, listed: str, update: Words | None, changes: list[str]
    ) -> None:
        """A listing decides; it changes nothing and is not told."""
        seen: list[Words] = []
        told: list[str] = []
        run = answering({"list": CommandEnd(0, listed, "")}, seen)
        perform([Ensure(("list",), ("create",), update)], run, told.append)
        assert [words[0] for words in seen] == ["list", *changes]
        assert told == changes

    def test_a_listing_that_fails_is_not_an_absence(self) -> None:
        """Nothing is created, and gcloud's words are passed on in one line."""
        seen: list[Words] = []
        run = answering({"list": CommandEnd(1, "", "PERMISSION_DENIED:\n  not found or no access")}, seen)
        with pytest.raises(Failed, match=r"^list: ended with 1: PERMISSION_DENIED: not found or no access$"):
            perform([Ensure(("list",), ("create",))], run, lambda _: None)
        assert seen == [("list",)]

    def test_after_a_failure_nothing_more_is_done(self) -> None:
        """The same command goes on from there."""
        seen: list[Words] = []
        with pytest.raises(Failed):
            perform(
                [RunCommand(("bad",)), RunCommand(("next",))],
                answering({"bad": CommandEnd(2, "", "")}, seen),
                lambda _: None,
            )
        assert seen == [("bad",)]

    @pytest.mark.parametrize(
        ("refusals", "waited", "said"),
        [
            (0, 0, 0),
            (3, 45, 3),
            (12, 180, 12),
            (13, 180, 13),
        ],
    )
    def test_a_binding_to_a_new_account_is_retried_and_the_rest_goes_on(
        self, refusals: int, waited: float, said: int
    ) -> None:
        """For three minutes in all; then the other steps still run, and the end names what is missing."""
        seen: list[Words] = []
        told: list[str] = []
        pauses: list[float] = []
        left = [refusals]

        def run(words: Words) -> CommandEnd:
            seen.append(words)
            if words[-1] != "new" or not left[0]:
                return CommandEnd(0, "", "")
            left[0] -= 1
            return CommandEnd(
                1, "", "INVALID_ARGUMENT: Service account new@p.iam.gserviceaccount.com does not exist."
            )

        steps = [RunCommand(("add-iam-policy-binding", "new")), RunCommand(("next",))]
        if refusals <= 12:
            perform(steps, run, told.append, pauses.append)
        else:
            with pytest.raises(
                Failed, match="all other steps are done; still refused after 3 minutes: add-iam"
            ):
                perform(steps, run, told.append, pauses.append)
        assert seen[-1] == ("next",)
        assert sum(pauses) == waited
        assert sum("refused" in line for line in told) == said

    @pytest.mark.parametrize(("refusals", "goes_on"), [(0, True), (3, True), (12, True), (13, False)])
    @pytest.mark.parametrize(
        "step", [RunCommand(("new",)), Ask("NAME", ("new",)), Ensure(("new",), ("create",))]
    )
    def test_a_service_that_is_not_ready_is_asked_again(
        self, step: RunCommand | Ask | Ensure, refusals: int, goes_on: bool
    ) -> None:
        """Every kind of step, for three minutes each; then the refusal ends the run."""
        seen: list[Words] = []
        pauses: list[float] = []

        def run(words: Words) -> CommandEnd:
            seen.append(words)
            if words == ("new",) and seen.count(words) <= refusals:
                return CommandEnd(
                    1, "", "Cloud Pub/Sub API has not been used in project 1 before or it is disabled."
                )
            return CommandEnd(0, "it", "")

        told: list[str] = []
        steps = [step, RunCommand(("next",))]
        if goes_on:
            perform(steps, run, told.append, pauses.append)
            assert seen[-1] == ("next",)
        else:
            with pytest.raises(Failed, match="has not been used in project 1"):
                perform(steps, run, told.append, pauses.append)
        assert sum(pauses) == 15 * min(refusals, 12) == 15 * sum("not ready yet" in line for line in told)

    def test_a_binding_that_is_refused_for_another_reason_ends_it(self) -> None:
        """A missing permission is not retried."""
        run = answering({"add-iam-policy-binding": CommandEnd(1, "", "PERMISSION_DENIED")}, [])
        with pytest.raises(Failed, match="PERMISSION_DENIED"):
            perform(
                [RunCommand(("add-iam-policy-binding",))],
                run,
                lambda _: None,
                lambda _: pytest.fail("waited"),
            )

    def test_an_answer_is_used_by_later_steps(self) -> None:
        """As a part of a word, too."""
        seen: list[Words] = []
        run = answering({"ask": CommandEnd(0, "42\n", "")}, seen)
        perform([Ask("NUMBER", ("ask",)), RunCommand(("do", "a-$NUMBER-b"))], run, lambda _: None)
        assert seen[-1] == ("do", "a-42-b")

    def test_an_empty_answer_is_an_error(self) -> None:
        """A trigger without a subscription, or a project without a number, is not deployed around."""
        with pytest.raises(Failed, match="an empty answer; without it there is no NUMBER"):
            perform([Ask("NUMBER", ("ask",))], answering({}, []), lambda _: None)


def test_a_reading_command_that_hangs_is_ended_and_no_other(tmp_path: Path) -> None:
    """A check would wait for it for ever; a deployment takes as long as it takes. Bytes that are no text break nothing."""
    command = tmp_path / "gcloud"
    command.write_text("#!/bin/bash\n[ $1 = create ] || exec sleep 600\nprintf '\\377'\n")
    command.chmod(0o755)
    assert with_gcloud((str(command), "list"), 0.0) == CommandEnd(124, "", "no answer within 0 seconds")
    assert with_gcloud((str(command), "create"), 0.0) == CommandEnd(0, "\ufffd", "")


class TestScript:
    """The steps as bash: run for real, with printf in place of gcloud."""

    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8), max_size=4))
    def test_every_word_arrives_as_it_was(self, words: list[str]) -> None:
        """Whatever quotes, blanks, dollars and line breaks it holds, beside a variable or not."""
        plain = [word.replace("$", "") for word in words]
        texts = (*plain, *(f"{word}$NUMBER" for word in plain))
        lines = script([Ask("NUMBER", ("printf", "42")), RunCommand(("printf", "%s\\0", *texts))])
        done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, check=True)
        assert (
            done.stdout.decode().split("\0")[:-1] == [*plain, *(f"{word}42" for word in plain)] or not texts
        )

    @pytest.mark.parametrize(
        ("listing", "update", "printed", "code"),
        [
            (("printf", ""), None, "create", 0),
            (("printf", "it"), None, "", 0),
            (("printf", ""), ("printf", "update"), "create", 0),
            (("printf", "it"), ("printf", "update"), "update", 0),
            (("false",), None, "", 1),
            (("false",), ("printf", "update"), "", 1),
        ],
    )
    def test_it_means_what_perform_does(
        self, listing: Words, update: Words | None, printed: str, code: int
    ) -> None:
        """Create what is absent, update what is there, and end where a listing fails."""
        lines = script([Ensure(listing, ("printf", "create"), update)])
        done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
        assert (done.stdout, done.returncode) == (printed, code)

    @pytest.mark.parametrize(("refusals", "code", "lines"), [(0, 0, 0), (3, 0, 3), (12, 0, 12), (13, 1, 14)])
    def test_a_refused_binding_is_retried_in_the_script_too(
        self, refusals: int, code: int, lines: int, tmp_path: Path
    ) -> None:
        """With the same patience, and the same end; ``sleep`` only notes that it was asked."""
        stand_in = tmp_path / "add-iam-policy-binding"
        stand_in.write_text(
            f'#!/bin/bash\ncd {tmp_path}\nmkdir -p calls\n[ "$(ls calls | wc -l)" -ge {refusals} ] && exit 0\n'
            'mktemp -p calls >/dev/null\necho "Service account x does not exist" >&2\nexit 1\n'
        )
        stand_in.chmod(0o755)
        steps = [RunCommand(("add-iam-policy-binding", "x")), RunCommand(("printf", "go on"))]
        text = "sleep() { :; }\n" + "\n".join(script(steps))
        environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False, env=environ)
        assert (done.stdout, done.returncode, done.stderr.count("\n")) == ("go on", code, lines)

    @pytest.mark.parametrize(("refusals", "code", "said"), [(0, 0, 0), (3, 0, 3), (12, 0, 12), (13, 3, 13)])
    def test_a_service_that_is_not_ready_is_asked_again_in_the_script_too(
        self, refusals: int, code: int, said: int, tmp_path: Path
    ) -> None:
        """Where a command prints what later ones need, and with its exit code; another refusal is not repeated."""
        stand_in = tmp_path / "gcloud"
        stand_in.write_text(
            f'#!/bin/bash\ncd {tmp_path}\nmkdir -p calls\n[ "$1" != bad ] || exit 5\n'
            f'[ "$(ls calls | wc -l)" -ge {refusals} ] && printf %s "$1" && exit 0\n'
            'mktemp -p calls >/dev/null\necho "SERVICE_DISABLED" >&2\nexit 3\n'
        )
        stand_in.chmod(0o755)
        environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        asked = [Ask("NAME", ("gcloud", "x y")), RunCommand(("printf", "%s", "$NAME"))]
        for steps, printed, ends, refused in (
            (asked, "" if code else "x y", code, said),
            ([RunCommand(("gcloud", "bad"))], "", 5, 0),
        ):
            text = "sleep() { :; }\n" + "\n".join(script(steps))
            done = subprocess.run(
                ["bash", "-c", text], capture_output=True, text=True, check=False, env=environ
            )
            found = (done.stdout, done.returncode, done.stderr.count("SERVICE_DISABLED"))
            assert found == (printed, ends, refused)

    def test_an_empty_answer_ends_it(self) -> None:
        """As in `perform`: nothing is done without what was asked for, and the line says what that was."""
        lines = script([Ask("NUMBER", ("printf", "")), RunCommand(("printf", "go on"))])
        done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
        assert (done.stdout, done.returncode != 0) == ("", True)
        assert "NUMBER: an empty answer" in done.stderr


def env_folder(tmp_path: Path, change: Callable[[str], str]) -> Path:
    (tmp_path / "dev.env").write_text(change((DEPLOY / "dev.env").read_text()))
    return tmp_path


class TestCommand:
    """``python -m deploy``: one clear line for what cannot be."""

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda text: "REGOIN=x\n" + text, "dev.env, line 1: 'REGOIN=x' is none of PROJECT"),
            (lambda text: "REGION\n" + text, "dev.env, line 1: 'REGION' is none of"),
            (lambda text: "TASKS=3\n" + text, ": TASKS is given twice"),
            (lambda text: text.replace("TASKS=2", "TASKS=0"), ": '0' is not a possible value of TASKS"),
            (lambda text: text.replace("TASKS=2", "TASKS="), ": '' is not a possible value of TASKS"),
            (lambda text: text.replace("TASKS=2", "TASKS=2 "), ": '2 ' is not a possible value of TASKS"),
            (
                lambda text: text.replace("_LOCATION=europe-west1", "_LOCATION=EU"),
                "'EU' is not a possible value of LEGACY_LOCATION",
            ),
            (
                lambda text: text.replace("WRITER=serviceAccount:", "WRITER="),
                "is not a possible value of WRITER",
            ),
            (lambda text: text.replace("TASKS=2", ""), "dev.env: no value for TASKS"),
            (lambda text: text.replace("-dev\n", "-dev;rm -r .\n"), "is not a possible value of PROJECT"),
            (lambda text: text.replace("\n", "\r\n"), "has line ends of Windows"),
            (lambda text: text.replace('"*/15 * * * *"', "*/15 * * * *"), "put it into double quotes"),
            (
                lambda text: text.replace('"*/15 * * * *"', '"*/15 * * * *'),
                "is not a possible value of SWEEP",
            ),
            (lambda text: text + 'SKIP="$(id)"\n', "bash would read another value"),
        ],
    )
    def test_a_file_of_values_is_read_strictly(
        self, change: Callable[[str], str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Unknown, missing, double and impossible values: nothing is run, exit code 2."""
        folder = env_folder(tmp_path, change)
        assert main(["--env=dev", "scheduler"], lambda _: pytest.fail("run"), folder) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert said in err

    def test_without_builders_the_operators_submit_builds(self, tmp_path: Path) -> None:
        """A name of its own is for an environment in which a person may not replace the code."""
        folder = env_folder(tmp_path, lambda text: re.sub("BUILDERS=.*\n", "", text))
        values = read_values(Environment.DEV, folder)
        assert values.builders == values.operators

    def test_a_file_in_another_encoding_is_one_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Exit code 2, as for any other file that cannot be read."""
        (tmp_path / "dev.env").write_bytes("# für alle\n".encode("latin-1"))
        assert main(["--env=dev", "scheduler"], lambda _: pytest.fail("run"), tmp_path) == 2
        err = capsys.readouterr().err
        assert (err.count("\n"), "is not text in UTF-8" in err) == (1, True)

    @given(st.text(st.sampled_from("ab \"'$`\\*~#;&|<>(){}[]!=:\t-"), max_size=6))
    def test_a_value_is_what_bash_reads(self, value: str) -> None:
        """docs/deploy.md and cloudbuild.yaml source the same file: a value that bash reads in another way is refused."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "dev.env"
            path.write_text(f"NAME={value}\n")
            try:
                read = read_env_file(path, {"NAME": ".*"})["NAME"]
            except UsageError:
                return
            code = f'. {path}; printf %s "$NAME"'
            done = subprocess.run(["bash", "-euc", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, read, "")

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                [],
                "deploy: nothing cannot be deployed; say one or more of project, jobs, functions, scheduler, or check alone\n",
            ),
            (
                ["job"],
                "deploy: job cannot be deployed; say one or more of project, jobs, functions, scheduler, or check alone\n",
            ),
            (["jobs"], "deploy: say which image the jobs run: --tag TAG\n"),
        ],
    )
    def test_what_to_deploy_must_be_said(
        self, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Nothing is run, exit code 2."""
        assert main(["--env=dev", *arguments], lambda _: pytest.fail("run")) == 2
        assert capsys.readouterr().err == said

    def test_a_failing_command_is_one_line_and_exit_code_1(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With gcloud's own words."""
        assert main(["--env=dev", "scheduler"], lambda _: CommandEnd(1, "", "ERROR: no")) == 1
        assert capsys.readouterr().err.endswith("ended with 1: ERROR: no\n")

    def test_printing_runs_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Every command is shown instead."""
        assert main(["--env=dev", "--print", "scheduler"], lambda _: pytest.fail("run")) == 0
        assert capsys.readouterr().out.startswith("set -euo pipefail\n")

    def test_it_needs_nothing_but_python(self) -> None:
        """A build's step has gcloud and Python, and no package of ours."""
        command = ["python3", "-I", "-S", "-c"]
        code = (
            f"import sys; sys.path.insert(0, {str(DEPLOY.parent)!r}); from deploy.__main__ import main; "
            "sys.exit(main(['--env=prod', '--print', '--tag=t', 'project', 'jobs', 'functions', 'scheduler']))"
        )
        done = subprocess.run([*command, code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

"""Sets up a project, and puts the parts into it: ``python -m deploy --env dev [--print] WHAT…``.

WHAT is ``project`` (an owner, once, and after a change of rights), or ``jobs``, ``functions``, ``scheduler`` (every build), in the
order given. ``functions`` first begins the migration on record, with the job ``backfill``. Doing it again changes nothing. ``check``
stands alone: it compares the project with all of it, changes nothing, and shows the command for each difference. ``--print`` prints
every command and runs none; ``--table`` prints who may do what.

Exit codes: 0 done, 1 a command failed or the check found something wrong, 2 cannot start or the check could not read everything.
"""

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.check import check, exit_code, lines_of
from deploy.facts import questions
from deploy.parts import function_steps, job_steps, release, scheduler_steps
from deploy.project import project_steps, table
from deploy.steps import Failed, Runs, Step, perform, script, with_gcloud
from deploy.values import EnvironmentValues, read_values
from shared.command_line import OneLineParser, as_program, one_line
from shared.errors import MigrationError, UsageError
from shared.migration import Environment

__all__ = ["main", "steps_of"]

FOLDER = Path(__file__).parent

WHAT = ("project", "jobs", "functions", "scheduler")

CHECK = "check"


def main(argv: Sequence[str] | None = None, run: Runs = with_gcloud, folder: Path = FOLDER) -> int:
    """Run the command; `folder` holds the files with the environments' values. Returns the exit code."""
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = OneLineParser(prog="python -m deploy", description=summary, epilog=rest)
    parser.add_argument("--env", required=True, choices=[environment.value for environment in Environment])
    parser.add_argument("--tag", default="", help="the image's tag, for jobs")
    parser.add_argument("--print", action="store_true", help="print every command, run none")
    parser.add_argument("--table", action="store_true", help="print who may do what where, run nothing")
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"{', '.join(WHAT)}; or {CHECK}")
    arguments = parser.parse_args(argv)
    try:
        values = read_values(Environment(arguments.env), folder)
        if arguments.table:
            sys.stdout.write("\n".join(table(values)) + "\n")
            return 0
        if arguments.what == [CHECK]:
            return _check(values, run, printing=arguments.print)
        steps = [*steps_of(values, arguments.what, arguments.tag)]
        if arguments.print:
            sys.stdout.write("\n".join(script(steps)) + "\n")
        else:
            perform(steps, run, _say)
    except MigrationError as error:
        sys.stderr.write(f"deploy: {one_line(str(error))}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


def steps_of(values: EnvironmentValues, what: Sequence[str], tag: str) -> Iterator[Step]:
    """The steps of the named groups, in the given order.

    Raises:
        UsageError: The list is empty or has an unknown name, or it has ``jobs`` and the tag is empty.
    """
    unknown = [name for name in what if name not in WHAT]
    if unknown or not what:
        raise UsageError(
            f"{' '.join(unknown) or 'nothing'} cannot be deployed; say one or more of {', '.join(WHAT)}, or {CHECK} alone"
        )
    if "jobs" in what and not tag:
        raise UsageError("say which image the jobs run: --tag TAG")
    for name in what:
        match name:
            case "project":
                yield from project_steps(values)
            case "jobs":
                yield from job_steps(values, tag)
            case "functions":
                yield from function_steps(values, release(FOLDER.parent))
            case _:
                yield from scheduler_steps(values)


def _check(values: EnvironmentValues, run: Runs, *, printing: bool) -> int:
    if printing:
        sys.stdout.write("".join(f"{shlex.join(words)}\n" for words in questions(values).values()))
        return 0
    try:
        found = check(values, run)
    except Failed as error:
        raise UsageError(str(error)) from error
    sys.stdout.write("".join(f"{line}\n" for line in lines_of(found)))
    return exit_code(found)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(as_program(main))

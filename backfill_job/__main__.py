"""The operator's commands as one program: ``python -m backfill_job COMMAND``, installed as ``backfill_job``."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__" and find_spec("rich") is None:
    sys.stderr.write(
        "backfill_job: this Python lacks the project's packages: run `make setup` once, "
        "then .venv/bin/backfill_job with the same arguments\n"
    )
    sys.exit(2)

from backfill_job.commands import COMMANDS, load, parser_of
from backfill_job.run.command import ExitCode, ProcessIO
from shared.command_line import as_program

__all__ = ["NAME", "main"]

NAME = "backfill_job"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, or show where to begin if there is none. Returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    prog = NAME if Path(sys.argv[0]).name == NAME else f"python -m {NAME}"
    if not words:
        # Not 0, because a job that runs without its arguments has done nothing.
        parser_of(prog).print_help(sys.stderr)
        return ExitCode.CANNOT_START
    return as_program(lambda: _run(prog, words))


def _run(prog: str, words: Sequence[str]) -> int:
    # Imports only the wanted command, because some imports are slow.
    arguments = parser_of(prog, [words[0]] if words[0] in COMMANDS else COMMANDS).parse_args(words)
    return load(arguments.command).run(arguments, ProcessIO.of_process(words[1:]))


if __name__ == "__main__":
    sys.exit(main())

"""The operator's commands: ``python -m backfill_job COMMAND``."""

import argparse
import sys
from collections.abc import Sequence

from backfill_job import migrate_qpi_exports, signoff
from backfill_job.command import Surroundings

__all__ = ["main"]

COMMANDS = {"migrate": migrate_qpi_exports, "signoff": signoff}
"""Each command's module: its docstring is the help, `add_arguments` and `run` are the rest."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m backfill_job", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        module.add_arguments(commands.add_parser(name, help=summary, description=summary))
    words = sys.argv[1:] if argv is None else argv
    arguments = parser.parse_args(words)
    return int(COMMANDS[arguments.command].run(arguments, Surroundings.of_process(words[1:])))


if __name__ == "__main__":
    sys.exit(main())

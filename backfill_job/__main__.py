"""The operator's commands: ``python -m backfill_job COMMAND``."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from backfill_job.command import Command, Surroundings

__all__ = ["COMMANDS", "load", "main"]

COMMANDS = {
    "smoke": "backfill_job.smoke",
    "migrate": "backfill_job.migrate_qpi_exports",
    "references": "backfill_job.references.command",
    "import-test": "backfill_job.import_test.command",
    "verify": "backfill_job.verify",
    "certify": "backfill_job.certify",
    "signoff": "backfill_job.signoff",
    "gate": "backfill_job.gate.command",
    "cutover": "backfill_job.cutover",
    "rollback": "backfill_job.rollback",
    "delete": "backfill_job.delete_old_qpi_exports",
    "undo": "backfill_job.undo.command",
    "status": "backfill_job.status",
}
"""Each command's module, in the order in which a migration needs them; its `COMMAND` is the command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m backfill_job", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # Only the one that is asked for is loaded: some need much.
    asked = [words[0]] if words and words[0] in COMMANDS else [*COMMANDS]
    for name in asked:
        command = load(name)
        command.prepare(commands.add_parser(name, help=command.summary, description=command.summary))
    arguments = parser.parse_args(words)
    return load(arguments.command).run(arguments, Surroundings.of_process(words[1:]))


def load(name: str) -> Command:
    """Import the command of this name in `COMMANDS`."""
    command: Command = import_module(COMMANDS[name]).COMMAND
    return command


if __name__ == "__main__":
    sys.exit(main())

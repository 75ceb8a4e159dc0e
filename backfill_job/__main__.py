"""The operator's commands: ``python -m backfill_job COMMAND``."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from backfill_job.command import Surroundings

__all__ = ["COMMANDS", "main"]

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
"""Each command's module: its docstring is the help, `add_arguments` and `run` are the rest."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m backfill_job", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # Only the one that is asked for is loaded: some need much.
    asked = [words[0]] if words and words[0] in COMMANDS else [*COMMANDS]
    for name in asked:
        module = import_module(COMMANDS[name])
        summary = (module.__doc__ or "").splitlines()[0]
        module.add_arguments(commands.add_parser(name, help=summary, description=summary))
    arguments = parser.parse_args(words)
    return int(import_module(COMMANDS[arguments.command]).run(arguments, Surroundings.of_process(words[1:])))


if __name__ == "__main__":
    sys.exit(main())

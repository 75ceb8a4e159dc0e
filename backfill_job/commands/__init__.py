"""The operator's commands, one module each: the table of all commands, and the parser for them.

- `begin`: begin a migration on record, adopt an older one, or mend its record
- `certify`: recompute a certificate from both paths, and compare
- `completion`: print the shell code for completion
- `cutover`: make the new path the source of truth
- `erasure`: find where a name still exists, and erase it
- `gate`: decide GO or NO-GO for the cutover
- `gathering`: make the evidence that `cutover` lacks before its gate
- `import_test`: run the nightly import from both paths, and compare
- `loaded`: compare the path with the consumer's own table, day by day
- `readers`: who still uses the legacy path, by the audit log
- `references`: find the places in consumers' code that read the legacy path
- `rollback`: make the legacy path the source of truth again
- `signoff`: record that a team agrees to the cutover
- `smoke`: check account, rights and buckets before any copy
- `status`: show where the migration stands
- `undo`: bring deleted objects back from a manifest
- `verify`: compare both paths name by name, and certify them
"""

import argparse
from collections.abc import Iterable
from importlib import import_module

from backfill_job.run.command import RARE, Command
from shared.command_line import OneLineParser

__all__ = ["COMMANDS", "PROGRAMS", "load", "parser_of"]

COMMANDS = {
    "smoke": "backfill_job.commands.smoke",
    "begin": "backfill_job.commands.begin",
    "migrate": "backfill_job.migrate_qpi_exports",
    "references": "backfill_job.commands.references",
    "readers": "backfill_job.commands.readers",
    "import-test": "backfill_job.commands.import_test",
    "loaded": "backfill_job.commands.loaded",
    "verify": "backfill_job.commands.verify",
    "certify": "backfill_job.commands.certify",
    "signoff": "backfill_job.commands.signoff",
    "gate": "backfill_job.commands.gate",
    "cutover": "backfill_job.commands.cutover",
    "rollback": "backfill_job.commands.rollback",
    "delete": "backfill_job.delete_old_qpi_exports",
    "undo": "backfill_job.commands.undo",
    "erasure": "backfill_job.commands.erasure",
    "status": "backfill_job.commands.status",
    "completion": "backfill_job.commands.completion",
}
"""Each command's module, in the order in which a migration needs them; its `COMMAND` is the command."""

PROGRAMS = {"migrate_qpi_exports": "migrate", "delete_old_qpi_exports": "delete"}
"""The commands that are also installed as programs of their own."""

FIRST_STEPS = (
    ("make demo", "the whole migration on this machine, without a cloud account"),
    ("{prog} smoke --env dev", "are account and buckets fit? changes nothing"),
    ("{prog} migrate --env dev", "the dry run: what is there, what would be copied; changes nothing"),
    ("{prog} status --env dev", "where the migration stands; changes nothing"),
    ("{prog} COMMAND --help", "a command's arguments, examples and exit codes"),
)

FURTHER = """
README.md leads from the first dry run to the deletion; docs/runbook.md says what to do when something is red.
"""


def load(name: str) -> Command:
    """Import the command of this name."""
    command: Command = import_module(COMMANDS[name]).COMMAND
    return command


def parser_of(prog: str, names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """Make the parser of several commands.

    Args:
        prog: What the user types before a command's name.
        names: The commands. It imports each of them, and some imports are slow.
    """
    width = max(len(line.format(prog=prog)) for line, _ in FIRST_STEPS)
    steps = [f"  {line.format(prog=prog):{width}}   {what}" for line, what in FIRST_STEPS]
    parser = OneLineParser(
        prog=prog,
        version=True,
        description="The operator's commands, in the order in which a migration needs them.",
        epilog="\n".join(("where to begin:", *steps, FURTHER)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    for name in names:
        command = load(name)
        command.prepare(
            commands.add_parser(name, help=command.summary, description=command.summary, rare=RARE)
        )
    return parser

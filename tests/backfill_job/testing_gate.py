"""A migration for which the gate says GO."""

from datetime import UTC, datetime, timedelta

from testing_commands import Commands
from testing_paths import Paths

from shared.partitions import answers_folder
from shared.record import update
from shared.state import Signatory, State
from shared.state_changes import Stamp, sign_off

__all__ = ["FOLDER", "everybody_signs", "everything_right"]

TODAY = datetime.now(UTC).date()
FOLDER = answers_folder(TODAY)
ROW = b'{"user_id": "7", "submitted_at": "2026-01-01T00:00:00Z", "answers": []}\n'


def everything_right(paths: Paths, commands: Commands) -> tuple[str, ...]:
    """Both paths equal, everybody signed, nothing in the way; gives the gate's arguments."""
    for day in range(8):
        name = f"{answers_folder(TODAY - timedelta(days=day))}user_id_7.jsonl"
        for side in ("source", "destination"):
            paths.put(name, ROW, side=side)
    assert commands.run("verify").code == 0
    test = commands.run("import-test", "--last", "7")
    assert test.code == 0, test.err
    everybody_signs(commands)
    checkout = commands.folder / "checkout"
    checkout.mkdir()
    (checkout / "config.py").write_text(f'PATH = "{paths.migration.destination.uri}"\n')
    letters = commands.folder / "letters.json"
    letters.write_text(paths.server.undelivered())
    return ("--repo", str(checkout), "--canary", "20", "--dead-letters", str(letters))


def everybody_signs(commands: Commands) -> None:
    """The four consents to the next cutover."""
    for name in Signatory:
        stamp = Stamp(f"{name.value} {len(commands.state.history)}", "Ada", datetime.now(UTC))

        def change(state: State, name: Signatory = name, stamp: Stamp = stamp) -> State:
            return sign_off(state, name, stamp)

        update(commands.gateway, commands.paths.migration, change)

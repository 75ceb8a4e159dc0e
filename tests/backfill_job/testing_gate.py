"""A migration for which the gate says GO."""

from datetime import UTC, datetime, timedelta

from testing_commands import Commands
from testing_paths import Paths

from shared.partitions import answers_folder
from shared.record import update
from shared.state import Signatory, State
from shared.state_changes import Stamp, sign_off

__all__ = ["CONSUMER", "FOLDER", "WRITER", "everybody_signs", "everything_right", "grant_access"]

WRITER, CONSUMER = (
    "serviceAccount:exporter@app.iam.gserviceaccount.com",
    "serviceAccount:dags@app.iam.gserviceaccount.com",
)

TODAY = datetime.now(UTC).date()
FOLDER = answers_folder(TODAY)
ROW = b'{"user_id": "7", "submitted_at": "2026-01-01T00:00:00Z", "answers": []}\n'


def everything_right(paths: Paths, commands: Commands, *, evidence: bool = True) -> tuple[str, ...]:
    """Both paths equal, everybody signed, nothing in the way; gives the gate's arguments.

    Without `evidence` nothing was verified and no import was tested yet, and the arguments ask for no canary.
    """
    for day in range(8):
        name = f"{answers_folder(TODAY - timedelta(days=day))}user_id_7.jsonl"
        for side in ("source", "destination"):
            paths.put(name, ROW, side=side)
    if evidence:
        assert commands.run("verify").code == 0
        test = commands.run("import-test", "--last", "7")
        assert test.code == 0, test.err
    everybody_signs(commands)
    checkout = commands.folder / "checkout"
    checkout.mkdir()
    (checkout / "config.py").write_text(f'PATH = "{paths.migration.destination.uri}"\n')
    letters = commands.folder / "letters.json"
    letters.write_text(paths.server.undelivered())
    grant_access(paths)
    accounts = ("--writer", WRITER, "--reader", CONSUMER)
    canary = ("--canary", "20") if evidence else ()
    return ("--repo", str(checkout), *canary, "--dead-letters", str(letters), *accounts)


def grant_access(paths: Paths) -> None:
    """What the buckets' owners grant: the writer writes on the new path, the consumer reads both."""
    for side, bindings in (
        ("destination", {"roles/storage.objectUser": {WRITER}, "roles/storage.objectViewer": {CONSUMER}}),
        ("source", {"roles/storage.objectViewer": {CONSUMER}}),
    ):
        policy = paths.bucket(side).get_iam_policy(requested_policy_version=3)
        policy.bindings = [{"role": role, "members": members} for role, members in bindings.items()]
        paths.bucket(side).set_iam_policy(policy)


def everybody_signs(commands: Commands) -> None:
    """The four consents to the next cutover."""
    for name in Signatory:
        stamp = Stamp(f"{name.value} {len(commands.state.history)}", "Ada", datetime.now(UTC))

        def change(state: State, name: Signatory = name, stamp: Stamp = stamp) -> State:
            return sign_off(state, name, stamp)

        update(commands.gateway, commands.paths.migration, change)

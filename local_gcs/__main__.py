"""``python -m local_gcs``: start the server; one line with its address, then it serves until it is told to stop."""

import asyncio
import sys
from collections.abc import Sequence

import uvloop

from local_gcs.options import Options, parse_arguments
from local_gcs.server import CannotStart, serve
from shared.command_line import as_program, one_line

__all__ = ["main"]

CANNOT_START = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server.

    Args:
        arguments: Without the name of the program; the process's own by default.

    Returns:
        0 after a stop, 2 when it could not start.
    """
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    try:
        _run(options)
    except CannotStart as error:
        sys.stderr.write(f"local_gcs: {one_line(str(error))}\n")
        return CANNOT_START
    return 0


def _run(options: Options) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(options, _announce))


def _announce(url: str) -> None:
    sys.stdout.write(f"local_gcs listening on {url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(as_program(main))

"""``python -m local_gcs``: starts the server, prints one line with its address, and serves until it is told to stop."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

from local_gcs.calls import parse_object
from local_gcs.errors import RequestRefused
from local_gcs.events import DeliveryRetries
from local_gcs.faults import FaultPlan
from local_gcs.server import CannotStart, Options, serve
from shared.command_line import OneLineParser, as_program, one_line

__all__ = ["main", "parse_arguments"]

CANNOT_START = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server; returns 0 after a stop, 2 if it could not start."""
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(options, _announce))
    except CannotStart as error:
        sys.stderr.write(f"local_gcs: {one_line(str(error))}\n")
        return CANNOT_START
    return 0


def _announce(url: str) -> None:
    sys.stdout.write(f"local_gcs listening on {url}\n")
    sys.stdout.flush()


def parse_arguments(arguments: Sequence[str]) -> Options:
    """The options of a command line; a wrong one ends the process with status 2 and one line."""
    parser = _parser()
    given = parser.parse_args(arguments)
    retry = DeliveryRetries(given.event_first_pause, given.event_longest_pause, given.event_attempts)
    if not 0 <= given.port <= 65535:  # noqa: PLR2004 - the range of ports
        parser.error(f"argument --port: {given.port} is not between 0 and 65535")
    if retry.attempts < 1 or retry.first_pause < 0 or retry.longest_pause < 0:
        parser.error("event pauses are not negative, and there is at least one attempt")
    named = {name: value for name, value in vars(given).items() if name in Options.__dataclass_fields__}
    return Options(**named | {"faults": _faults(parser, given), "retry": retry})


def _faults(parser: argparse.ArgumentParser, given: argparse.Namespace) -> FaultPlan:
    try:
        plan: dict[str, Any] = parse_object(given.faults)
        plan.setdefault("seed", given.seed)
        if given.max_rewrite_bytes_per_call is not None:
            plan["max_rewrite_bytes_per_call"] = given.max_rewrite_bytes_per_call
        return FaultPlan.of(plan)
    except RequestRefused as refused:
        parser.error(f"argument --faults: {refused.message}")


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="local_gcs", description="A strict local Cloud Storage: a test double, in memory."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=4443, help="0 picks a free one (default: %(default)s)")
    parser.add_argument("--project", default="test", help="the one project there is (default: %(default)s)")
    make = "make a bucket; repeatable"
    parser.add_argument("--bucket", action="append", default=[], dest="buckets", metavar="NAME", help=make)
    parser.add_argument("--generations", choices=("unordered", "ordered"), default="unordered")
    parser.add_argument("--seed", type=int, default=0, help="for generation numbers and faults")
    events = "post all object events there; repeatable"
    parser.add_argument("--events", action="append", default=[], metavar="URL", help=events)
    parser.add_argument("--event-first-pause", type=float, default=0.1, metavar="SECONDS")
    parser.add_argument("--event-longest-pause", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--event-attempts", type=int, default=10, metavar="N")
    parser.add_argument("--faults", default="{}", metavar="JSON", help="see local_gcs/faults.py")
    parser.add_argument("--max-rewrite-bytes-per-call", type=int, metavar="N", help="make clients loop")
    until = "stop when standard input ends, for parent processes"
    parser.add_argument("--until-stdin-closes", action="store_true", help=until)
    return parser


if __name__ == "__main__":
    sys.exit(as_program(main))

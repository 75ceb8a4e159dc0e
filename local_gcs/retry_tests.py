"""Scripted retries: a client registers what shall happen to its next calls and names the script in a header.

The protocol of Google's own storage-testbench: ``POST /retry_test`` with ``{"instructions": {method: [instruction]}}``
gives an id, and each call that carries it as ``x-retry-test-id`` uses up one instruction of its method.
"""

import re
from typing import Any
from uuid import uuid4

from local_gcs.calls import Call, Reply, json_reply
from local_gcs.errors import Refused, invalid, not_found
from local_gcs.faults import Hit

__all__ = ["HEADER", "RetryTests"]

HEADER = "x-retry-test-id"
STATUS = re.compile(r"return-(\d{3})(?:-after-\d+K)?")
CONNECTION = {
    "return-reset-connection": "reset_before",
    "return-reset-connection-after-effect": "reset_after",
    "return-broken-stream": "truncate",
}


class RetryTests:
    """The registered scripts."""

    def __init__(self) -> None:
        self._tests: dict[str, dict[str, list[str]]] = {}
        self.methods = {
            "retry_test.insert": self.insert,
            "retry_test.list": self.list,
            "retry_test.get": self.get,
            "retry_test.delete": self.delete,
        }

    def __bool__(self) -> bool:
        return bool(self._tests)

    def draw(self, call: Call) -> Hit | None:
        """Use up the next instruction for a call, if it has any."""
        waiting = self._tests.get(call.headers.get(HEADER, ""), {}).get(call.method)
        if not waiting:
            return None
        instruction = waiting.pop(0)
        status = STATUS.fullmatch(instruction)
        if status:
            message = "The retry test asked for this."
            return Hit(refused=Refused(int(status[1]), "retryTest", message))
        return Hit(connection=CONNECTION[instruction])

    def insert(self, call: Call) -> Reply:
        """Register a script."""
        instructions = call.resource().get("instructions")
        if not isinstance(instructions, dict):
            raise invalid("instructions: a list of instructions for each method.")
        known = {method: [_checked(text) for text in script] for method, script in instructions.items()}
        identifier = uuid4().hex
        self._tests[identifier] = known
        return json_reply(call, self._resource(identifier))

    def list(self, call: Call) -> Reply:
        """All scripts."""
        return json_reply(call, {"retry_test": [self._resource(identifier) for identifier in self._tests]})

    def get(self, call: Call) -> Reply:
        """What is left of a script."""
        return json_reply(call, self._resource(call.args[0]))

    def delete(self, call: Call) -> Reply:
        """Forget a script."""
        if self._tests.pop(call.args[0], None) is None:
            raise not_found()
        return json_reply(call, {})

    def _resource(self, identifier: str) -> dict[str, Any]:
        if identifier not in self._tests:
            raise not_found()
        left = self._tests[identifier]
        return {"id": identifier, "instructions": left, "completed": not any(left.values())}


def _checked(instruction: object) -> str:
    if not isinstance(instruction, str) or not (instruction in CONNECTION or STATUS.fullmatch(instruction)):
        raise invalid(f"Unknown instruction: {instruction!r}")
    return instruction

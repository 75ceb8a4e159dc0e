"""The mirror function as a process of its own, served by the functions framework as the cloud serves it.

Apart from `story`, because the tests and the benchmark start it, too.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from local_gcs.waiting import HANGS, STILL, wait_until
from shared.migration import Migration

__all__ = ["FunctionProcess", "running_function"]

ROOT = Path(__file__).parent.parent


class FunctionProcess:
    """One instance of the function, always on the same port; it can be killed and started again.

    Each start appends its stdout and stderr to the log. `main` is the file that has the function.
    """

    def __init__(
        self,
        server_url: str,
        migration: Migration,
        log: Path,
        environ: Mapping[str, str],
        main: Path = ROOT / "main.py",
    ) -> None:
        self._log = log
        self._main = main
        self._port = _free_port()
        self._environ = {
            **os.environ,
            "STORAGE_EMULATOR_HOST": server_url,
            "MIRROR_SOURCE": migration.source.uri,
            "MIRROR_DESTINATION": migration.destination.uri,
            "MIRROR_EXCLUDE": "\n".join(migration.excludes),
            **environ,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}/"

    @property
    def pid(self) -> int:
        """Process id of the serving framework's parent; the worker is its child.

        Raises:
            RuntimeError: The function is not running.
        """
        if self._process is None:
            raise RuntimeError("the function is not running")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: The process ended before it answered; its log says why.
        """
        command = [sys.executable, "-m", "functions_framework"]
        command += ["--source", str(self._main), "--target", "mirror_object"]
        command += ["--signature-type", "cloudevent", "--port", str(self._port), "--host", "127.0.0.1"]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=self._environ, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
            )
        wait_until(self._answers, bool, f"the function's start; see {self._log}", still=HANGS)

    def kill(self) -> None:
        """Kill it and its worker at once (signal 9)."""
        self.stop(signal.SIGKILL)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to stop, as Cloud Run does, and wait until it has ended."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(self._process.pid, how)
            self._process.wait(STILL)
            self._process = None

    def lines(self) -> list[dict[str, Any]]:
        """Its structured log lines so far, without a line that a kill has torn."""
        # Not splitlines: a name may hold characters that it takes for line breaks.
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the function did not start; see {self._log}")
        try:
            build_opener(ProxyHandler({})).open(self.url, timeout=STILL).close()
        except HTTPError as error:
            error.close()
            return True  # it refuses a GET, because it wants events
        except OSError:
            pass
        return False


@contextmanager
def running_function(
    server_url: str,
    migration: Migration,
    log: Path,
    environ: Mapping[str, str] | None = None,
    *,
    main: Path = ROOT / "main.py",
) -> Iterator[FunctionProcess]:
    """Run the function for the length of a block; `FunctionProcess` explains the arguments."""
    function = FunctionProcess(server_url, migration, log, environ or {}, main)
    try:
        function.start()
        yield function
    finally:
        function.stop()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])

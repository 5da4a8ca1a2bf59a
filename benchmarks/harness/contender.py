"""Worker processes: one for each contender, alive for the whole session, stopped while others are measured."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

from .ending import SessionError
from .environment import BENCHMARKS


class WorkerError(SessionError):
    """One sentence of a worker: what it cannot do."""


class Worker:
    """Takes commands as JSON lines on standard input and answers each with one line."""

    def __init__(self, command: list[str], cores: list[int]) -> None:
        self._log = tempfile.TemporaryFile()
        # Libraries size their thread pools by the cores that a process may run on, when it starts.
        self._process = subprocess.Popen(
            command,
            cwd=BENCHMARKS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )

    def ask(self, command: str, timeout: float = 300, **parameters: object) -> dict:
        """:raises WorkerError: with the worker's own sentence, or because it ended or said nothing for so long."""
        line = json.dumps({"command": command, **parameters})
        self._signal(signal.SIGCONT)
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
            reply = json.loads(self._read_line(timeout))
        except (OSError, ValueError) as error:
            self._end()
            said = self._last_words()
            self.close()
            raise WorkerError(f"its worker ended: {error}{said}") from None
        finally:
            # Thread pools that spin between passes would take the next contender's cores.
            self._signal(signal.SIGSTOP)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def _read_line(self, timeout: float) -> bytes:
        end, line = time.monotonic() + timeout, b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(end - time.monotonic(), 0))
            if not ready:
                raise OSError(f"no answer for {timeout:.0f} s")
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise OSError("it closed its output")
            line += chunk
        return line

    def _last_words(self) -> str:
        """What it wrote last to standard error: of a library that is missing or fails, the reason."""
        if self._log.closed:  # It is asked once more, and has been quoted.
            return ""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"; its last words: {lines[-1]}" if lines else ""

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def close(self) -> None:
        self._end()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(OSError):  # Of a command that it did not take.
                stream.close()

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def our_worker(cores: list[int]) -> Worker:
    return Worker([str(BENCHMARKS / ".build" / "release" / "bench"), "worker"], cores)


def peer_worker(module: str, cores: list[int]) -> Worker:
    return Worker([sys.executable, "-B", "-m", "peers.worker", module], cores)

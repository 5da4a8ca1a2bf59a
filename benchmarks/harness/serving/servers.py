"""The servers that are measured: each a group of processes on a free port, stopped while another is measured."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..ending import SessionError
from ..environment import BENCHMARKS


class ServerError(SessionError):
    """One sentence: why a server cannot be measured."""


class Server:
    """A process and its children, which live and die together."""

    def __init__(self, name: str, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self.name, self.log, self.port = name, log, 0
        with open(log, "wb") as file:
            self._process = subprocess.Popen(
                command,
                cwd=BENCHMARKS,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
            )

    def wait_until(self, is_ready: Callable[[], bool], seconds: float = 60, pause: float = 0.005) -> None:
        """:raises ServerError: with the end of its log, where it ends or is not ready in time."""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end and self._process.poll() is None:
                if is_ready():
                    return
                time.sleep(pause)
        except BaseException:  # An interrupt above all: nobody else knows of it yet.
            self.kill()
            raise
        self.kill()
        lines = self.log.read_text(errors="replace").strip().splitlines()
        raise ServerError(f"{self.name} does not start: {lines[-1] if lines else 'it says nothing'}")

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Asks it to end, so that it removes what it has made; at last kills it."""
        self.resume()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def cpu_seconds(self) -> float:
        """Of every thread that lives, to the nanosecond where the kernel tells."""
        total = 0
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and os.getpgid(int(entry.name)) == self._process.pid:
                    for thread in (entry / "task").iterdir():
                        total += int((thread / "schedstat").read_text().split()[0])
            except OSError:
                pass  # It has just ended.
        return total * 1e-9

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass


class Exemplar(Server):
    """`exemplar serve` as it is by default."""

    def __init__(self, name: str, binary: Path, model: Path, log: Path) -> None:
        super().__init__(name, [str(binary), "serve", "--model", str(model), "--port", "0"], log)
        self.wait_until(self._is_listening)

    def _is_listening(self) -> bool:
        found = re.search(r"listening on .*:(\d+)", self.log.read_text(errors="replace"))
        self.port = int(found[1]) if found else 0
        return self.port > 0

    def call(self, method: str, **params: object) -> dict:
        """:raises ServerError: with the server's error."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            connection.sendall(json.dumps(message).encode() + b"\n")
            with connection.makefile("rb") as lines:
                reply = json.loads(lines.readline())
        if "error" in reply:
            raise ServerError(f"{self.name}: {reply['error']['message']}")
        return reply["result"]

    def embed(self, patches: np.ndarray) -> np.ndarray:
        """[count, features] of patches [count, height, width, channels]."""
        entries = [base64.b64encode(patch.tobytes()).decode() for patch in patches]
        rows = self.call("embed", patches=entries)["embeddings"]
        return np.stack([np.frombuffer(base64.b64decode(row), "<f4") for row in rows])


@dataclass(frozen=True)
class MosecSettings:
    """Worker processes, ONNX Runtime's threads in each, the largest batch, and milliseconds for it to fill."""

    workers: int
    threads: int
    batch: int
    wait: int

    def __str__(self) -> str:
        batch = f"batches of up to {self.batch}, {self.wait} ms wait" if self.batch > 1 else "no batching"
        return f"{self.workers} × {self.threads} threads, {batch}"


class Mosec(Server):
    """ONNX Runtime behind mosec: peers/mosec_service.py."""

    def __init__(self, name: str, network: Path, settings: MosecSettings, patch: np.ndarray, log: Path) -> None:
        self.settings, self._patch = settings, patch
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-B", "-m", "peers.mosec_service", "--port", str(port), "--address", "127.0.0.1"]
        # The default time-out, 3 s, would end requests that overload delays; its other defaults stay.
        command += ["--timeout", "30000", "--log-level", "error"]
        super().__init__(name, command, log, {"EXEMPLAR_PEER": json.dumps({"file": str(network), **asdict(settings)})})
        self.port = port
        self.wait_until(self._answers, pause=0.05)

    def _answers(self) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/")
            # Its front answers before its workers are there.
            return connection.getresponse().status == 200 and self._has_workers()
        except (OSError, http.client.HTTPException):
            return False

    def _has_workers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("POST", "/inference", body=self._patch.tobytes())
        return connection.getresponse().status == 200

    def embed(self, patches: np.ndarray) -> np.ndarray:
        """Asked at once, so that batches form."""
        connections = []
        for patch in patches:
            connections.append(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30))
            connections[-1].request("POST", "/inference", body=patch.tobytes())
        replies = [connection.getresponse() for connection in connections]
        if failed := [reply.status for reply in replies if reply.status != 200]:
            raise ServerError(f"{self.name}: status {failed[0]}")
        return np.stack([np.frombuffer(reply.read(), "<f4") for reply in replies])

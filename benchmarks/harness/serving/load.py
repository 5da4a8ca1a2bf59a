"""One measurement of one server, by the client that speaks its protocol, with what both took of the processor."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from . import http_load
from .servers import Exemplar, Mosec, Server, ServerError


class Loads:
    """The clients, with the patches that they send."""

    def __init__(self, binary: Path, patches: np.ndarray, notes: list[str]) -> None:
        """
        :param notes: gets a sentence where a closed loop had other replies than answers.
        """
        self.patches = patches
        self._binary, self._notes = binary, notes

    def measure(
        self,
        server: Server,
        seconds: float,
        connections: int,
        pipeline: int | None = None,
        patches: int = 1,
        rate: float | None = None,
        warm_up: float | None = None,
    ) -> dict:
        """A closed loop, or an open one of `rate` requests a second. Latencies in ms; `client` and `server` are the
        processor's seconds of each in a second."""
        warm_up = min(0.5, seconds / 4) if warm_up is None else warm_up
        start, used = time.perf_counter(), server.cpu_seconds()
        if isinstance(server, Mosec):
            depth = {} if rate is None else {"rate": rate}
            found = http_load.run(server.port, self.patches, connections, seconds, warm_up, **depth)
            client = found.pop("cpu_seconds")
        else:
            found, client = self._ours(server, seconds, warm_up, connections, pipeline, patches, rate)
        wall = time.perf_counter() - start
        kinds = ("overloaded", "other_errors", "unanswered", "lost_connections")
        failed = ", ".join(f"{found[kind]} {kind.replace('_', ' ')}" for kind in kinds if found.get(kind))
        if rate is None and failed:
            self._notes.append(f"{server.name}, {connections} connections in a closed loop: {failed}.")
        server_seconds = server.cpu_seconds() - used
        return found | {"client": client / wall, "server": server_seconds / wall, "server_seconds": server_seconds}

    @contextlib.contextmanager
    def running(self, server: Exemplar, connections: int) -> Iterator[None]:
        """A closed loop for as long as the context, whatever becomes of the server."""
        command = [str(self._binary), "load", "--port", str(server.port), "--connections", str(connections)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([*command, "--duration", "60"], **quiet)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def _ours(
        self,
        server: Server,
        seconds: float,
        warm_up: float,
        connections: int,
        pipeline: int | None,
        patches: int,
        rate: float | None,
    ) -> tuple[dict, float]:
        command = [str(self._binary), "load", "--port", str(server.port), "--json", "--duration", f"{seconds:g}"]
        command += ["--warm-up", f"{warm_up:g}", "--connections", str(connections), "--patches", str(patches)]
        command += ["--pipeline", str(pipeline)] if pipeline else []
        command += ["--rate", f"{rate:.1f}"] if rate else []
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            found = json.loads(done.stdout)
        except ValueError:
            raise ServerError(f"exemplar load: {done.stderr.strip() or 'no report'}") from None
        return found, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Stage:
    """Of several servers that live, one runs: a stopped one takes no core from it."""

    def __init__(self) -> None:
        self._servers: list[Server] = []

    def add(self, server: Server) -> Server:
        server.pause()
        self._servers.append(server)
        return server

    def only(self, server: Server) -> Server:
        for other in self._servers:
            if other is not server:
                other.pause()
        server.resume()
        return server

    def remove(self, server: Server) -> None:
        self._servers.remove(server)
        server.close()

    def kill(self, server: Server) -> None:
        self._servers.remove(server)
        server.kill()

    def close(self) -> None:
        while self._servers:
            self._servers.pop().close()


def connections_of(server: Exemplar, count: int) -> list[socket.socket]:
    """Open connections that have asked once and then rest."""
    idle = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        connection.sendall(b'{"jsonrpc":"2.0","id":1,"method":"live"}\n')
        if not connection.recv(4096):
            raise ServerError("the server takes no more connections")
        idle.append(connection)
    return idle

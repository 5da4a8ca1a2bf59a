"""Load for a server that takes one patch a POST: what `exemplar load` does, over HTTP with connections that are kept.

One thread, requests written beforehand, plain sockets: no HTTP library, whose cost would be the peer's.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import select
import socket
import struct
import time
from collections import Counter, deque

import numpy as np


PATIENCE = 30
"""Seconds to wait for what was sent in time; what is not answered then counts as unanswered."""


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = b""
        self.due = 0.0

    def fileno(self) -> int:
        return self.socket.fileno()

    def receive(self) -> int | None:
        """The status of a reply that is all there."""
        chunk = self.socket.recv(1 << 16)
        if not chunk:
            raise ConnectionError("the server closed a connection")
        self.input += chunk
        head = self.input.find(b"\r\n\r\n")
        if head < 0:
            return None
        fields = self.input[:head].lower()
        at = fields.index(b"content-length:") + 15
        if len(self.input) < head + 4 + int(fields[at:].split(b"\r\n", 1)[0]):
            return None
        self.input = b""
        return int(fields[9:12])


def run(
    port: int,
    patches: np.ndarray,
    connections: int,
    seconds: float,
    warm_up: float,
    rate: float | None = None,
) -> dict:
    """An open loop of `rate` requests a second, whose latencies count from the time each was due, or a closed loop.

    :returns: the members of `exemplar load --json` that the report uses, and `cpu_seconds` of this client.
    """
    head = b"POST /inference HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    requests = [head % len(body) + body for body in (patch.tobytes() for patch in patches)]
    idle = deque(_Connection(port) for _ in range(connections))
    everyone, busy = list(idle), set()
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    in_window = sent = 0
    is_collecting = gc.isenabled()
    gc.disable()  # Its pauses would be the peer's.
    cpu = time.process_time()
    start = time.perf_counter()
    counting, end = start + warm_up, start + warm_up + seconds
    due = None if rate is None else start + np.cumsum(_gaps(rate, warm_up + seconds))
    if due is not None:
        _request_slice(100_000)
    try:
        while True:
            now = time.perf_counter()
            while idle and now < end and (due is None or sent < len(due) and due[sent] <= now):
                connection = idle.popleft()
                connection.due = now if due is None else due[sent]
                connection.socket.sendall(requests[sent % len(requests)])
                busy.add(connection)
                sent += 1
                now = time.perf_counter()
            if now >= end and (not busy or now >= end + PATIENCE):
                break
            # Until the next is due, if a connection is there for it.
            until = end if now < end else end + PATIENCE
            if due is not None and idle and sent < len(due):
                until = min(until, due[sent])
            for connection in select.select(busy, (), (), max(0, until - now))[0]:
                status = connection.receive()
                if status is None:
                    continue
                now = time.perf_counter()
                busy.discard(connection)
                idle.append(connection)
                if counting <= now < end and status == 200:
                    in_window += 1
                if connection.due >= counting:
                    statuses[status] += 1
                    if status == 200:
                        latencies.append(now - connection.due)
    finally:
        if due is not None:
            _request_slice(0)
        if is_collecting:
            gc.enable()
        for connection in everyone:
            connection.socket.close()
    succeeded = statuses.pop(200, 0)
    quantiles = np.quantile(latencies, (0.5, 0.99), method="higher") * 1e3 if latencies else (None, None)
    return {
        "ok": succeeded,
        "overloaded": statuses.pop(429, 0),
        "other_errors": sum(statuses.values()),
        "unanswered": len(busy),
        "unsent": 0 if due is None else len(due) - sent,
        "patches_per_second": in_window / seconds,
        "latency_ms": {"p50": quantiles[0], "p99": quantiles[1]},
        "cpu_seconds": time.process_time() - cpu,
    }


def _request_slice(nanoseconds: int) -> None:
    """As `exemplar load` does in an open loop: a thread that needs little at a time is run sooner, so that the server's
    on the same cores do not hold up what is due. 0 is the usual slice again. Where the kernel knows of no such thing
    nothing changes."""
    number = {"x86_64": 314, "aarch64": 274}.get(platform.machine())
    if number is not None:
        # struct sched_attr: of SCHED_OTHER, SCHED_FLAG_RESET_ON_FORK, the nice value, and the slice as its run time.
        attributes = struct.pack("=IIQiIQQQ", 48, 0, 1, os.getpriority(os.PRIO_PROCESS, 0), 0, nanoseconds, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)


def _gaps(rate: float, seconds: float) -> np.ndarray:
    """Exponential ones, the same each time."""
    count = int(rate * seconds * 1.5) + 100
    gaps = np.random.default_rng(0).exponential(1 / rate, count)
    return gaps[: int(np.searchsorted(np.cumsum(gaps), seconds))]

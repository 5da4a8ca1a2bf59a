"""Lines over a socket, both ways at once."""

from __future__ import annotations

import selectors
import socket
from collections import deque

from ._errors import ConnectionFailed


class LineConnection:
    """A socket that carries lines. While it waits for one it goes on sending, so that no amount of queued requests can
    bring both sides to a standstill, each waiting for the other to read."""

    def __init__(self, host: str, port: int, unix: str | None, timeout: float | None):
        self.name = unix if unix is not None else f"{host}:{port}"
        self._timeout = timeout
        self._outgoing: deque[memoryview] = deque()
        self._incoming = bytearray()
        self._searched = 0
        self._is_closed = False
        try:
            if unix is not None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._socket.settimeout(timeout)
                self._socket.connect(unix)
            else:
                self._socket = socket.create_connection((host, port), timeout)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            self._abandon()
            raise ConnectionFailed(
                f"There is no server at {self.name}: start one with `exemplar serve`, or give the address of one that "
                "runs."
            ) from error
        except TimeoutError:
            self._abandon()
            raise TimeoutError(f"The server at {self.name} did not answer within {timeout} s.") from None
        except OSError as error:
            self._abandon()
            raise ConnectionFailed(f"The server at {self.name} cannot be reached: {error}.") from error
        self._socket.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def _abandon(self) -> None:
        if hasattr(self, "_socket"):
            self._socket.close()

    def close(self) -> None:
        """Closes the connection; a second time does nothing."""
        self._is_closed = True
        self._selector.close()
        self._socket.close()

    def send(self, line: bytes) -> None:
        """Queues ``line``, which ends in a line feed; `receive` sends what the socket does not take now."""
        if self._is_closed:
            raise ConnectionFailed(f"This client of {self.name} is closed: make another.")
        self._outgoing.append(memoryview(line))
        try:
            self._flush()
        except ConnectionFailed:
            # The server may have said why before it closed: `receive` reads that first.
            self._outgoing.clear()

    def receive(self) -> bytes:
        """The next line, without its line feed. Raises TimeoutError when nothing moves for the timeout."""
        while True:
            end = self._incoming.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._incoming[:end])
                del self._incoming[: end + 1]
                self._searched = 0
                return line
            self._searched = len(self._incoming)
            self._move()

    def _move(self) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        self._selector.modify(self._socket, events)
        ready = self._selector.select(self._timeout)
        if not ready:
            raise TimeoutError(f"The server at {self.name} did not answer within {self._timeout} s.")
        for _, event in ready:
            if event & selectors.EVENT_READ:
                self._fill()
            elif event & selectors.EVENT_WRITE:
                self._flush()

    def _fill(self) -> None:
        try:
            chunk = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            raise ConnectionFailed(f"The connection to {self.name} ended before the reply: {error}.") from error
        if not chunk:
            raise ConnectionFailed(f"The connection to {self.name} ended before the reply: the server closed it.")
        self._incoming += chunk

    def _flush(self) -> None:
        while self._outgoing:
            try:
                sent = self._socket.send(self._outgoing[0])
            except BlockingIOError:
                return
            except OSError as error:
                raise ConnectionFailed(f"The connection to {self.name} ended before the reply: {error}.") from error
            if sent == len(self._outgoing[0]):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = self._outgoing[0][sent:]

"""What can go wrong: the server's own errors, and those of the way there."""

from __future__ import annotations

from typing import Any


class ExemplarError(Exception):
    """An error that the server answered with.

    ``code`` is the number documented in the protocol, ``message`` a sentence that says what to do, and ``data`` a dict
    with details (``param`` of a bad parameter, ``retry_after_ms`` of an overload), empty where there are none.
    """

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None):
        super().__init__(f"{message} (error {code})")
        self.code = code
        self.message = message
        self.data = data or {}

    def __reduce__(self):
        return type(self), (self.code, self.message, self.data)


class UnaddressedError(ExemplarError):
    """One that answers no request that the server could tell: it speaks of the connection, or of a line that it did not
    read."""


class ConnectionFailed(ConnectionError):
    """There is no server at the address, or the connection to it ended before the reply."""


class ProtocolError(RuntimeError):
    """What answered does not speak this protocol."""


class ModelChanged(RuntimeError):
    """The parts of one input were answered by different models: the server has other ones since. Ask again."""

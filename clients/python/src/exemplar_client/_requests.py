"""Requests out, replies in, matched by id; a large input as several requests, some ahead of the replies."""

from __future__ import annotations

import math
import time
from typing import Any

from . import _messages
from ._connection import LineConnection
from ._errors import ExemplarError, UnaddressedError
from ._inputs import Inputs

OVERLOADED = -32000
"""The server's code for a full queue: what it refuses may be sent again."""

INVALID_PARAMS = -32602
"""JSON-RPC's code for a parameter that is not what it must be; the server says which."""

LINE_TOO_LONG = -32007
"""The server's code for a line beyond its limit: it has read none of it, and so answers without an id."""

IN_FLIGHT = 4
"""Parts of one input that are under way at once."""


class Requests:
    """What is asked over one connection."""

    def __init__(self, connection: LineConnection, timeout: float | None, max_line_bytes: int):
        """
        :param timeout: how long a full server is asked again, in seconds; None for ever.
        :param max_line_bytes: of one request.
        """
        self.timeout = timeout
        self._connection = connection
        self._max_line_bytes = max_line_bytes
        self._next_id = 1
        self._awaited: set[int] = set()
        self._replies: dict[int, dict] = {}
        # Replies still to come for which nobody waits.
        self._unwanted = 0

    def send(self, method: str, params: dict[str, Any]) -> int:
        """Asks, and returns the id by which `receive` knows the reply."""
        request = self._next_id
        line = _messages.line({"jsonrpc": "2.0", "id": request, "method": method, "params": params})
        self._next_id += 1
        self._connection.send(line)
        self._awaited.add(request)
        return request

    def receive(self, request: int) -> Any:
        """The result of a request that was sent.

        :raises ExemplarError: the server answered with an error.
        """
        try:
            while request not in self._replies:
                self._take(self._connection.receive())
        finally:
            self._awaited.discard(request)
        reply = self._replies.pop(request)
        if "error" in reply:
            raise _messages.error(reply["error"])
        return reply["result"]

    def ask(self, method: str, inputs: Inputs, options: dict[str, Any], most: int) -> tuple[list[Any], list[int]]:
        """The results of the requests that ``inputs`` take, at most ``most`` entries each, and their entries."""
        options = {**inputs.options, **options}
        waiting = inputs.parts(max(1, most), self._max_line_bytes - 256 - len(_messages.line(options)))[::-1]
        results: dict[range, Any] = {}
        in_flight: list[tuple[int, range]] = []
        patience = options.get("deadline_ms", math.inf) / 1000
        if self.timeout is not None:
            patience = min(patience, self.timeout)
        progress = time.monotonic()
        try:
            while waiting or in_flight:
                while waiting and len(in_flight) < IN_FLIGHT:
                    part = waiting.pop()
                    request = self.send(method, {inputs.parameter: inputs.texts(part), **options})
                    in_flight.append((request, part))
                request, part = in_flight.pop(0)
                try:
                    results[part] = self.receive(request)
                    progress = time.monotonic()
                except UnaddressedError:
                    raise
                except ExemplarError as error:
                    if error.code == OVERLOADED and time.monotonic() - progress <= patience:
                        waiting.append(part)
                        time.sleep(min(max(error.data.get("retry_after_ms", 10), 1) / 1000, 1.0))
                    elif _is_too_much(error, inputs) and len(part) > 1:
                        middle = (part.start + part.stop) // 2
                        waiting += [range(middle, part.stop), range(part.start, middle)]
                    else:
                        raise _among_all(error, part) from None
        finally:
            # After an error the replies still to come are of no use to anyone.
            for request, _ in in_flight:
                self._awaited.discard(request)
                self._unwanted += self._replies.pop(request, None) is None
        ordered = sorted(results, key=lambda part: part.start)
        return [results[part] for part in ordered], [len(part) for part in ordered]

    def _take(self, line: bytes) -> None:
        reply = _messages.reply(line, self._connection.name)
        request = reply.get("id")
        if request is None and "error" in reply:
            # The server speaks of the connection, as one too many, or of a line that was too long to have an id.
            error = _messages.error(reply["error"], UnaddressedError)
            if self._unwanted and isinstance(error, ExemplarError) and error.code == LINE_TOO_LONG:
                self._unwanted -= 1
                return
            raise error
        if isinstance(request, int) and request in self._awaited:
            self._replies[request] = reply
        elif self._unwanted:
            self._unwanted -= 1


def _is_too_much(error: ExemplarError, inputs: Inputs) -> bool:
    """Whether fewer entries might do: what images are the server knows, who has read their headers."""
    return error.code == INVALID_PARAMS and error.data.get("param") == inputs.parameter


def _among_all(error: ExemplarError, part: range) -> ExemplarError:
    """An error of an entry of one request, by its place among all."""
    index = error.data.get("index")
    if not isinstance(index, int) or part.start == 0:
        return error
    index += part.start
    return ExemplarError(error.code, f"{error.message} It is entry {index} of all.", {**error.data, "index": index})

"""The client: requests out, replies in, matched by id."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._connection import LineConnection
from ._errors import ExemplarError, ProtocolError

OVERLOADED = -32000
"""The server's code for a full queue."""


class Client:
    """A connection to a server, for one thread at a time.

    Args:
        host: name or number of the server.
        port: its port.
        unix: path of its Unix domain socket, in place of host and port.
        timeout: seconds to wait while nothing moves, or None to wait for ever.
        max_line_bytes: the server's limit for a line, above which `embed` splits its input.

    Raises:
        ConnectionFailed: there is no server there.
        TimeoutError: it did not answer in time.
    """

    #: Patches in one request, and requests in flight: together well below the server's queue.
    _patches_per_request, _requests_in_flight = 256, 4

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 7350,
        unix: str | None = None,
        timeout: float | None = 30.0,
        max_line_bytes: int = 4 << 20,
    ):
        self._timeout = timeout
        self._max_line_bytes = max_line_bytes
        self._next_id = 1
        self._awaited: set[int] = set()
        self._replies: dict[int, dict] = {}
        self._connection = LineConnection(host, port, unix, timeout)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; a second time does nothing."""
        self._connection.close()

    def call(self, method: str, **params: Any) -> Any:
        """Asks for ``method`` with the given parameters and returns its result.

        Raises:
            ExemplarError: the server answered with an error.
        """
        return self._receive(self._send(method, params))

    def embed(
        self,
        patches: np.ndarray,
        layers: Sequence[str] | str | None = None,
        model: str | None = None,
        normalize: str | None = None,
        deadline_ms: float | None = None,
    ) -> np.ndarray:
        """Embeds patches.

        Args:
            patches: [n, H, W, C], or [H, W, C] for one; uint8 pixels, or floats in [0, 1] that stand for 255 times as
                much. H, W and C are those of the model.
            layers: names of layers to concatenate, or "all"; the model's embedding layer when None.
            model: which of the server's models; its default when None.
            normalize: "l2" for vectors of length one.
            deadline_ms: give up on a request that would be answered later than this.

        Returns:
            float32 [n, d].

        Inputs beyond one request are sent as several. Where the server's queue is full, those it refused are sent
        again after the time it names, for as long as others go through or the client's timeout has not passed.
        """
        array, dtype = _pixels(patches)
        options: dict[str, Any] = {"dtype": dtype} if dtype != "u8" else {}
        if isinstance(layers, str) and layers != "all":
            layers = [layers]
        given = {"layers": layers, "model": model, "normalize": normalize, "deadline_ms": deadline_ms}
        options.update({name: value for name, value in given.items() if value is not None})

        patch_characters = -(-array[0].nbytes // 3) * 4 + 3
        step = max(1, min(self._patches_per_request, (self._max_line_bytes - 4096) // patch_characters))
        parts = [array[start : start + step] for start in range(0, len(array), step)]
        return np.concatenate(self._embed_parts(parts, options))

    def _embed_parts(self, parts: list[np.ndarray], options: dict[str, Any]) -> list[np.ndarray]:
        results: list[np.ndarray | None] = [None] * len(parts)
        waiting = list(range(len(parts)))[::-1]
        in_flight: list[tuple[int, int]] = []
        progress = time.monotonic()
        try:
            while waiting or in_flight:
                while waiting and len(in_flight) < self._requests_in_flight:
                    index = waiting.pop()
                    texts = [base64.b64encode(patch).decode("ascii") for patch in parts[index]]
                    in_flight.append((self._send("embed", {"patches": texts, **options}), index))
                request, index = in_flight.pop(0)
                try:
                    results[index] = _embeddings(self._receive(request), len(parts[index]))
                    progress = time.monotonic()
                except ExemplarError as error:
                    patience = float("inf") if self._timeout is None else self._timeout
                    if error.code != OVERLOADED or len(parts) == 1 or time.monotonic() - progress > patience:
                        raise
                    waiting.append(index)
                    time.sleep(min(max(error.data.get("retry_after_ms", 10), 1) / 1000, 1.0))
        finally:
            # After an error the replies still to come are of no use to anyone.
            self._awaited.difference_update(request for request, _ in in_flight)
            for request, _ in in_flight:
                self._replies.pop(request, None)
        return results  # type: ignore[return-value]

    def model(self, name: str | None = None) -> dict[str, Any]:
        """What a model is; the server's default model when ``name`` is None."""
        return self.call("model", **({"model": name} if name is not None else {}))

    def models(self) -> dict[str, Any]:
        """What every loaded model is, and which is the default."""
        return self.call("models")

    def ready(self) -> dict[str, Any]:
        """Returns when the server can take work, and raises `ExemplarError` when it cannot."""
        return self.call("ready")

    def live(self) -> dict[str, Any]:
        """Returns when the server runs."""
        return self.call("live")

    def stats(self) -> dict[str, Any]:
        """The server's counters and latencies."""
        return self.call("stats")

    def _send(self, method: str, params: dict[str, Any]) -> int:
        request = self._next_id
        message = {"jsonrpc": "2.0", "id": request, "method": method, "params": params}
        line = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("utf-8") + b"\n"
        self._next_id += 1
        self._awaited.add(request)
        self._connection.send(line)
        return request

    def _receive(self, request: int) -> Any:
        try:
            while request not in self._replies:
                self._take(self._connection.receive())
        finally:
            self._awaited.discard(request)
        reply = self._replies.pop(request)
        if "error" in reply:
            raise _error(reply["error"])
        return reply["result"]

    def _take(self, line: bytes) -> None:
        try:
            reply = json.loads(line)
        except ValueError as error:
            raise ProtocolError(f"{self._connection.name} sent a line that is not JSON.") from error
        if not isinstance(reply, dict) or ("result" in reply) == ("error" in reply):
            raise ProtocolError(f"{self._connection.name} sent a line that is no reply of JSON-RPC 2.0.")
        request = reply.get("id")
        if request is None and "error" in reply:
            # The server speaks of the connection: too many of them, or a line too long to have an id.
            raise _error(reply["error"])
        if isinstance(request, int) and request in self._awaited:
            self._replies[request] = reply


def _pixels(patches: np.ndarray) -> tuple[np.ndarray, str]:
    """The patches as contiguous [n, H, W, C] and the name of their element type on the wire."""
    array = np.asarray(patches)
    if array.ndim == 3:
        array = array[np.newaxis]
    if array.ndim != 4 or array.size == 0:
        raise ValueError(f"patches must be [n, H, W, C] or [H, W, C] and not empty, not of shape {np.shape(patches)}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array), "u8"
    if array.dtype.kind == "f":
        return np.ascontiguousarray(array, dtype="<f4"), "f32"
    raise TypeError(f"patches must be uint8, or floats in [0, 1], not {array.dtype}")


def _embeddings(result: Any, count: int) -> np.ndarray:
    """The vectors of a result of `embed`: float32 [count, d]."""
    try:
        rows = [np.frombuffer(base64.b64decode(row, validate=True), dtype="<f4") for row in result["embeddings"]]
        vectors = np.stack(rows).astype(np.float32, copy=False)
        if vectors.shape != (count, result["dim"]):
            raise ValueError("wrong shape")
        return vectors
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError("The server's result of `embed` is not the documented one.") from error


def _error(error: Any) -> Exception:
    try:
        return ExemplarError(int(error["code"]), str(error["message"]), error.get("data"))
    except (KeyError, TypeError, ValueError, AttributeError):
        return ProtocolError("The server sent an error that is not the documented one.")

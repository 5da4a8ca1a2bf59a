"""A server of the protocol in a thread: enough of it to test a client against, and to misbehave on request."""

from __future__ import annotations

import base64
import json
import socket
import threading

import numpy as np

PATCH_SHAPE = (4, 4, 3)
DIMENSION = 5


def embedding(patch: bytes, dtype: str = "u8") -> np.ndarray:
    """A made-up embedding that depends on every pixel: moments of the pixels in 0 ... 255."""
    pixels = np.frombuffer(patch, dtype=np.uint8 if dtype == "u8" else "<f4").astype(np.float64)
    pixels = pixels if dtype == "u8" else pixels * 255
    weights = np.arange(1, pixels.size + 1)
    return np.array([np.sum(pixels * weights**power) for power in np.linspace(-1, 1, DIMENSION)], dtype=np.float32)


class FakeServer:
    """Listens on a free port, or on ``unix``, and answers each connection in a thread of its own.

    ``answer(request, server)`` returns a reply object, a list of them, raw bytes, or None for no reply; replies are held
    back and sent in reverse order while ``hold`` requests have not yet come.
    """

    def __init__(self, answer=None, hold: int = 1, greeting: bytes = b"", close_after: int | None = None, unix=None):
        self.requests: list[dict] = []
        self.line_lengths: list[int] = []
        self._answer = answer or standard_answer
        self._hold = hold
        self._greeting = greeting
        self._close_after = close_after
        if unix is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
        else:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(unix)
            self._listener.listen()
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> "FakeServer":
        return self

    def __exit__(self, *_) -> None:
        for each in [self._listener, *self._connections]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()
        for thread in self._threads:
            thread.join(timeout=10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        held: list[bytes] = []
        try:
            connection.sendall(self._greeting)
            for count, line in enumerate(connection.makefile("rb"), start=1):
                self.line_lengths.append(len(line))
                request = json.loads(line)
                self.requests.append(request)
                reply = self._answer(request, self)
                if reply is not None:
                    held.append(reply if isinstance(reply, bytes) else json.dumps(reply).encode() + b"\n")
                if len(held) >= self._hold:
                    connection.sendall(b"".join(reversed(held)))
                    held = []
                if count == self._close_after:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
        except OSError:
            return


def result(request: dict, value) -> dict:
    return {"jsonrpc": "2.0", "id": request["id"], "result": value}


def failure(request: dict | None, code: int, message: str, **data) -> dict:
    error = {"code": code, "message": message, **({"data": data} if data else {})}
    return {"jsonrpc": "2.0", "id": request["id"] if request else None, "error": error}


def standard_answer(request: dict, server: FakeServer):
    params = request.get("params", {})
    method = request["method"]
    if method == "embed":
        dtype = params.get("dtype", "u8")
        size = int(np.prod(PATCH_SHAPE)) * (1 if dtype == "u8" else 4)
        patches = [base64.b64decode(text, validate=True) for text in params["patches"]]
        if any(len(patch) != size for patch in patches):
            return failure(request, -32602, f"`patches` must hold {size} bytes each.", param="patches")
        rows = [base64.b64encode(embedding(patch, dtype).astype("<f4").tobytes()).decode() for patch in patches]
        layers = params.get("layers", ["conv3"])
        value = {"model": "fake", "layers": layers, "dim": DIMENSION, "encoding": "base64", "embeddings": rows}
        return result(request, value)
    if method == "model":
        return result(request, {"name": params.get("model", "fake"), "dim": DIMENSION, "patch_shape": PATCH_SHAPE})
    if method == "models":
        return result(request, {"models": [{"name": "fake"}], "default": "fake"})
    if method in ("ready", "live"):
        return result(request, {"status": "ok"})
    if method == "stats":
        return result(request, {"requests": len(server.requests)})
    return failure(request, -32601, "There is no method of that name.")

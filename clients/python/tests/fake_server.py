"""A server of the protocol in a thread: enough of it to test a client against, and to misbehave on request."""

from __future__ import annotations

import base64
import json
import socket
import threading

import numpy as np

PATCH_SHAPE = (4, 4, 3)
DIMENSION = 5
LABEL_BYTES = 40
SEED = 20


def patches(count: int, shape=PATCH_SHAPE) -> np.ndarray:
    """Noise, uint8 [count, *shape]."""
    return np.random.default_rng(SEED).integers(0, 256, (count, *shape), dtype=np.uint8)


def embedding(patch: bytes, dtype: str = "u8") -> np.ndarray:
    """A made-up embedding that depends on every pixel: moments of the pixels in 0 ... 255."""
    pixels = np.frombuffer(patch, dtype=np.uint8 if dtype == "u8" else "<f4").astype(np.float64)
    pixels = pixels if dtype == "u8" else pixels * 255
    weights = np.arange(1, pixels.size + 1)
    return np.array([np.sum(pixels * weights**power) for power in np.linspace(-1, 1, DIMENSION)], dtype=np.float32)


def expected(array: np.ndarray, growth=1.0) -> np.ndarray:
    """The embeddings of patches, grown by a transformation."""
    return np.stack([embedding(patch.tobytes()) for patch in array]) * np.float32(growth)


class FakeServer:
    """Listens on a free port, or on ``unix``, and answers each connection in a thread of its own.

    ``answer(request, server)`` returns a reply object, a list of them, raw bytes, or None for no reply; replies are
    held back and sent in reverse order while ``hold`` requests have not yet come, but for that of `model`.
    """

    def __init__(
        self, answer=None, hold: int = 1, greeting: bytes = b"", close_after: int | None = None, unix=None, token=None
    ):
        self.requests: list[dict] = []
        self.line_lengths: list[int] = []
        self._answer = answer or standard_answer
        self._hold = hold
        self._greeting = greeting
        self._close_after = close_after
        self._token = token
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
        is_open = self._token is None
        try:
            connection.sendall(self._greeting)
            for count, line in enumerate(connection.makefile("rb"), start=1):
                self.line_lengths.append(len(line))
                request = json.loads(line)
                self.requests.append(request)
                if request["method"] == "auth" and self._token is not None:
                    is_open = request["params"] == {"token": self._token}
                    reply = result(request, {"status": "ok"}) if is_open else failure(request, -32002, "Wrong token.")
                elif is_open or request["method"] in ("live", "ready"):
                    reply = self._answer(request, self)
                else:
                    reply = failure(request, -32002, "Send the token first.")
                if reply is not None:
                    held.append(reply if isinstance(reply, bytes) else json.dumps(reply).encode() + b"\n")
                if len(held) >= self._hold or request["method"] == "model":
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


def draw(seed: int, index: int) -> dict:
    """Made-up transformation parameters that depend on the seed and the draw's number alone."""
    return {"hue": (seed * 31 + index * 7) % 101 / 101}


def refused(request: dict) -> dict | None:
    """What is wrong with the entries of a request, as the protocol has it."""
    params = request["params"]
    allowed = {
        "embed": {"images", "layers", "pool", "normalize", "encoding"},
        "classify": {"images", "top"},
        "transform": set(),
    }[request["method"]] | {"patches", "dtype", "shape", "model", "transform", "deadline_ms"}
    for name in params:
        if name not in allowed:
            return failure(request, -32602, f"There is no parameter {name}.", param=name)
    if "images" in params:
        return None
    height, width, channels = params.get("shape", PATCH_SHAPE)
    if height < PATCH_SHAPE[0] or width < PATCH_SHAPE[1] or channels != PATCH_SHAPE[2]:
        return failure(request, -32602, "`shape` must be at least 4×4 with 3 channels.", param="shape")
    if (height, width) != PATCH_SHAPE[:2] and "transform" not in params and params.get("pool", "none") == "none":
        return failure(request, -32602, "Patches larger than 4×4 need a `pool`.", param="pool")
    size = height * width * channels * (1 if params.get("dtype", "u8") == "u8" else 4)
    if any(len(base64.b64decode(text, validate=True)) != size for text in params["patches"]):
        return failure(request, -32602, f"`patches` must hold {size} bytes each.", param="patches")
    return None


def vectors(request: dict) -> tuple[np.ndarray, list[dict]]:
    """[n, K, DIMENSION], one for each transformation: the embedding, grown by the transformation's hue; and those."""
    params = request["params"]
    dtype = params.get("dtype", "u8")
    plain = np.stack([
        embedding(base64.b64decode(text, validate=True), dtype) for text in params.get("patches", params.get("images"))
    ])
    transform = params.get("transform")
    if transform is None:
        return plain[:, np.newaxis], [{"hue": 0}]
    if "parameters" in transform:
        parameters = transform["parameters"]
    else:
        mean = transform["mode"] == "mean"
        indices = range(transform["samples"]) if mean else [transform["index"]]
        parameters = [draw(transform["seed"], k) for k in indices]
    growth = np.array([1 + each["hue"] for each in parameters], np.float32)
    return plain[:, np.newaxis] * growth[:, np.newaxis], parameters


def text_of(array: np.ndarray) -> str:
    return base64.b64encode(array.astype("<f4").tobytes()).decode()


def work(request: dict) -> dict:
    params = request["params"]
    transform = params.get("transform")
    samples, parameters = vectors(request)
    mean, count = samples.mean(axis=1), samples.shape[1]
    if request["method"] == "embed":
        layers = params.get("layers", ["conv3"])
        value = {"model": params.get("model", "fake"), "layers": ["conv1", "conv3"] if layers == "all" else layers}
        value |= {"dim": DIMENSION, "encoding": "base64", "embeddings": [text_of(row) for row in mean]}
        if transform is not None:
            errors = samples.std(axis=1, ddof=1) / count**0.5 if count > 1 else np.zeros_like(mean)
            overall = [None if count == 1 else float(np.sqrt(np.mean(row**2))) for row in errors]
            value["transform"] = {
                "mode": transform.get("mode"), "samples": [count] * len(mean), "standard_error": overall}
            if "seed" in transform:
                value["transform"]["seed"] = transform["seed"]
            if transform.get("standard_errors"):
                value["transform"]["standard_errors"] = [None if count == 1 else text_of(row) for row in errors]
        return value
    if request["method"] == "classify":
        classes = []
        for row in mean.astype(float):
            logarithms = row - row.max() - np.log(np.exp(row - row.max()).sum())
            classes.append([
                {"index": int(index), "probability": float(np.exp(logarithms[index])),
                 "log_probability": float(logarithms[index]), **({"label": "first"} if index == 0 else {})}
                for index in np.argsort(-logarithms)[: params.get("top", 5)]
            ])
        return {"model": "fake", "classes": classes}
    shape = params.get("shape", PATCH_SHAPE)
    top, left = (shape[0] - PATCH_SHAPE[0]) // 2, (shape[1] - PATCH_SHAPE[1]) // 2
    rows = []
    for text in params["patches"]:
        patch = np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)
        centre = patch[top : top + PATCH_SHAPE[0], left : left + PATCH_SHAPE[1]]
        moved = [(centre + round(each["hue"] * 101)).astype(np.uint8) for each in parameters]
        rows.append([base64.b64encode(each.tobytes()).decode() for each in moved])
    return {"patches": rows, "parameters": parameters}


def standard_answer(request: dict, server: FakeServer):
    params = request.get("params", {})
    method = request["method"]
    if method in ("embed", "classify", "transform"):
        return refused(request) or result(request, work(request))
    if method == "model":
        layers = [{"name": "conv1", "type": "convolution", "shape": [8, 4, 4]}, {"name": "conv3", "type": "convolution",
                  "shape": [DIMENSION, 1, 1]}]
        model = {"name": params.get("model", "fake"), "dim": DIMENSION, "patch_shape": PATCH_SHAPE, "layers": layers,
                 "embedding": "conv3", "exemplars": DIMENSION, "label_bytes": LABEL_BYTES}
        return result(request, model)
    if method == "models":
        return result(request, {"models": [{"name": "fake"}], "default": "fake"})
    if method in ("ready", "live"):
        return result(request, {"status": "ok"})
    if method == "stats":
        return result(request, {"requests": len(server.requests)})
    return failure(request, -32601, "There is no method of that name.")

"""The client: requests out, replies in, matched by id."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _inputs, _limits, _messages, _results
from ._connection import LineConnection
from ._errors import ExemplarError, UnaddressedError
from ._results import Class, Embeddings, Transformed
from ._transformations import passes, specification

OVERLOADED = -32000
"""The server's code for a full queue."""

BAD_PARAMETER, LINE_TOO_LONG = -32602, -32007


class Client:
    """A connection to a server, for one thread at a time.

    Args:
        host: name or number of the server.
        port: its port.
        unix: path of its Unix domain socket, in place of host and port.
        timeout: seconds to wait while nothing moves, or None to wait for ever.
        max_line_bytes: the server's limit for a line, above which an input is sent as several requests.
        token: what the server asks for before it answers, if it does.
        max_reply_bytes: the server's limit for a reply, with the same effect.

    Raises:
        ConnectionFailed: there is no server there.
        TimeoutError: it did not answer in time.
        ExemplarError: it refused the token.

    Inputs of any size may be given to `embed`, `embed_with_info`, `classify` and `transform`: what does not fit a
    request is sent as several, some of them ahead of the replies. A request that the server refuses because its queue
    is full (−32000) is sent again after the time that the server names, one second at most, until none has been
    answered for ``timeout`` seconds, or ``deadline_ms`` where that is less; then the refusal is raised. `call` sends
    nothing twice.
    """

    #: Forward passes in one request, and requests in flight: together well below the server's queue.
    _passes_per_request, _requests_in_flight = 256, 4

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 7350,
        unix: str | None = None,
        timeout: float | None = 30.0,
        max_line_bytes: int = 4 << 20,
        token: str | None = None,
        max_reply_bytes: int = 64 << 20,
    ):
        self._timeout = timeout
        self._max_line_bytes = max_line_bytes
        self._max_reply_bytes = max_reply_bytes
        self._next_id = 1
        self._awaited: set[int] = set()
        self._replies: dict[int, dict] = {}
        #: Replies still to come for which nobody waits.
        self._unwanted = 0
        self._models: dict[str | None, dict[str, Any]] = {}
        self._connection = LineConnection(host, port, unix, timeout)
        if token is not None:
            try:
                self.auth(token)
            except BaseException:
                self.close()
                raise

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
        patches: Any,
        layers: Sequence[str] | str | None = None,
        model: str | None = None,
        normalize: str | None = "none",
        deadline_ms: float | None = None,
        *,
        pool: str | None = "none",
        average: int | None = None,
        sample: int | None = None,
        parameters: Sequence[dict] | None = None,
        seed: int | None = None,
        tolerance: float | None = None,
        steps: Sequence[str] | None = None,
        border: str | None = None,
        images: bool = False,
    ) -> np.ndarray:
        """Embeds patches: g(x), or with ``average``, ``sample`` or ``parameters`` the embedding of transformed patches.

        Args:
            patches: [n, H, W, C], or [H, W, C] for one; uint8 pixels, or floats in [0, 1] that stand for 255 times as
                much. H, W and C are those of the model. H and W may be larger: with a transformation the patch is the
                centre and the rest its surroundings; without one the network runs over the whole, and ``pool`` must
                not be "none". With ``images``: PNG, JPEG or WebP files, as bytes or paths, one or a list.
            layers: names of layers to concatenate, or "all"; the model's embedding layer when None.
            model: which of the server's models; its default when None.
            normalize: "l2" for vectors of length one.
            deadline_ms: give up on a request that would be answered later than this.
            pool: "quadrant" (four maxima a channel, scaled by layer), "max" or "mean" of each channel's map.
            average: K for ĝ_K(x), the mean over K draws of g(T_α x).
            sample: k for g(T_α x) with draw number k alone.
            parameters: the mean over these transformations, in the form that `transform` returns.
            seed: of the draws, 0 … 2⁵³ − 1; drawn when None. `embed_with_info` tells which. The embedding of a patch
                depends on the patch, the seed and the options alone.
            tolerance: stop averaging at this relative standard error, checked every 8 draws.
            steps: which of "translation", "scale", "rotation", "contrast", "color", "hue" to apply; all when None.
            border: "reflect", "replicate" or "zero": what lies beyond the pixels at hand.
            images: ``patches`` are encoded images.

        Returns:
            float32 [n, D].

        Raises:
            ExemplarError: the server refused the request.
            ValueError, TypeError: the array has another shape or type, or arguments contradict each other.
        """
        return self.embed_with_info(
            patches, layers, model, normalize, deadline_ms, pool=pool, average=average, sample=sample,
            parameters=parameters, seed=seed, tolerance=tolerance, steps=steps, border=border, images=images,
        ).embeddings

    def embed_with_info(
        self,
        patches: Any,
        layers: Sequence[str] | str | None = None,
        model: str | None = None,
        normalize: str | None = "none",
        deadline_ms: float | None = None,
        *,
        pool: str | None = "none",
        images: bool = False,
        **transformation: Any,
    ) -> Embeddings:
        """As `embed`, with the layers, the seed, the number of draws and the standard error of each embedding.

        ``transformation`` are the arguments of `embed` from ``average`` to ``border``, and ``standard_errors=True`` for
        those of each dimension.
        """
        transform = specification(**transformation)
        if isinstance(layers, str) and layers != "all":
            layers = [layers]
        options = _given(
            layers=layers, model=model, normalize=_unless_none(normalize), pool=_unless_none(pool),
            transform=transform, deadline_ms=deadline_ms,
        )
        inputs = _inputs.images(patches) if images else _inputs.pixels(patches)
        most = self._passes_per_request // passes(transform)
        if len(inputs) > 1:
            vectors = 2 if transform and transform.get("standard_errors") else 1
            values = _limits.embedding_values(self._description(model), layers, pool)
            most = min(most, _limits.fitting(self._max_reply_bytes, vectors * values * _limits.VALUE))
        results, counts = self._ask("embed", inputs, options, most)
        return _results.embeddings(results, counts)

    def classify(
        self,
        patches: Any,
        top: int = 5,
        *,
        model: str | None = None,
        deadline_ms: float | None = None,
        images: bool = False,
        **transformation: Any,
    ) -> list[list[Class]]:
        """The surrogate classes that the model's softmax head finds most probable for each patch.

        Args:
            patches, model, deadline_ms, images: as for `embed`; larger patches need a transformation.
            top: how many classes.
            transformation: ``average``, ``sample``, ``parameters``, ``seed``, ``tolerance``, ``steps`` and ``border``
                as for `embed`: the features are averaged before the head.

        Returns:
            for each of the n patches a list of `Class`, the most probable first.
        """
        transform = specification(**transformation)
        options = _given(top=top, model=model, transform=transform, deadline_ms=deadline_ms)
        inputs = _inputs.images(patches) if images else _inputs.pixels(patches)
        most = self._passes_per_request // passes(transform)
        if len(inputs) > 1:
            description = self._description(model)
            characters = _limits.class_characters(description, top)
            if transform and transform.get("standard_errors"):
                characters += _limits.classes(description) * _limits.VALUE
            most = min(most, _limits.fitting(self._max_reply_bytes, characters))
        results, counts = self._ask("classify", inputs, options, most)
        return _results.classes(results, counts)

    def transform(
        self,
        patches: np.ndarray,
        samples: int | None = None,
        *,
        sample: int | None = None,
        parameters: Sequence[dict] | None = None,
        seed: int | None = None,
        steps: Sequence[str] | None = None,
        border: str | None = None,
        model: str | None = None,
        deadline_ms: float | None = None,
    ) -> Transformed:
        """The transformed patches themselves.

        Args:
            patches: [n, H, W, C] or [H, W, C], as for `embed`; larger ones are patches with their surroundings.
            samples: K, for the draws 0 … K − 1.
            sample: k, for draw number k alone.
            parameters: transformations of your own, one patch for each.
            seed, steps, border, model, deadline_ms: as for `embed`.

        Returns:
            ``patches``, uint8 [n, K, h, w, c] of the model's patch shape, and ``parameters``, a list of K dicts.
        """
        transform = specification(samples, sample, parameters, seed=seed, steps=steps, border=border)
        if transform is None:
            raise ValueError("transform needs samples, sample or parameters")
        options = _given(model=model, transform=transform, deadline_ms=deadline_ms)
        patch_shape = _results.documented("model", lambda: [int(side) for side in self.model(model)["patch_shape"]])
        draws = passes(transform)
        characters = draws * (math.prod(patch_shape) * 4 / 3 + 8)
        fitting = _limits.fitting(self._max_reply_bytes, characters, beside=draws * _limits.PARAMETERS)
        most = min(self._passes_per_request // draws, fitting)
        results, counts = self._ask("transform", _inputs.pixels(patches), options, most)
        return _results.transformed(results, counts, patch_shape)

    def auth(self, token: str) -> dict[str, Any]:
        """Opens this connection on a server that asks for a token; the constructor's ``token`` does the same."""
        return self.call("auth", token=token)

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

    def _description(self, model: str | None) -> dict[str, Any]:
        """What a model is, asked for once."""
        if model not in self._models:
            self._models[model] = self.model(model)
        return self._models[model]

    def _ask(self, method: str, inputs: _inputs.Inputs, options: dict, most: int) -> tuple[list[Any], list[int]]:
        """The results of the requests that ``inputs`` take, at most ``most`` entries each, and their entries."""
        options = {**inputs.options, **options}
        parts = inputs.parts(max(1, most), self._max_line_bytes - 256 - len(_messages.line(options)))
        results: dict[range, Any] = {}
        waiting = parts[::-1]
        in_flight: list[tuple[int, range]] = []
        patience = options.get("deadline_ms", math.inf) / 1000
        if self._timeout is not None:
            patience = min(patience, self._timeout)
        progress = time.monotonic()
        try:
            while waiting or in_flight:
                while waiting and len(in_flight) < self._requests_in_flight:
                    part = waiting.pop()
                    request = self._send(method, {inputs.parameter: inputs.texts(part), **options})
                    in_flight.append((request, part))
                request, part = in_flight.pop(0)
                try:
                    results[part] = self._receive(request)
                    progress = time.monotonic()
                except UnaddressedError:
                    raise
                except ExemplarError as error:
                    if error.code == OVERLOADED and time.monotonic() - progress <= patience:
                        waiting.append(part)
                        time.sleep(min(max(error.data.get("retry_after_ms", 10), 1) / 1000, 1.0))
                    elif error.code == BAD_PARAMETER and error.data.get("param") == inputs.parameter and len(part) > 1:
                        # Together they are too much; what images are the server knows, who has read their headers.
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

    def _send(self, method: str, params: dict[str, Any]) -> int:
        request = self._next_id
        line = _messages.line({"jsonrpc": "2.0", "id": request, "method": method, "params": params})
        self._next_id += 1
        self._connection.send(line)
        self._awaited.add(request)
        return request

    def _receive(self, request: int) -> Any:
        try:
            while request not in self._replies:
                self._take(self._connection.receive())
        finally:
            self._awaited.discard(request)
        reply = self._replies.pop(request)
        if "error" in reply:
            raise _messages.error(reply["error"])
        return reply["result"]

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


def _among_all(error: ExemplarError, part: range) -> ExemplarError:
    """An error of an entry of one request, by its place among all."""
    index = error.data.get("index")
    if not isinstance(index, int) or part.start == 0:
        return error
    index += part.start
    return ExemplarError(error.code, f"{error.message} It is entry {index} of all.", {**error.data, "index": index})


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _unless_none(choice: str | None) -> str | None:
    """"none" is what the protocol takes an absent choice for."""
    return None if choice == "none" else choice

"""The client: a method for each of the protocol's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _inputs, _limits, _results
from ._connection import LineConnection
from ._requests import Requests
from ._results import Class, Embeddings, Transformed
from ._transformations import passes, specification

PASSES = 256
"""Forward passes in one request; those of all that are in flight are well below the server's queue."""


class Client:
    """A connection to a server, for one thread at a time.

    Inputs of any size may be given to `embed`, `embed_with_info`, `classify` and `transform`: what does not fit a
    request is sent as several, some of them ahead of the replies. A request that the server refuses because its queue
    is full (−32000) is sent again after the time that the server names, one second at most, until none has been
    answered for ``timeout`` seconds, or ``deadline_ms`` where that is less; then the refusal is raised. `call` sends
    nothing twice.

    :param host: name or number of the server.
    :param port: its port.
    :param unix: path of its Unix domain socket, in place of host and port.
    :param timeout: seconds to wait while nothing moves, or None to wait for ever.
    :param max_line_bytes: the server's limit for a line, above which an input is sent as several requests.
    :param token: what the server asks for before it answers, if it does.
    :param max_reply_bytes: the server's limit for a reply, with the same effect.
    :raises ConnectionFailed: there is no server there.
    :raises TimeoutError: it did not answer in time.
    :raises ExemplarError: it refused the token.
    """

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
        self._max_reply_bytes = max_reply_bytes
        self._models: dict[str | None, dict[str, Any]] = {}
        self._connection = LineConnection(host, port, unix, timeout)
        self._requests = Requests(self._connection, timeout, max_line_bytes)
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

        :raises ExemplarError: the server answered with an error.
        """
        return self._requests.receive(self._requests.send(method, params))

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

        :param patches: [n, H, W, C], or [H, W, C] for one; uint8 pixels, or floats in [0, 1] that stand for 255 times
            as much. H, W and C are those of the model. H and W may be larger: with a transformation the patch is the
            centre and the rest its surroundings; without one the network runs over the whole, and ``pool`` must not be
            "none". With ``images``: PNG, JPEG or WebP files, as bytes or paths, one or a list.
        :param layers: names of layers to concatenate, or "all"; the model's embedding layer when None.
        :param model: which of the server's models; its default when None.
        :param normalize: "l2" for vectors of length one.
        :param deadline_ms: give up on a request that would be answered later than this.
        :param pool: "quadrant" (four maxima a channel, scaled by layer), "max" or "mean" of each channel's map.
        :param average: K for ĝ_K(x), the mean over K draws of g(T_α x).
        :param sample: k for g(T_α x) with draw number k alone.
        :param parameters: the mean over these transformations, in the form that `transform` returns.
        :param seed: of the draws, 0 … 2⁵³ − 1; drawn when None. `embed_with_info` tells which. The embedding of a
            patch depends on the patch, the seed and the options alone.
        :param tolerance: stop averaging at this relative standard error, checked every 8 draws.
        :param steps: which of "translation", "scale", "rotation", "contrast", "color", "hue" to apply; all when None.
        :param border: "reflect", "replicate" or "zero": what lies beyond the pixels at hand.
        :param images: ``patches`` are encoded images.
        :returns: float32 [n, D].
        :raises ExemplarError: the server refused the request.
        :raises ModelChanged: the server got another model between the requests that the patches took: embed them again.
        :raises ValueError: the array has another shape, or arguments contradict each other.
        :raises TypeError: the array has another type.
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
        average: int | None = None,
        sample: int | None = None,
        parameters: Sequence[dict] | None = None,
        seed: int | None = None,
        tolerance: float | None = None,
        steps: Sequence[str] | None = None,
        border: str | None = None,
        standard_errors: bool = False,
        images: bool = False,
    ) -> Embeddings:
        """As `embed`, by the same parameters, with the layers, the seed, the number of draws and the standard error of
        each embedding.

        :param standard_errors: asks for those of each dimension, too.
        """
        transform = specification(
            average, sample, parameters, seed=seed, tolerance=tolerance, steps=steps, border=border,
            standard_errors=standard_errors,
        )
        if isinstance(layers, str) and layers != "all":
            layers = [layers]
        options = _given(
            layers=layers, model=model, normalize=_unless_none(normalize), pool=_unless_none(pool),
            transform=transform, deadline_ms=deadline_ms,
        )
        inputs = _inputs.images(patches) if images else _inputs.pixels(patches)
        most = PASSES // passes(transform)
        if len(inputs) > 1:
            vectors = 2 if transform and transform.get("standard_errors") else 1
            values = _limits.embedding_values(self._description(model), layers, pool)
            most = min(most, _limits.fitting(self._max_reply_bytes, vectors * values * _limits.VALUE))
        results, counts = self._requests.ask("embed", inputs, options, most)
        return _results.embeddings(results, counts)

    def classify(
        self,
        patches: Any,
        top: int = 5,
        *,
        model: str | None = None,
        deadline_ms: float | None = None,
        average: int | None = None,
        sample: int | None = None,
        parameters: Sequence[dict] | None = None,
        seed: int | None = None,
        tolerance: float | None = None,
        steps: Sequence[str] | None = None,
        border: str | None = None,
        images: bool = False,
    ) -> list[list[Class]]:
        """The surrogate classes that the model's softmax head finds most probable for each patch.

        The other parameters are those of `embed`: larger patches need a transformation, and the features are averaged
        before the head.

        :param top: how many classes.
        :returns: for each of the n patches a list of `Class`, the most probable first.
        """
        transform = specification(
            average, sample, parameters, seed=seed, tolerance=tolerance, steps=steps, border=border
        )
        options = _given(top=top, model=model, transform=transform, deadline_ms=deadline_ms)
        inputs = _inputs.images(patches) if images else _inputs.pixels(patches)
        most = PASSES // passes(transform)
        if len(inputs) > 1:
            characters = _limits.class_characters(self._description(model), top)
            most = min(most, _limits.fitting(self._max_reply_bytes, characters))
        results, counts = self._requests.ask("classify", inputs, options, most)
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
        """The transformed patches themselves; the other parameters are those of `embed`.

        :param patches: [n, H, W, C] or [H, W, C], as for `embed`; larger ones are patches with their surroundings.
        :param samples: K, for the draws 0 … K − 1.
        :param sample: k, for draw number k alone.
        :param parameters: transformations of your own, one patch for each.
        :returns: ``patches``, uint8 [n, K, h, w, c] of the model's patch shape, and ``parameters``, a list of K dicts.
        """
        transform = specification(samples, sample, parameters, seed=seed, steps=steps, border=border)
        if transform is None:
            raise ValueError("transform needs samples, sample or parameters")
        options = _given(model=model, transform=transform, deadline_ms=deadline_ms)
        patch_shape = _results.documented("model", lambda: [int(side) for side in self.model(model)["patch_shape"]])
        draws = passes(transform)
        characters = draws * (math.prod(patch_shape) * 4 / 3 + 8)
        fitting = _limits.fitting(self._max_reply_bytes, characters, beside=draws * _limits.PARAMETERS)
        most = min(PASSES // draws, fitting)
        results, counts = self._requests.ask("transform", _inputs.pixels(patches), options, most)
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


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _unless_none(choice: str | None) -> str | None:
    """"none" is what the protocol takes an absent choice for."""
    return None if choice == "none" else choice

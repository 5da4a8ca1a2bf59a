"""A transformer for scikit-learn: patches in, embeddings by a running server out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._client import Client

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ImportError as error:
    raise ImportError("ExemplarEmbedder needs scikit-learn: pip install './clients/python[sklearn]'") from error


class ExemplarEmbedder(TransformerMixin, BaseEstimator):
    """Embeds patches by a server, as the first step of a pipeline:

        make_pipeline(ExemplarEmbedder(port=7350, pool="quadrant", layers="all"), LinearSVC())

    Each call connects anew, so that it can be copied, pickled and used in several processes and threads at once. Which
    server it asks is said as for `Client`, and what for as for `Client.embed`.

    :param seed: 0 and not drawn, so that training and test patches meet the same draws.
    :param input_shape: (H, W, C) of the patches; those of the model when None. Larger ones are patches with their
        surroundings, for use with ``average``.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 7350,
        *,
        unix: str | None = None,
        token: str | None = None,
        timeout: float | None = 30.0,
        model: str | None = None,
        layers: Sequence[str] | str | None = None,
        pool: str = "none",
        normalize: str = "none",
        average: int | None = None,
        seed: int = 0,
        tolerance: float | None = None,
        steps: Sequence[str] | None = None,
        border: str | None = None,
        input_shape: Sequence[int] | None = None,
        max_line_bytes: int = 4 << 20,
        max_reply_bytes: int = 64 << 20,
    ):
        self.host = host
        self.port = port
        self.unix = unix
        self.token = token
        self.timeout = timeout
        self.model = model
        self.layers = layers
        self.pool = pool
        self.normalize = normalize
        self.average = average
        self.seed = seed
        self.tolerance = tolerance
        self.steps = steps
        self.border = border
        self.input_shape = input_shape
        self.max_line_bytes = max_line_bytes
        self.max_reply_bytes = max_reply_bytes

    def fit(self, X: Any, y: Any = None) -> "ExemplarEmbedder":
        """Learns nothing; checks that the server runs and that the patches have the right size."""
        with self._client() as client:
            self._patches(X, client)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embeds patches.

        :param X: [n, H, W, C], or [n, H·W·C] with each pixel's channels together; uint8, or floats in [0, 1].
        :returns: float32 [n, D].
        :raises ValueError: the patches have another size than the model's (or ``input_shape``). Nothing is resized.
        """
        with self._client() as client:
            # Options that only transformations have go out with one.
            draws = {"seed": self.seed} if self.average is not None else {}
            return client.embed(
                self._patches(X, client), layers=self.layers, model=self.model, normalize=self.normalize,
                pool=self.pool, average=self.average, tolerance=self.tolerance, steps=self.steps, border=self.border,
                **draws,
            )

    def _client(self) -> Client:
        return Client(
            self.host, self.port, self.unix, self.timeout, self.max_line_bytes, self.token, self.max_reply_bytes)

    def _patches(self, X: Any, client: Client) -> np.ndarray:
        shape = tuple(self.input_shape or client.model(self.model)["patch_shape"])
        array = np.asarray(X)
        if array.ndim == 2 and array.shape[1] == np.prod(shape):
            array = array.reshape(-1, *shape)
        if array.ndim != 4 or array.shape[1:] != shape or not len(array):
            sizes = ", ".join(map(str, shape))
            raise ValueError(
                f"X must be [n, {sizes}] or [n, {np.prod(shape)}], not of shape {array.shape}: resize the images "
                "first, or say input_shape for patches with their surroundings"
            )
        return array

    def __sklearn_is_fitted__(self) -> bool:
        return True

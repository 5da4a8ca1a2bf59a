"""What comes back: results of the protocol as arrays and tuples."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ._errors import ModelChanged, ProtocolError

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings and how they came about.

    :ivar embeddings: float32 [n, D].
    :ivar model: the model that answered.
    :ivar layers: the layers concatenated, in this order.
    :ivar seed: of the draws; None without draws. The same seed gives the same bits again.
    :ivar samples: int64 [n], how many draws or parameters each was averaged over; None without a transformation.
    :ivar standard_error: float64 [n], √(tr Σ̂ / (K·D)) over the K draws, NaN where K = 1; None without a
        transformation.
    :ivar standard_errors: float32 [n, D], that of each dimension, NaN where K = 1; None where it was not asked for.
        Both are those of the mean before ``normalize``.
    """

    embeddings: np.ndarray
    model: str
    layers: tuple[str, ...]
    seed: int | None = None
    samples: np.ndarray | None = None
    standard_error: np.ndarray | None = None
    standard_errors: np.ndarray | None = None


class Class(NamedTuple):
    """A surrogate class: its row in the head, its probability, the natural logarithm of that, and its label."""

    index: int
    probability: float
    log_probability: float
    label: str | None = None


class Transformed(NamedTuple):
    """Transformed patches, uint8 [n, K, h, w, c], and the parameters of the K transformations, which
    ``parameters=`` takes again."""

    patches: np.ndarray
    parameters: list[dict]


def documented(method: str, parse: Callable[[], Result]) -> Result:
    """What ``parse`` returns; whatever it stumbles over is the server's departure from the protocol."""
    try:
        return parse()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"The server's result of `{method}` is not the documented one.") from error


def _check_same(results: Sequence[Any], *members: str) -> None:
    """That one model answered all parts of an input, as far as the members that it answers alike tell.

    :raises ModelChanged: they differ: the server loaded its models again meanwhile.
    """
    if any(result.get(member) != results[0].get(member) for result in results for member in members):
        raise ModelChanged("The server got another model, or other layers of it, while it answered: ask again for all.")


def embeddings(results: Sequence[Any], counts: Sequence[int]) -> Embeddings:
    """The results of the parts of one input, with so many entries each, as one."""
    return documented("embed", lambda: _embeddings(results, counts))


def _embeddings(results: Sequence[Any], counts: Sequence[int]) -> Embeddings:
    _check_same(results, "model", "layers", "dim")
    dimension = results[0]["dim"]
    vectors = np.concatenate([_vectors(r["embeddings"], count, dimension) for r, count in zip(results, counts)])
    common = {"embeddings": vectors, "model": results[0]["model"], "layers": tuple(results[0]["layers"])}
    parts = [result.get("transform") for result in results]
    if parts[0] is None:
        return Embeddings(**common)
    samples = np.array([count for part in parts for count in part["samples"]], np.int64)
    errors = np.array([error for part in parts for error in part["standard_error"]], np.float64)
    if samples.shape != (len(vectors),) or errors.shape != (len(vectors),):
        raise ValueError("wrong count")
    details = None
    if "standard_errors" in parts[0]:
        details = np.concatenate([_vectors(p["standard_errors"], count, dimension) for p, count in zip(parts, counts)])
    return Embeddings(
        **common, seed=parts[0].get("seed"), samples=samples, standard_error=errors, standard_errors=details)


def _vectors(texts: Sequence[str | None], count: int, dimension: int) -> np.ndarray:
    """float32 [count, dimension] from base64, NaN where there is null: a single draw has no standard errors."""
    unknown = np.full(dimension, np.nan, "<f4")
    vectors = np.stack([
        unknown if text is None else np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4") for text in texts
    ])
    if vectors.shape != (count, dimension):
        raise ValueError("wrong shape")
    return vectors.astype(np.float32, copy=False)


def classes(results: Sequence[Any], counts: Sequence[int]) -> list[list[Class]]:
    """The classes of every entry, the most probable first."""

    def parse() -> list[list[Class]]:
        _check_same(results, "model")
        rows = [row for result in results for row in result["classes"]]
        if len(rows) != sum(counts):
            raise ValueError("wrong count")
        return [[_class(entry) for entry in row] for row in rows]

    return documented("classify", parse)


def _class(entry: dict[str, Any]) -> Class:
    logarithm = entry["log_probability"]
    # JSON has no −∞, which is null.
    return Class(
        int(entry["index"]), float(entry["probability"]), -math.inf if logarithm is None else float(logarithm),
        entry.get("label"))


def transformed(results: Sequence[Any], counts: Sequence[int], patch_shape: Sequence[int]) -> Transformed:
    """The transformed patches of every entry, of the model's patch shape."""

    def parse() -> Transformed:
        _check_same(results, "parameters")
        rows = [
            [np.frombuffer(base64.b64decode(text, validate=True), np.uint8).reshape(patch_shape) for text in row]
            for result in results
            for row in result["patches"]
        ]
        array, parameters = np.array(rows, np.uint8), list(results[0]["parameters"])
        if array.shape != (sum(counts), len(parameters), *patch_shape):
            raise ValueError("wrong shape")
        return Transformed(array, parameters)

    return documented("transform", parse)

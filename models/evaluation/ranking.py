"""Ranks of the right answer, and what is made of them."""

from __future__ import annotations

import numpy as np

from . import bootstrap

METRICS = ("euclidean", "cosine", "correlation", "hellinger")


def distances(queries: np.ndarray, database: np.ndarray, metric: str) -> np.ndarray:
    """[q, n] from features [q, D] and [n, D], monotone in the metric; float64.

    "correlation" is cosine of features without their mean; "hellinger" is Euclidean between the roots of features that
    sum to one (RootSIFT: Arandjelović and Zisserman 2012).

    Raises:
        ValueError: features are not finite. NaN is neither closer nor farther than anything: it would rank first.
    """

    def prepared(features: np.ndarray) -> np.ndarray:
        features = np.asarray(features, np.float64)
        if not np.isfinite(features).all():
            raise ValueError("features hold NaN or infinities: look at what computes them")
        if metric == "hellinger":
            features = np.abs(features)
            return np.sqrt(features / np.maximum(features.sum(axis=1, keepdims=True), 1e-12))
        if metric == "correlation":
            features = features - features.mean(axis=1, keepdims=True)
        if metric in ("cosine", "correlation"):
            features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        return features

    a, b = prepared(queries), prepared(database)
    return (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T


def ranks(queries: np.ndarray, database: np.ndarray, metric: str) -> np.ndarray:
    """[n], the rank of entry i of the database for query i, from 1. Ties count half, so that features that are the
    same for all patches stand in the middle and not at the top."""
    distance = distances(queries, database, metric)
    right = np.diag(distance)[:, None]
    slack = 1e-9 * (1 + np.abs(right))
    closer = (distance < right - slack).sum(axis=1)
    ties = (np.abs(distance - right) <= slack).sum(axis=1) - 1
    return 1 + closer + ties / 2


def mrr(queries: np.ndarray, database: np.ndarray, metric: str) -> float:
    """Mean reciprocal rank: 1 where the right entry always comes first."""
    return float(np.mean(1 / ranks(queries, database, metric)))


def displacement(queries: np.ndarray, database: np.ndarray, metric: str) -> float:
    """How far a transformation moves a patch's features: the mean Euclidean distance between query i and entry i, over
    the mean distance of query i from the other entries, after what the metric does to features. 0 is invariant, 1 is
    lost."""
    distance = np.sqrt(np.maximum(distances(queries, database, metric), 0))
    right, count = np.trace(distance), len(distance)
    return float(right / ((distance.sum() - right) / (count - 1)))


def summary(found: np.ndarray) -> dict[str, list[float]]:
    """Mean reciprocal rank and top-1 of ranks [seeds, n], each as [value, low, high]: a bootstrap over the queries
    within each seed. What other photographs would give is not in the interval."""
    generator = np.random.default_rng(0)
    return {
        "mrr": bootstrap.interval(1 / found, seed=generator),
        "top1": bootstrap.interval((found < 1.5).astype(float), seed=generator),
    }


def ratio(found: np.ndarray, reference: np.ndarray) -> list[float]:
    """Mean reciprocal rank of ranks [seeds, n] over that of ``reference`` for the same queries, as [value, low, high]:
    a bootstrap that draws queries and takes both methods' ranks of them."""
    return bootstrap.interval(1 / found, 1 / reference)

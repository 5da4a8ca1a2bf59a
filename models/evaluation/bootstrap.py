"""Intervals: what a mean would be, had other units been drawn."""

from __future__ import annotations

import numpy as np


def interval(
    scores: np.ndarray, weights: np.ndarray | None = None, seed: int = 0, resamples: int = 2000
) -> list[float]:
    """Σ scores / Σ weights of units [strata, n] as [value, low, high]: a 95 % percentile bootstrap, which draws units
    within each stratum and takes both numbers of each. Weights are 1 where none are given."""
    weights = np.ones_like(scores, dtype=np.float64) if weights is None else weights
    generator = np.random.default_rng(seed)
    picks = generator.integers(0, scores.shape[1], (resamples, *scores.shape))
    drawn = [
        np.take_along_axis(scores, pick, axis=1).mean() / np.take_along_axis(weights, pick, axis=1).mean()
        for pick in picks
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return [float(scores.mean() / weights.mean()), float(low), float(high)]


def by_unit(scores: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[1, m] sums and [1, m] numbers of the scores of each of m units, from scores and units' names of one shape.

    What several splits judge on the same images is no more than those images tell: drawn as one unit, an image takes
    along its scores of every split, where drawing within each split would take them for independent.
    """
    _, index = np.unique(units, return_inverse=True)
    index = index.ravel()
    sums = np.bincount(index, weights=np.asarray(scores, np.float64).ravel())
    return sums[np.newaxis], np.bincount(index).astype(np.float64)[np.newaxis]

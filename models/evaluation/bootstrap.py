"""Intervals: what a mean would be, had other units been drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def interval(
    scores: Sequence[np.ndarray],
    weights: Sequence[np.ndarray] | None = None,
    seed: int | np.random.Generator = 0,
    resamples: int = 2000,
) -> list[float]:
    """Σ scores / Σ weights of units, a row a stratum, as [value, low, high]: a 95 % percentile bootstrap, which draws
    units within each stratum and takes both numbers of each. Weights are 1 where none are given."""
    weights = [np.ones(len(row)) for row in scores] if weights is None else weights
    generator = np.random.default_rng(seed)
    drawn = np.zeros((resamples, 2))
    for resample in range(resamples):
        for row, weight in zip(scores, weights):
            pick = generator.integers(0, len(row), len(row))
            drawn[resample] += row[pick].sum(), weight[pick].sum()
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    return [float(sum(map(np.sum, scores)) / sum(map(np.sum, weights))), float(low), float(high)]


def by_unit(
    scores: np.ndarray, units: np.ndarray, strata: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What `interval` takes, of scores, the names of their units and of these units' strata, all of one shape: by
    stratum, for each unit the sum of its scores and their number.

    What several splits judge on the same images is no more than those images tell: drawn as one unit, an image takes
    along its scores of every split, where drawing within each split would take them for independent.
    """
    names, index = np.unique(units.ravel(), return_inverse=True)
    sums = np.bincount(index, weights=np.asarray(scores, np.float64).ravel())
    counts = np.bincount(index).astype(np.float64)
    of_unit = np.empty(len(names), strata.dtype)
    of_unit[index] = strata.ravel()
    chosen = [of_unit == stratum for stratum in np.unique(of_unit)]
    return [sums[each] for each in chosen], [counts[each] for each in chosen]

"""Intervals against simulations whose spread is known."""

import numpy as np
import pytest

from . import bootstrap

SEED = 25


def test_an_image_of_several_splits_counts_once():
    """Each of many worlds has 200 images that a classifier gets right or wrong; three splits judge 100 of them each,
    the same images again in part. The interval is as wide as the worlds' means are spread."""
    generator = np.random.default_rng(SEED)
    means, deviations = [], []
    for _ in range(200):
        right = generator.random(200) < 0.85
        units = np.stack([generator.permutation(200)[:100] for _ in range(3)])
        rows = bootstrap.by_unit(right[units], units, np.zeros_like(units))
        value, low, high = bootstrap.interval(*rows, resamples=300)
        means.append(right[units].mean())
        assert value == pytest.approx(means[-1])
        deviations.append((high - low) / (2 * 1.96))
    # Drawn within each split as if independent the ratio is 0.7; 200 worlds tell a deviation to 5 %.
    assert np.mean(deviations) / np.std(means) == pytest.approx(1, abs=0.15)


def test_units_by_hand():
    scores, units, strata = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[7, 3], [9, 7]]), np.array([[1, 1], [0, 1]])
    sums, counts = bootstrap.by_unit(scores, units, strata)
    assert [row.tolist() for row in sums] == [[1], [0, 2]] and [row.tolist() for row in counts] == [[1], [1, 2]]
    assert bootstrap.interval(sums, counts)[0] == pytest.approx(3 / 4)


def test_strata_are_drawn_from_by_themselves():
    assert bootstrap.interval(np.array([[0.0, 0.0], [1.0, 1.0]])) == [0.5, 0.5, 0.5]
    assert bootstrap.interval([np.zeros(1), np.ones(3)]) == [0.75, 0.75, 0.75]
    assert bootstrap.interval(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 4.0, 6.0]])) == pytest.approx([0.5] * 3)

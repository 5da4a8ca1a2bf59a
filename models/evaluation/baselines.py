"""Descriptors without learning, each at the settings that do best on the training photographs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from skimage.feature import hog
from training.extent import PATCH

from . import ranking

Settings = dict[str, Any]


def raw(patches: np.ndarray, side: int, grey: bool) -> np.ndarray:
    """The pixels themselves, uint8 [n, h, w, 3], averaged down to side × side."""
    pixels = patches.mean(axis=3, keepdims=True) if grey else patches.astype(np.float64)
    block = pixels.shape[1] // side
    pixels = pixels.reshape(len(pixels), side, block, side, block, -1).mean(axis=(2, 4))
    return pixels.reshape(len(pixels), -1)


def histograms(patches: np.ndarray, upsampling: int, cell: int, block: int) -> np.ndarray:
    """HOG (Dalal and Triggs 2005) of the enlarged patch: 9 orientations, cells of so many source pixels."""
    return np.stack([
        hog(
            _enlarged(patch, upsampling), orientations=9, pixels_per_cell=(cell * upsampling,) * 2,
            cells_per_block=(block, block), channel_axis=-1,
        )
        for patch in patches
    ])


def sift(patches: np.ndarray, upsampling: int, diameter: float) -> np.ndarray:
    """Upright SIFT (Lowe 2004) of one key point in the centre of the enlarged patch, ``diameter`` in sides of 32.

    The descriptor reaches some three diameters across, as far as there are pixels: patches larger than 32 × 32 are a
    key point with its surroundings.
    """
    extractor, rows = cv2.SIFT_create(), []
    for patch in patches:
        grey = cv2.cvtColor((_enlarged(patch, upsampling) * 255).round().astype(np.uint8), cv2.COLOR_RGB2GRAY)
        side = grey.shape[0]
        size = diameter * PATCH * upsampling
        point = cv2.KeyPoint(x=(side - 1) / 2, y=(side - 1) / 2, size=size, angle=0.0)
        _, descriptors = extractor.compute(grey, [point])
        rows.append(descriptors[0])
    return np.stack(rows)


def _enlarged(patch: np.ndarray, factor: int) -> np.ndarray:
    """float64 in [0, 1], bicubic."""
    image = patch / 255
    if factor == 1:
        return image
    return np.clip(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), 0, 1)


BASELINES: dict[str, tuple[Callable[..., np.ndarray], dict[str, tuple], tuple[str, ...]]] = {
    "raw pixels": (raw, {"side": (8, 16, 32), "grey": (False, True)}, ("euclidean", "cosine", "correlation")),
    "HOG": (
        histograms, {"upsampling": (1, 2), "cell": (4, 8, 16), "block": (1, 2)}, ("euclidean", "cosine", "correlation")
    ),
    "SIFT": (sift, {"upsampling": (1, 2, 4), "diameter": (1 / 6, 1 / 4, 1 / 3, 1 / 2)}, ("euclidean", "hellinger")),
}
"""Name, function, the grid of its settings, the metrics that it is tried with."""

WITH_SURROUNDINGS = {
    "SIFT with surroundings": (
        sift, {"upsampling": (1, 2), "diameter": (1 / 4, 1 / 3, 1 / 2, 3 / 4)}, ("euclidean", "hellinger")
    )
}
"""As ``BASELINES``, of the patch with its surroundings: what descriptors without learning make of the pixels that ĝ is
given, where it is given any."""


def _grid(choices: dict[str, tuple]) -> Iterator[Settings]:
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values))


def choose(queries: np.ndarray, database: np.ndarray, candidates: dict | None = None) -> dict[str, Settings]:
    """The settings of each baseline with the highest mean reciprocal rank: ``settings``, ``metric``, ``mrr``."""
    best: dict[str, Settings] = {}
    for name, (describe, choices, metrics) in (candidates or BASELINES).items():
        for settings in _grid(choices):
            if settings.get("cell", 0) * settings.get("block", 1) > database.shape[1]:
                continue  # A block larger than the patch holds nothing.
            features = describe(queries, **settings), describe(database, **settings)
            for metric in metrics:
                mrr = ranking.mrr(*features, metric)
                if name not in best or mrr > best[name]["mrr"]:
                    best[name] = {"settings": settings, "metric": metric, "mrr": mrr}
    return best

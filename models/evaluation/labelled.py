"""Labelled images bundled in scikit-learn and scikit-image, as grey 32 × 32 patches: no downloads.

All are grey, so that no representation tells classes apart by colour alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from skimage import data
from skimage.transform import resize
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import resample
from training import photographs
from training.extent import PATCH

SCENES = ("brick", "grass", "gravel", "coins", "camera", "moon", "page", "text", "clock", "cell")
"""Grey images of scikit-image, beside the held-out photographs; the networks were trained on none of them."""

SIDE = 48
"""Source pixels of a patch of a scene."""

TILE = 2 * SIDE
"""Side of the tiles by which patches of scenes are drawn for intervals: those of one tile overlap or lie close."""


@dataclass(frozen=True)
class Split:
    """uint8 [n, 32, 32, 3] and labels, to learn from and to be judged on. ``test_units`` [n] names the image that each
    is judged on, by the same number in every split of a task: splits judge the same images again."""

    patches: np.ndarray
    labels: np.ndarray
    test_patches: np.ndarray
    test_labels: np.ndarray
    test_units: np.ndarray


def digits(seed: int, per_class: int, judged: int = 500) -> Split:
    """Handwritten digits (UCI, 8 × 8, 10 classes), enlarged: ``per_class`` to learn from, others to judge."""
    found = load_digits()
    images, labels, units = resample(
        found.images, found.target, np.arange(len(found.target)), n_samples=10 * per_class + judged, replace=False,
        stratify=found.target, random_state=seed,
    )
    return _random(_patches(images / 16), labels, units, 10 * per_class, seed)


def faces(seed: int) -> Split:
    """100 faces and 100 pieces of background (scikit-image's subset of Labeled Faces in the Wild), 25 × 25 enlarged:
    half to learn from."""
    return _random(_patches(data.lfw_subset()), np.repeat([1, 0], 100), np.arange(200), 100, seed)


def scenes(seed: int, per_class: int = 30, judged: int = 60) -> Split:
    """Which image is this patch from? The left half of each to learn from, the right to judge; no pixel is shared.

    Patches of one half overlap, in a split and between splits: their units are tiles of the image."""
    generator = np.random.default_rng((seed, 77))
    images = [getattr(data, name)().astype(np.float64) / 255 for name in SCENES]
    images += [photographs.load(photograph).mean(axis=2) / 255 for photograph in photographs.HELD_OUT]
    parts: list[list[np.ndarray]] = [[], []]
    units = []
    for number, image in enumerate(images):
        middle = image.shape[1] // 2
        for half, count, (low, high) in ((0, per_class, (0, middle)), (1, judged, (middle, image.shape[1]))):
            rows = generator.integers(0, image.shape[0] - SIDE + 1, count)
            columns = generator.integers(low, high - SIDE + 1, count)
            parts[half].append(np.stack([image[y : y + SIDE, x : x + SIDE] for y, x in zip(rows, columns)]))
        # Where the centres of those to judge lie, below 1000 tiles a side.
        units.append((number * 1000 + (rows + SIDE // 2) // TILE) * 1000 + (columns + SIDE // 2) // TILE)
    labels = [np.repeat(np.arange(len(images)), count) for count in (per_class, judged)]
    return Split(
        _patches(np.concatenate(parts[0])), labels[0], _patches(np.concatenate(parts[1])), labels[1],
        np.concatenate(units),
    )


TASKS: dict[str, Callable[[int], Split]] = {
    "digits, 10 a class": lambda seed: digits(seed, 10),
    "digits, 30 a class": lambda seed: digits(seed, 30),
    "faces": faces,
    "scenes": scenes,
}


def _patches(images: np.ndarray) -> np.ndarray:
    """uint8 [n, 32, 32, 3] from grey [n, h, w] in 0 … 1."""
    side = PATCH
    smooth = images.shape[1] > side
    scaled = [resize(image, (side, side), order=3, mode="reflect", anti_aliasing=smooth) for image in images]
    grey = np.clip(np.rint(np.stack(scaled) * 255), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=3)


def _random(patches: np.ndarray, labels: np.ndarray, units: np.ndarray, learnt: int, seed: int) -> Split:
    first, second, first_labels, second_labels, _, second_units = train_test_split(
        patches, labels, units, train_size=learnt, stratify=labels, random_state=seed
    )
    return Split(first, first_labels, second, second_labels, second_units)

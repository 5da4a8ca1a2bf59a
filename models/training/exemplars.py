"""Which patches become exemplars: several scales, by gradient energy, none within reach of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import photographs
from .extent import CONTEXT, PATCH, reflected

SIDES = (32.0, 40.0, 50.0, 62.5)  # In source pixels, resampled to PATCH.


@dataclass
class Exemplars:
    """``contexts`` uint8 [N, 74, 74, 3] or as large as asked for, each with its 32×32 patch in the centre; ``origin``
    one row a patch: photograph, x and y of the centre, source side."""

    contexts: np.ndarray
    origin: list[tuple[str, float, float, float]]


def select(
    chosen: tuple[photographs.Photograph, ...], count: int, distance: float, seed: int, context: int = CONTEXT
) -> Exemplars:
    """Draws ``count`` exemplars, each with ``context`` × ``context`` pixels around its centre; more of them change
    nothing within.

    Positions are drawn with probability proportional to the mean squared gradient over the patch (Dosovitskiy et al.
    2014, section 3.1). Two exemplars of one photograph whose scales are within a factor of 1.5 keep at least
    ``distance`` of the larger side between their centres: patches that one draw of T_α turns into each other would be
    one thing with two labels, and cap the information bound.
    """
    generator = np.random.default_rng(seed)
    # Equal shares: the large photographs are not the richer ones.
    quotas = [count // len(chosen) + (index < count % len(chosen)) for index in range(len(chosen))]
    contexts, origin = [], []
    for photograph, quota in zip(chosen, quotas):
        image = photographs.load(photograph).astype(np.float32) / 255
        places = _places(image, quota, distance, generator)
        if len(places) < quota:
            raise photographs.PhotographError(
                f"{photograph.name} holds {len(places)} exemplars at distance {distance}, not {quota}: "
                "ask for fewer exemplars or a smaller --distance"
            )
        for x, y, side in places:
            contexts.append(_context(image, x, y, side, context))
            origin.append((photograph.name, x, y, side))
    order = generator.permutation(count)
    return Exemplars(np.stack(contexts)[order], [origin[index] for index in order])


def _places(image: np.ndarray, quota: int, distance: float, generator: np.random.Generator):
    grey = image.mean(axis=2)
    gradient = np.gradient(grey)
    energy = gradient[0] ** 2 + gradient[1] ** 2
    cumulative = np.pad(energy.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = grey.shape
    places: list[tuple[float, float, float]] = []
    probabilities = {}
    for side in SIDES:
        half = int(side) // 2
        ys, xs = np.arange(half, height - half), np.arange(half, width - half)
        box = lambda a, b: cumulative[np.ix_(ys + a, xs + b)]
        mean = box(half, half) - box(-half, half) - box(half, -half) + box(-half, -half)
        probabilities[side] = ((mean / mean.sum()).ravel().cumsum(), half, len(xs))
    for attempt in range(400 * quota):
        if len(places) == quota:
            break
        side = SIDES[attempt % len(SIDES)]
        cumulated, half, columns = probabilities[side]
        index = min(int(np.searchsorted(cumulated, generator.random())), len(cumulated) - 1)
        y, x = half + index // columns, half + index % columns
        clear = all(
            max(side, other) > 1.5 * min(side, other)
            or max(abs(x - u), abs(y - v)) >= distance * max(side, other)
            for u, v, other in places
        )
        if clear:
            places.append((float(x), float(y), side))
    return places


def _context(image: np.ndarray, x: float, y: float, side: float, size: int = CONTEXT) -> np.ndarray:
    """uint8 [size, size, 3] around (x, y), resampled so that ``side`` source pixels become 32; edges are mirrors."""
    step = side / PATCH
    offsets = (np.arange(size) - (size - 1) / 2) * step
    # Halve the detail that a coarser grid cannot hold: a box of the step's width, by averaging sub-samples.
    total = np.zeros((size, size, 3), np.float64)
    samples = (np.arange(3) - 1) * step / 3 if step > 1 else np.zeros(1)
    for dy in samples:
        for dx in samples:
            total += _bilinear(image, y + offsets + dy, x + offsets + dx)
    return np.clip(np.rint(total / len(samples) ** 2 * 255), 0, 255).astype(np.uint8)


def _bilinear(image: np.ndarray, ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
    def taps(values, size):
        low = np.floor(values).astype(int)
        return reflected(low, size), reflected(low + 1, size), values - low

    y0, y1, fy = taps(ys, image.shape[0])
    x0, x1, fx = taps(xs, image.shape[1])
    fy, fx = fy[:, None, None], fx[None, :, None]
    top = image[np.ix_(y0, x0)] * (1 - fx) + image[np.ix_(y0, x1)] * fx
    bottom = image[np.ix_(y1, x0)] * (1 - fx) + image[np.ix_(y1, x1)] * fx
    return top * (1 - fy) + bottom * fy

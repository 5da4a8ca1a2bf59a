"""T_α of one patch in double precision with explicit parameters: plain NumPy, what ``transformations.py`` and any
server are held against. Order and formulas: Dosovitskiy et al. 2014, section 3.1, as in the authors' published
configuration."""

from __future__ import annotations

import colorsys

import numpy as np

from .extent import PATCH, reflected

IDENTITY = {
    "translation": [0.0, 0.0],
    "scale": 1.0,
    "rotation_degrees": 0.0,
    "contrast": [1.0, 1.0, 1.0],
    "color": {"power": [1.0, 1.0], "factor": [1.0, 1.0], "offset": [0.0, 0.0]},
    "hue": 0.0,
}


def transform(
    source: np.ndarray, alpha: dict, mean: np.ndarray, components: np.ndarray, border: str = "reflect"
) -> np.ndarray:
    """uint8 [H, W, 3], whose centre window is the patch, to float64 [32, 32, 3] in [0, 1].

    ``alpha`` has the members of ``IDENTITY``. ``border``: "reflect" (the edge pixel not repeated), "replicate", "zero".
    """
    patch = geometry(source.astype(np.float64) / 255, alpha, border)
    axes = np.asarray(components, dtype=np.float64)
    projected = (patch - mean) @ axes.T * np.asarray(alpha["contrast"])
    # HSV is defined on [0, 1]: contrast is clipped before it.
    patch = np.clip(mean + projected @ axes, 0, 1)
    color = alpha["color"]
    for pixel in patch.reshape(-1, 3):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        saturation, value = (
            min(max(color["factor"][index] * channel ** color["power"][index] + color["offset"][index], 0.0), 1.0)
            for index, channel in enumerate((saturation, value))
        )
        pixel[:] = colorsys.hsv_to_rgb((hue + alpha["hue"]) % 1.0, saturation, value)
    return np.clip(patch, 0, 1)


def geometry(image: np.ndarray, alpha: dict, border: str) -> np.ndarray:
    """source(p) = c_source + 32 · t + R(θ)(p − c_patch) / s, pixel centres, x right, y down; resampled once,
    bilinearly."""
    height, width, _ = image.shape
    axis = np.arange(PATCH) - (PATCH - 1) / 2
    x, y = np.meshgrid(axis / alpha["scale"], axis / alpha["scale"])
    angle = np.deg2rad(alpha["rotation_degrees"])
    u = (width - 1) / 2 + PATCH * alpha["translation"][0] + np.cos(angle) * x - np.sin(angle) * y
    v = (height - 1) / 2 + PATCH * alpha["translation"][1] + np.sin(angle) * x + np.cos(angle) * y
    left, top = np.floor(u).astype(int), np.floor(v).astype(int)
    fx, fy = (u - left)[..., None], (v - top)[..., None]

    def tap(row, column):
        values = image[_inside(row, height, border), _inside(column, width, border)]
        if border == "zero":
            outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
            values = np.where(outside[..., None], 0.0, values)
        return values

    upper = tap(top, left) * (1 - fx) + tap(top, left + 1) * fx
    lower = tap(top + 1, left) * (1 - fx) + tap(top + 1, left + 1) * fx
    return upper * (1 - fy) + lower * fy


def _inside(index: np.ndarray, size: int, border: str) -> np.ndarray:
    return reflected(index, size) if border == "reflect" else np.clip(index, 0, size - 1)

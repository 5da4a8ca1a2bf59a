"""What is done to a photograph before its regions are matched, by kind and strength, and where its pixels go."""

from __future__ import annotations

import cv2
import numpy as np

STRENGTHS = {
    "perspective": (0.05, 0.1, 0.15, 0.2, 0.25),
    "rotation": (5, 10, 20, 30, 45),
    "zoom": (1.2, 1.4, 1.7, 2.0, 2.5),
    "blur": (1, 2, 3, 4, 6),
    "lighting": (0.7, 0.5, 0.35, 0.25, 0.15),
}
"""Perspective: how far the corners move inwards at random, in sides. Rotation: degrees around the centre. Zoom: factor,
around the centre. Blur: σ of a Gaussian in pixels. Lighting: a factor on brightness, with a gamma of 1 + (1 − factor)
and noise of 2 of 255."""


def distort(image: np.ndarray, kind: str, strength: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The distorted photograph, uint8 of the same shape, and the homography [3, 3] from its pixels to the new ones."""
    height, width = image.shape[:2]
    generator = np.random.default_rng(seed)
    centre = ((width - 1) / 2, (height - 1) / 2)
    homography = np.eye(3)
    if kind == "perspective":
        corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
        inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (width, height)
        moved = corners + inwards * strength * generator.uniform(0, 1, (4, 2))
        homography = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    elif kind == "rotation":
        homography[:2] = cv2.getRotationMatrix2D(centre, strength * generator.choice((-1, 1)), 1.0)
    elif kind == "zoom":
        homography[:2] = cv2.getRotationMatrix2D(centre, 0, strength)
    elif kind == "blur":
        return cv2.GaussianBlur(image, (0, 0), strength), homography
    elif kind == "lighting":
        values = 255 * strength * (image / 255) ** (2 - strength) + generator.normal(0, 2, image.shape)
        return np.clip(np.rint(values), 0, 255).astype(np.uint8), homography
    else:
        raise ValueError(f"no distortion is named {kind}; there are {', '.join(STRENGTHS)}")
    return cv2.warpPerspective(image, homography, (width, height), flags=cv2.INTER_CUBIC), homography


def followed(regions: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Where circles [n, 3] (x, y, radius) go: the centre by the homography, the radius by the root of the area."""
    points = np.concatenate([regions[:, :2], np.ones((len(regions), 1))], axis=1) @ homography.T
    depth = points[:, 2:]
    # The determinant of the projective map's Jacobian is det H / w³.
    scale = np.sqrt(np.abs(np.linalg.det(homography) / depth[:, 0] ** 3))
    return np.column_stack([points[:, :2] / depth, regions[:, 2] * scale])


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of circles [n, 3] and [m, 3] (x, y, radius): [n, m]."""
    a, b = first[:, None, 2], second[None, :, 2]
    distance = np.hypot(first[:, None, 0] - second[None, :, 0], first[:, None, 1] - second[None, :, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.arccos(np.clip((distance**2 + a**2 - b**2) / (2 * distance * a), -1, 1))
        beta = np.arccos(np.clip((distance**2 + b**2 - a**2) / (2 * distance * b), -1, 1))
    lens = a**2 * (alpha - np.sin(2 * alpha) / 2) + b**2 * (beta - np.sin(2 * beta) / 2)
    within = np.pi * np.minimum(a, b) ** 2
    common = np.where(distance >= a + b, 0.0, np.where(distance <= np.abs(a - b), within, lens))
    return common / (np.pi * (a**2 + b**2) - common)

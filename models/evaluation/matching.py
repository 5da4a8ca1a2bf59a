"""Descriptor matching in the manner of Fischer, Dosovitskiy and Brox 2014 (arXiv 1405.5769): regions of a photograph
and of a distorted one, greedy matching by distance, average precision against the true map.

Differences from that paper: regions are SIFT's key points (difference of Gaussians) in place of MSERs, circles in place
of ellipses, and photographs are the held-out ones.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import cv2
import numpy as np
from exemplar_client import Client
from training import exemplars, photographs

from . import baselines, distortions, probe, ranking, windows
from .windows import centres

REGIONS = 250
"""Of each photograph: the strongest key points that lie far enough from its edge."""

SMALLEST = 3.0
"""Pixels, as OpenCV counts key points' sizes: smaller ones show a few pixels enlarged."""

SUPPORT = 3.0
"""Radius of a region in sizes of its key point, which are 2 σ: SIFT's descriptor is 12 σ across."""

OVERLAP = 0.5
"""Intersection over union from which two regions are the same place."""

MULTIPLES = (4.0, 6.0, 9.0, 13.0)
"""Sides of a network's patch, in sizes of the key point, among which the training photographs choose."""

DRAWS = 16
TUNED_WITH = ("astronaut", "coffee", "china")
"""Photographs of the training split on which settings are chosen: those of everyday scenes."""


@dataclass(frozen=True)
class Plan:
    """``seeds`` draw the distortions and, where they are random, the corners and noise."""

    model: str
    seeds: tuple[int, ...] = (1, 2)


@dataclass
class Pair:
    """A photograph and its distorted copy, their key points, and which of them are the same place."""

    kind: str
    strength: float
    images: tuple[np.ndarray, np.ndarray]
    points: tuple[list, list]
    same: np.ndarray


def detect(image: np.ndarray) -> list:
    """The strongest key points, one for each place."""
    found = cv2.SIFT_create(contrastThreshold=0.01).detect(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
    height, width = image.shape[:2]
    inside = [
        p for p in found
        if p.size >= SMALLEST and min(p.pt[0], p.pt[1], width - 1 - p.pt[0], height - 1 - p.pt[1]) >= SUPPORT * p.size
    ]
    # A place with several orientations comes several times.
    unique = {(round(p.pt[0], 2), round(p.pt[1], 2), round(p.size, 2)): p for p in inside}
    return sorted(unique.values(), key=lambda p: -p.response)[:REGIONS]


def circles(points: list) -> np.ndarray:
    return np.array([(*p.pt, SUPPORT * p.size) for p in points]).reshape(-1, 3)


def pair(image: np.ndarray, kind: str, strength: float, seed: int) -> Pair:
    distorted, homography = distortions.distort(image, kind, strength, seed)
    points = detect(image), detect(distorted)
    placed = distortions.followed(circles(points[0]), homography)
    return Pair(kind, strength, (image, distorted), points, distortions.overlaps(placed, circles(points[1])) >= OVERLAP)


def average_precision(distances: np.ndarray, same: np.ndarray) -> float:
    """Area under precision over recall of greedy matching: pairs by rising distance, each region of either side once.

    Recall counts against the regions of the first photograph that have a counterpart. At each right match the precision
    so far is taken (no interpolation); NaN where nothing could be matched.
    """
    possible = int(same.any(axis=1).sum())
    if not possible:
        return float("nan")
    rows, columns = np.unravel_index(np.argsort(distances, axis=None, kind="stable"), distances.shape)
    used_rows, used_columns = np.zeros(distances.shape[0], bool), np.zeros(distances.shape[1], bool)
    matches = right = 0
    total = 0.0
    for row, column in zip(rows.tolist(), columns.tolist()):
        if used_rows[row] or used_columns[column]:
            continue
        used_rows[row] = used_columns[column] = True
        matches += 1
        if same[row, column]:
            right += 1
            total += right / matches
        if matches == min(distances.shape):
            break
    return total / possible


def cut(image: np.ndarray, points: list, multiple: float, oriented: bool) -> np.ndarray:
    """uint8 [n, 74, 74, 3]: around each key point, so that ``multiple`` of its size become 32 pixels, turned by its
    orientation if asked; reflected at the edges, and blurred first where a region is shrunk."""
    side, result = windows.WINDOW, []
    blurred: dict[float, np.ndarray] = {}
    for point in points:
        step = multiple * point.size / exemplars.PATCH
        level = 0.0 if step <= 1 else round(2 * np.log2(step)) / 2
        if level not in blurred:
            sigma = 0.5 * np.sqrt(max(4.0**level - 1, 0))
            blurred[level] = cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0 else image
        angle = np.deg2rad(point.angle) if oriented else 0.0
        turn = step * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        offset = np.array(point.pt) - turn @ np.full(2, (side - 1) / 2)
        result.append(cv2.warpAffine(
            blurred[level], np.column_stack([turn, offset]), (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101,
        ))
    return np.stack(result)


def sift(image: np.ndarray, points: list, multiple: float, oriented: bool) -> np.ndarray:
    """SIFT of key points as they are on the photograph, the size times ``multiple``, upright or turned."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    wanted = [
        cv2.KeyPoint(x=p.pt[0], y=p.pt[1], size=p.size * multiple, angle=p.angle if oriented else 0.0, octave=p.octave,
                     response=p.response)
        for p in points
    ]
    return cv2.SIFT_create().compute(grey, wanted)[1]


SIFT_MULTIPLES = (0.75, 1.0, 1.5, 2.0)


def methods(client: Client, model: str) -> dict[str, tuple]:
    """Name → (features of image, points, multiple, oriented; multiples; metrics)."""
    cuts = lambda describe: lambda *where: describe(cut(*where))
    return {
        "raw pixels": (cuts(lambda w: baselines.raw(centres(w), 16, True)), MULTIPLES, ("euclidean", "correlation")),
        "SIFT": (sift, SIFT_MULTIPLES, ("euclidean", "hellinger")),
        "g": (cuts(lambda w: client.embed(centres(w), model=model)), MULTIPLES, ranking.METRICS),
        "quadrants": (
            cuts(lambda w: client.embed(centres(w), layers="all", pool="quadrant", model=model)), MULTIPLES,
            ranking.METRICS,
        ),
        f"ĝ with surroundings, K = {DRAWS}": (
            cuts(lambda w: client.embed(w, average=DRAWS, seed=0, model=model)), MULTIPLES, ranking.METRICS
        ),
    }


def run(plan: Plan, client: Client) -> dict:
    """``settings`` of each method; ``scores[method]``: mean average precision over all pairs and its difference from
    SIFT's, both as [value, low, high], by kind and strength ``kinds[kind][strength]``; how many pairs and regions."""
    found = methods(client, plan.model)
    tuning = [
        pair(photographs.load(photograph), kind, strengths[2], 0)
        for photograph in photographs.TRAINING if photograph.name in TUNED_WITH
        for kind, strengths in distortions.STRENGTHS.items()
    ]
    settings = {name: _choose(name, *method, tuning) for name, method in found.items()}
    pairs = [
        pair(photographs.load(photograph), kind, strength, 100 * seed + level)
        for photograph in photographs.HELD_OUT for kind, strengths in distortions.STRENGTHS.items()
        # Seeds change nothing where nothing is drawn.
        for seed in (plan.seeds if kind in ("perspective", "lighting") else plan.seeds[:1])
        for level, strength in enumerate(strengths)
    ]
    judged = [p for p in pairs if p.same.any()]
    scores = {}
    for name, (describe, _, _) in found.items():
        print(f"matching: {name}", file=sys.stderr, flush=True)
        chosen = settings[name]
        scores[name] = np.array([
            _score(p, describe, chosen["multiple"], chosen["oriented"], chosen["metric"]) for p in judged
        ])
    kinds = np.array([p.kind for p in judged])
    strengths = np.array([p.strength for p in judged], float)
    return {
        "settings": settings, "pairs": len(judged),
        "regions": float(np.mean([p.same.any(axis=1).sum() for p in judged])),
        "scores": {
            name: {
                "mean": probe.interval(values[np.newaxis]),
                "above SIFT": probe.interval((values - scores["SIFT"])[np.newaxis]),
                "kinds": {
                    kind: {str(s): float(values[(kinds == kind) & (strengths == s)].mean())
                           for s in levels if np.any((kinds == kind) & (strengths == s))}
                    for kind, levels in distortions.STRENGTHS.items()
                },
            }
            for name, values in scores.items()
        },
    }


def _score(p: Pair, describe, multiple: float, oriented: bool, metric: str) -> float:
    features = [describe(image, points, multiple, oriented) for image, points in zip(p.images, p.points)]
    return average_precision(ranking.distances(*features, metric), p.same)


def _choose(name: str, describe, multiples: tuple, metrics: tuple, tuning: list[Pair]) -> dict:
    tried = []
    for multiple in multiples:
        for oriented in (False, True):
            described = [
                [describe(image, points, multiple, oriented) for image, points in zip(p.images, p.points)]
                for p in tuning
            ]
            for metric in metrics:
                scores = [
                    average_precision(ranking.distances(*f, metric), p.same) for f, p in zip(described, tuning)
                ]
                tried.append((float(np.nanmean(scores)), multiple, oriented, metric))
    score, multiple, oriented, metric = max(tried)
    told = f"{multiple} sizes, oriented {oriented}, {metric}: {score:.3f}"
    print(f"matching: {name}: {told}", file=sys.stderr, flush=True)
    return {"multiple": multiple, "oriented": oriented, "metric": metric, "average_precision": score}

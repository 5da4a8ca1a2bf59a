"""Descriptor matching in the manner of Fischer, Dosovitskiy and Brox 2014 (arXiv 1405.5769): regions of a photograph
and of a distorted one, greedy matching by distance, average precision against the true map.

Differences from that paper: regions are SIFT's key points (difference of Gaussians) in place of MSERs, circles in place
of ellipses, and photographs are the held-out ones.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from exemplar_client import Client
from training import photographs
from training.extent import PATCH

from . import baselines, bootstrap, distortions, ranking, windows
from .windows import centres

REGIONS = 200
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
    """``seed`` draws the corners of perspectives, the ways of rotations, and noise."""

    model: str
    seed: int = 1


@dataclass
class View:
    """A photograph with its key points."""

    image: np.ndarray
    points: list


@dataclass
class Pair:
    """A photograph and its distorted copy, and which of their key points are the same place."""

    kind: str
    strength: float
    first: View
    second: View
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


def pairs(chosen: list[photographs.Photograph], levels: slice, seed: int) -> list[Pair]:
    """Each photograph with its distortions, of these levels; those without a region in common are left out."""
    result = []
    for photograph in chosen:
        image = photographs.load(photograph)
        first = View(image, detect(image))
        for kind, strengths in distortions.STRENGTHS.items():
            for level, strength in list(enumerate(strengths))[levels]:
                distorted, homography = distortions.distort(image, kind, strength, 100 * seed + level)
                second = View(distorted, detect(distorted))
                placed = distortions.followed(circles(first.points), homography)
                same = distortions.overlaps(placed, circles(second.points)) >= OVERLAP
                if same.any():
                    result.append(Pair(kind, strength, first, second, same))
    return result


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
        step = multiple * point.size / PATCH
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


@dataclass(frozen=True)
class Method:
    """Features of (image, key points, multiple, oriented), and what is tried on the photographs of the training split.
    ``like``: whose multiple and orientation it takes over."""

    describe: Callable[[np.ndarray, list, float, bool], np.ndarray]
    multiples: tuple[float, ...]
    metrics: tuple[str, ...]
    like: str | None = None

    def features(self, chosen: list[Pair], multiple: float, oriented: bool) -> list[list[np.ndarray]]:
        """The features of both views of each pair; those of a photograph in several pairs are made once."""
        known: dict[int, np.ndarray] = {}
        for view in (view for p in chosen for view in (p.first, p.second)):
            if id(view) not in known:
                known[id(view)] = self.describe(view.image, view.points, multiple, oriented)
        return [[known[id(p.first)], known[id(p.second)]] for p in chosen]


def methods(client: Client, model: str) -> dict[str, Method]:
    """By the names of their rows. ĝ reads what g is best with, since it is sixteen times the work."""
    cuts = lambda describe: lambda *where: describe(cut(*where))
    g = lambda w: client.embed(centres(w), model=model)
    quadrants = lambda w: client.embed(centres(w), layers="all", pool="quadrant", model=model)
    average = lambda w: client.embed(w, average=DRAWS, seed=0, model=model)
    return {
        "raw pixels": Method(
            cuts(lambda w: baselines.raw(centres(w), 16, True)), MULTIPLES, ("euclidean", "correlation")
        ),
        "SIFT": Method(sift, SIFT_MULTIPLES, ("euclidean", "hellinger")),
        "g": Method(cuts(g), MULTIPLES, ranking.METRICS),
        "quadrants": Method(cuts(quadrants), MULTIPLES, ranking.METRICS),
        f"ĝ with surroundings, K = {DRAWS}": Method(cuts(average), MULTIPLES, ranking.METRICS, like="g"),
    }


def run(plan: Plan, client: Client) -> dict:
    """``settings`` of each method; ``scores[method]``: mean average precision over all pairs and its difference from
    SIFT's, both as [value, low, high], by kind and strength ``kinds[kind][strength]``; how many pairs and regions.

    The intervals are of a bootstrap over pairs, which are three photographs with all their distortions: they say how
    much a mean hangs on which distortions were made of these photographs, and nothing about other photographs.
    """
    tuning = pairs([p for p in photographs.TRAINING if p.name in TUNED_WITH], slice(2, 3), 0)
    judged = pairs(list(photographs.HELD_OUT), slice(None), plan.seed)
    settings: dict[str, dict] = {}
    scores: dict[str, np.ndarray] = {}
    for name, method in methods(client, plan.model).items():
        settings[name] = chosen = _choose(method, tuning, settings)
        scores[name] = _scores(
            method.features(judged, chosen["multiple"], chosen["oriented"]), judged, chosen["metric"]
        )
        print(f"matching: {name}: {chosen}, {scores[name].mean():.3f}", file=sys.stderr, flush=True)
    return {
        "settings": settings, "pairs": len(judged),
        "regions": float(np.mean([p.same.any(axis=1).sum() for p in judged])),
        "scores": {
            name: {
                "mean": bootstrap.interval(values[np.newaxis]),
                "above SIFT": bootstrap.interval((values - scores["SIFT"])[np.newaxis]),
                "kinds": _by_kind(values, judged),
            }
            for name, values in scores.items()
        },
    }


def _by_kind(values: np.ndarray, judged: list[Pair]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {}
    for p, value in zip(judged, values):
        found.setdefault(p.kind, {}).setdefault(f"{p.strength:g}", []).append(value)
    return {kind: {level: float(np.mean(rows)) for level, rows in levels.items()} for kind, levels in found.items()}


def _scores(features: list[list[np.ndarray]], judged: list[Pair], metric: str) -> np.ndarray:
    return np.array([
        average_precision(ranking.distances(*both, metric), p.same) for both, p in zip(features, judged)
    ])


def _choose(method: Method, tuning: list[Pair], settings: dict[str, dict]) -> dict:
    """Multiple, orientation and metric with the highest mean average precision."""
    tried = []
    places = itertools.product(method.multiples, (False, True))
    if method.like:
        places = [(settings[method.like]["multiple"], settings[method.like]["oriented"])]
    for multiple, oriented in places:
        features = method.features(tuning, multiple, oriented)
        for metric in method.metrics:
            tried.append((float(_scores(features, tuning, metric).mean()), multiple, oriented, metric))
    score, multiple, oriented, metric = max(tried)
    return {"multiple": multiple, "oriented": oriented, "metric": metric, "average_precision": score}

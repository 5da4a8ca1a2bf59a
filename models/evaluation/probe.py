"""A linear SVM on frozen features of labelled images, and how much each layer counts in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from exemplar_client import Client
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from . import baselines, bootstrap, labelled, served

PENALTIES = tuple(10.0**power for power in range(-2, 4))
"""C, for features whose squared norm is 1 on average."""

FOLDS = 3
SCALINGS = ("norm", "standard")
"""Features over the RMS of their norm, one number for all; or each dimension to mean 0 and variance 1 first. Which of
the two, and C, each representation chooses for itself by cross-validation on the part to learn from."""

HOG_SETTINGS = tuple({"upsampling": 1, "cell": cell, "block": block} for cell in (4, 8, 16) for block in (1, 2))
RAW_SETTINGS = tuple({"side": side, "grey": True} for side in (8, 16, 32))


@dataclass(frozen=True)
class Plan:
    """``seeds`` choose what is learnt from and what is judged."""

    model: str
    seeds: tuple[int, ...] = (1, 2, 3)
    tasks: tuple[str, ...] = tuple(labelled.TASKS)


@dataclass(frozen=True)
class Fitted:
    """One hyperplane a class, for scaled features: weights [classes, D] and intercepts; what cross-validation chose,
    and its accuracy there."""

    scaler: Callable[[np.ndarray], np.ndarray]
    classes: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray
    scaling: str
    penalty: float
    validated: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        return self.classes[np.argmax(self.scaler(features) @ self.weights.T + self.intercepts, axis=1)]


def fit(features: np.ndarray, labels: np.ndarray, scalings: tuple[str, ...] = SCALINGS) -> Fitted:
    """One-against-all linear SVM; scaling and C with the highest accuracy in three folds, the smaller C of equals.

    With few images and many dimensions the products of images are all that a linear SVM needs: they are made once.
    """
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(features, labels))
    best: Fitted | None = None
    for scaling in scalings:
        scaler = _scaler(scaling, features)
        scaled = scaler(features)
        products = scaled @ scaled.T
        for penalty in PENALTIES:
            scores = []
            for learnt, judged in folds:
                classes, duals, intercepts = _hyperplanes(products[np.ix_(learnt, learnt)], labels[learnt], penalty)
                values = products[np.ix_(judged, learnt)] @ duals.T + intercepts
                scores.append(np.mean(classes[np.argmax(values, axis=1)] == labels[judged]))
            score = float(np.mean(scores))
            if best is None or score > best.validated:
                classes, duals, intercepts = _hyperplanes(products, labels, penalty)
                best = Fitted(scaler, classes, duals @ scaled, intercepts, scaling, penalty, score)
    return best


def _hyperplanes(products: np.ndarray, labels: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, for each the weight of every image in its normal [classes, n], and intercepts."""
    classes = np.unique(labels)
    duals, intercepts = np.zeros((len(classes), len(labels))), np.zeros(len(classes))
    for index, name in enumerate(classes):
        machine = SVC(kernel="precomputed", C=penalty).fit(products, labels == name)
        duals[index, machine.support_] = machine.dual_coef_[0]
        intercepts[index] = machine.intercept_[0]
    return classes, duals, intercepts


def _scaler(scaling: str, features: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What makes the mean squared norm of these features 1: one factor for all, or one for each dimension."""
    features = np.asarray(features, np.float64)
    centre, spread = np.zeros(features.shape[1]), np.ones(features.shape[1])
    if scaling == "standard":
        centre, spread = features.mean(axis=0), features.std(axis=0)
        # A dimension that never changes stays 0.
        spread = np.where(spread > 1e-9 * (spread.max() or 1.0), spread, np.inf)
    norm = np.sqrt((((features - centre) / spread) ** 2).sum(axis=1).mean()) or 1.0
    return lambda given: (np.asarray(given, np.float64) - centre) / spread / norm


def shares(weights: np.ndarray, sizes: dict[str, int]) -> dict[str, float]:
    """The part of ‖w‖² that falls to each layer: weights [classes, D], layers in order with their dimensions."""
    squares, start, result = (np.atleast_2d(weights) ** 2).sum(axis=0), 0, {}
    if sum(sizes.values()) != len(squares):
        raise ValueError(f"layers of {sum(sizes.values())} dimensions, weights of {len(squares)}")
    for name, size in sizes.items():
        result[name] = float(squares[start : start + size].sum() / squares.sum())
        start += size
    return result


def run(plan: Plan, client: Client, untrained: Client | None) -> dict:
    """``tasks[task][representation]``: accuracy, its difference from pooled features (both as [value, low, high], the
    difference paired), what was chosen for each seed; ``shares[task][layer]``: mean of the seeds.

    Intervals are over the images of each class that were judged, each with its scores of all seeds
    (`bootstrap.by_unit`).
    """
    layers = served.weighted_layers(client, plan.model)
    layers = layers[: layers.index(client.model(plan.model)["embedding"]) + 1]
    tasks: dict[str, dict] = {}
    parts: dict[str, dict[str, float]] = {}
    for task in plan.tasks:
        right: dict[str, list[np.ndarray]] = {}
        chosen: dict[str, list[dict]] = {}
        weights, units, labels = [], [], []
        for seed in plan.seeds:
            print(f"probe: {task}, seed {seed}", file=sys.stderr, flush=True)
            split = labelled.TASKS[task](seed)
            both = np.concatenate([split.patches, split.test_patches])
            count = len(split.labels)
            units.append(split.test_units)
            labels.append(split.test_labels)
            described = _representations(both, plan.model, layers, client, untrained)
            for name, candidates in described.items():
                tried = [(fit(features[:count], split.labels), features) for features in candidates.values()]
                index = int(np.argmax([fitted.validated for fitted, _ in tried]))
                best, features = tried[index]
                predicted = best.predict(features[count:])
                right.setdefault(name, []).append((predicted == split.test_labels).astype(float))
                chosen.setdefault(name, []).append({
                    "settings": list(candidates)[index], "scaling": best.scaling, "C": best.penalty,
                    "cross-validated": best.validated,
                })
            sizes = {name: described[f"{name}, quadrants"][""].shape[1] for name in layers}
            scaled = fit(described[POOLED][""][:count], split.labels, ("norm",))
            weights.append(shares(scaled.weights, sizes))
        pooled = np.stack(right[POOLED])
        judged = lambda scores: bootstrap.interval(*bootstrap.by_unit(scores, np.stack(units), np.stack(labels)))
        tasks[task] = {
            name: {
                "accuracy": judged(np.stack(rows)), "below pooled": judged(pooled - np.stack(rows)),
                "chosen": chosen[name],
            }
            for name, rows in right.items()
        }
        parts[task] = {name: float(np.mean([share[name] for share in weights])) for name in layers}
    return {"tasks": tasks, "shares": parts}


POOLED = "every layer, quadrants"


def _representations(
    patches: np.ndarray, model: str, layers: list[str], client: Client, untrained: Client | None
) -> dict[str, dict[str, np.ndarray]]:
    """Name → settings → features; of several settings cross-validation takes one."""
    grid = lambda describe, settings: {
        ", ".join(f"{key} {value}" for key, value in s.items()): describe(patches, **s) for s in settings
    }
    result = {"raw pixels": grid(baselines.raw, RAW_SETTINGS), "HOG": grid(baselines.histograms, HOG_SETTINGS)}
    if untrained is not None:
        random = f"{model}-random"
        scales = served.layer_scales(untrained, patches, random)
        result["random weights, quadrants"] = {"": served.pooled(untrained, patches, random, scales)}
    each = {name: client.embed(patches, layers=name, pool="quadrant", model=model) for name in layers}
    result.update({f"{name}, quadrants": {"": features} for name, features in each.items()})
    result["g"] = {"": client.embed(patches, model=model)}
    result[POOLED] = {"": np.concatenate(list(each.values()), axis=1)}
    return result

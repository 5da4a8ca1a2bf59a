"""Patch retrieval: which of n patches is this a transformed copy of? Held-out photographs, everything over the wire."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from exemplar_client import Client
from training import exemplars, photographs

from . import baselines, ranking, served, windows
from .windows import centres

STEPS = ("translation", "scale", "rotation", "contrast", "color", "hue")
SAMPLES = (1, 2, 4, 8, 16, 32, 64)
STEP_SAMPLES = (16,)
"""K for single steps; the whole list is for all of them together."""

GEOMETRY = ("translation", "scale", "rotation")
COLOURS = ("contrast", "color", "hue")
AVERAGED = (None, GEOMETRY, (*GEOMETRY, "hue"), ("translation", "scale"), ("translation",), COLOURS)
"""Steps over which ĝ may average, None for all: the best is chosen on the training photographs."""

CHOSEN_SAMPLES = 32
"""K at which steps and metrics of ĝ are chosen."""

DRAWS = 1_000_003
"""Added to a run's seed for the draws of ĝ, which are others than those that made the queries."""


@dataclass(frozen=True)
class Plan:
    """What is run: ``patches`` of the held-out photographs for each of ``seeds``; settings are chosen with ``tuning``
    patches of the training photographs, drawn with a seed that no run uses."""

    model: str
    patches: int = 450
    tuning: int = 300
    distance: float = 0.5
    seeds: tuple[int, ...] = (1, 2, 3)
    samples: tuple[int, ...] = SAMPLES
    step_samples: tuple[int, ...] = STEP_SAMPLES
    steps: tuple[str, ...] = STEPS


@dataclass
class Results:
    """``settings`` of every method; ``tasks[task][method]`` with ``mrr`` and ``top1`` as [value, low, high];
    ``ratios[method]``: its mean reciprocal rank over g's, all steps together, paired, as [value, low, high];
    ``displacement[method]``: how far all steps together move its features (`ranking.displacement`)."""

    settings: dict
    tasks: dict[str, dict[str, dict]] = field(default_factory=dict)
    ratios: dict[str, list[float]] = field(default_factory=dict)
    displacement: dict[str, float] = field(default_factory=dict)


@dataclass
class Method:
    """Features of windows [n, 74, 74, 3], whose middle is the patch: of queries, and of the database where that is
    described otherwise. The metric is that of ``family``."""

    family: str
    describe: Callable[[np.ndarray], np.ndarray]
    database: Callable[[np.ndarray], np.ndarray] | None = None

    def features(self, queries: np.ndarray, database: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.describe(queries), (self.database or self.describe)(database)


def run(plan: Plan, client: Client, untrained: Client | None) -> Results:
    """All methods on all tasks. ``untrained`` serves the same network with random weights; left out when None."""
    sources, database = _patches(plan, photographs.TRAINING, plan.tuning, 0)
    _say("choosing settings on the training photographs")
    learned = Learned(plan, client, untrained, centres(database))
    settings = learned.choose(windows.queries(client, sources, plan.model, 0, None), database)
    for name, choice in settings.items():
        _say(f"  {name}: {choice['settings']}, {choice['metric']}: mean reciprocal rank {choice['mrr']:.3f}")
    ranks: dict[str, dict[str, list[np.ndarray]]] = {}
    moved: dict[str, list[float]] = {}
    for seed in plan.seeds:
        sources, database = _patches(plan, photographs.HELD_OUT, plan.patches, seed)
        described: dict[str, np.ndarray] = {}
        for task in ("all", *plan.steps):
            _say(f"seed {seed}: {task}")
            found = windows.queries(client, sources, plan.model, seed, None if task == "all" else [task])
            counts = plan.samples if task == "all" else plan.step_samples
            for name, method in learned.methods(settings, counts, seed).items():
                if name not in described:
                    described[name] = (method.database or method.describe)(database)
                features, metric = (method.describe(found), described[name]), settings[method.family]["metric"]
                ranks.setdefault(task, {}).setdefault(name, []).append(ranking.ranks(*features, metric))
                if task == "all":
                    moved.setdefault(name, []).append(ranking.displacement(*features, metric))
    stacked = {task: {name: np.stack(rows) for name, rows in methods.items()} for task, methods in ranks.items()}
    return Results(
        settings,
        {task: {name: ranking.summary(rows) for name, rows in methods.items()} for task, methods in stacked.items()},
        {name: ranking.ratio(rows, stacked["all"]["g"]) for name, rows in stacked["all"].items()},
        {name: float(np.mean(values)) for name, values in moved.items()},
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _patches(plan: Plan, chosen: tuple, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Surroundings to make queries of, and those that the database shows: uint8 [n, 150, 150, 3], [n, 74, 74, 3]."""
    sources = exemplars.select(chosen, count, plan.distance, seed, windows.SOURCE).contexts
    return sources, centres(sources, windows.WINDOW)


class Learned:
    """The networks' representations as methods, beside the baselines."""

    def __init__(self, plan: Plan, client: Client, untrained: Client | None, tuning: np.ndarray):
        self._plan, self._client, self._untrained = plan, client, untrained
        self._random = f"{plan.model}-random"
        self._scales = served.layer_scales(untrained, tuning, self._random) if untrained else {}

    def choose(self, queries: np.ndarray, database: np.ndarray) -> dict[str, dict]:
        """Settings and metric of each family with the highest mean reciprocal rank on these patches."""
        settings = baselines.choose(centres(queries), centres(database))
        settings.update(baselines.choose(queries, database, baselines.WITH_SURROUNDINGS))
        families: dict[str, list[tuple[dict, Method]]] = {}
        for method in self._fixed().values():
            families.setdefault(method.family, []).append(({}, method))
        for steps in AVERAGED:
            choice = {"steps": list(steps or STEPS)}
            for family in (AVERAGE, AVERAGE_CONTEXT) if steps is None else (AVERAGE_CHOSEN,):
                families.setdefault(family, []).append((choice, self._average(family, CHOSEN_SAMPLES, 0, steps)))
        families[AVERAGE_CHOSEN].append(families[AVERAGE_CONTEXT][0])
        families[AVERAGE_DATABASE] = [({}, self._one_sided(CHOSEN_SAMPLES, 0))]
        for family, candidates in families.items():
            tried = []
            for choice, method in candidates:
                features = method.features(queries, database)
                tried += [(ranking.mrr(*features, metric), metric, choice) for metric in ranking.METRICS]
            score, metric, choice = max(tried, key=lambda entry: entry[0])
            settings[family] = {"settings": choice, "metric": metric, "mrr": score}
            if len(candidates) > 1:
                settings[family]["tried"] = [[score, metric, choice["steps"]] for score, metric, choice in tried]
        return settings

    def methods(self, settings: dict, counts: tuple[int, ...], seed: int) -> dict[str, Method]:
        """Every method by the name of its row; ``counts`` are the K of ĝ."""
        # Single steps are told for fewer rows: these are most of the work.
        together = CHOSEN_SAMPLES in counts
        result = {}
        for name, (describe, _, _) in (baselines.BASELINES | baselines.WITH_SURROUNDINGS).items():
            whole, chosen = name in baselines.WITH_SURROUNDINGS, settings[name]["settings"]
            if together or not whole:
                result[name] = Method(
                    name, lambda w, d=describe, c=chosen, whole=whole: d(w if whole else centres(w), **c)
                )
        result.update(self._fixed())
        for family in (AVERAGE, AVERAGE_CONTEXT):
            result.update({named(family, count): self._average(family, count, seed, None) for count in counts})
        if together:
            steps = settings[AVERAGE_CHOSEN]["settings"]["steps"]
            result[named(AVERAGE_CHOSEN, CHOSEN_SAMPLES)] = self._average(AVERAGE_CHOSEN, CHOSEN_SAMPLES, seed, steps)
            result[named(AVERAGE_DATABASE, CHOSEN_SAMPLES)] = self._one_sided(CHOSEN_SAMPLES, seed)
        return result

    def _fixed(self) -> dict[str, Method]:
        client, untrained, model, result = self._client, self._untrained, self._plan.model, {}
        if untrained is not None:
            result["random weights, g"] = lambda w: untrained.embed(centres(w), model=self._random)
            result["random weights, quadrants"] = (
                lambda w: served.pooled(untrained, centres(w), self._random, self._scales)
            )
        result["g"] = self._g
        result["quadrants"] = lambda w: client.embed(centres(w), layers="all", pool="quadrant", model=model)
        return {name: Method(name, describe) for name, describe in result.items()}

    def _g(self, shown: np.ndarray) -> np.ndarray:
        return self._client.embed(centres(shown), model=self._plan.model)

    def _average(self, family: str, count: int, seed: int, steps: tuple[str, ...] | None) -> Method:
        def describe(shown: np.ndarray) -> np.ndarray:
            shown = centres(shown) if family == AVERAGE else shown
            return self._client.embed(shown, average=count, seed=DRAWS + seed, steps=steps, model=self._plan.model)

        return Method(family, describe)

    def _one_sided(self, count: int, seed: int) -> Method:
        return Method(AVERAGE_DATABASE, self._g, self._average(AVERAGE_CONTEXT, count, seed, None).describe)


AVERAGE = "ĝ of bare patches"
AVERAGE_CONTEXT = "ĝ with surroundings"
AVERAGE_CHOSEN = "ĝ with surroundings, chosen steps"
AVERAGE_DATABASE = "g of queries, ĝ of the database with surroundings"


def named(family: str, count: int) -> str:
    """The name of a row."""
    return f"{family}, K = {count}"

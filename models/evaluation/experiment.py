"""Patch retrieval: which of n patches is this a transformed copy of? Held-out photographs, everything over the wire."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from exemplar_client import Client
from training import exemplars, photographs

from . import baselines, retrieval, served

STEPS = ("translation", "scale", "rotation", "contrast", "color", "hue")
SAMPLES = (1, 2, 4, 8, 16, 32, 64)
STEP_SAMPLES = (1, 16)
"""K for single steps; the whole list is for all of them together."""

Describe = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Plan:
    """What is run: ``patches`` of the held-out photographs for each of ``seeds``; the settings of the baselines are
    chosen with ``tuning`` patches of the training photographs, drawn with a seed that no run uses."""

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
    """``settings`` of the baselines; ``tasks[task][method]`` with ``mrr`` and ``top1`` as [value, low, high]."""

    settings: dict
    tasks: dict[str, dict[str, dict]] = field(default_factory=dict)


def centres(contexts: np.ndarray, side: int = exemplars.PATCH) -> np.ndarray:
    """The patches in the middle of contexts, uint8 [n, side, side, 3]."""
    margin = (contexts.shape[1] - side) // 2
    return contexts[:, margin : margin + side, margin : margin + side]


def run(plan: Plan, client: Client, untrained: Client | None) -> Results:
    """All methods on all tasks. ``untrained`` serves the same network with random weights; left out when None."""
    say = lambda text: print(text, file=sys.stderr, flush=True)
    say("choosing the baselines' settings on the training photographs")
    tuning = exemplars.select(photographs.TRAINING, plan.tuning, plan.distance, seed=0).contexts
    chosen = baselines.choose(served.queries(client, tuning, plan.model, 0, None), centres(tuning))
    for name, choice in chosen.items():
        say(f"  {name}: {choice['settings']}, {choice['metric']}: mean reciprocal rank {choice['mrr']:.3f}")
    results = Results(chosen)
    random_name = f"{plan.model}-random"
    scales = served.layer_scales(untrained, centres(tuning), random_name) if untrained else {}
    ranks: dict[str, dict[str, list[np.ndarray]]] = {}
    for seed in plan.seeds:
        contexts = exemplars.select(photographs.HELD_OUT, plan.patches, plan.distance, seed).contexts
        for task in ("all", *plan.steps):
            say(f"seed {seed}: {task}")
            found = served.queries(client, contexts, plan.model, seed, None if task == "all" else [task])
            counts = plan.samples if task == "all" else plan.step_samples
            methods = _methods(plan, client, untrained, random_name, scales, chosen, counts, seed)
            for name, (describe, metric) in methods.items():
                row = retrieval.ranks(describe(found), describe(centres(contexts)), metric)
                ranks.setdefault(task, {}).setdefault(name, []).append(row)
    results.tasks = {
        task: {name: retrieval.summary(np.stack(rows)) for name, rows in methods.items()} for task, methods in ranks.items()
    }
    return results


def _methods(
    plan: Plan, client: Client, untrained: Client | None, random_name: str, scales: dict[str, float], chosen: dict,
    counts: tuple[int, ...], seed: int,
) -> dict[str, tuple[Describe, str]]:
    """Name, features of patches, metric. A network's features are compared by cosine. Queries and database are bare
    patches, whose border is reflected; the draws of ĝ_K are others than those that made the queries."""

    def baseline(name: str) -> Describe:
        describe, _, _ = baselines.BASELINES[name]
        return lambda patches: describe(patches, **chosen[name]["settings"])

    def average(count: int) -> Describe:
        return lambda patches: client.embed(patches, average=count, seed=1_000_003 + seed, model=plan.model)

    methods = {name: (baseline(name), chosen[name]["metric"]) for name in baselines.BASELINES}
    if untrained is not None:
        methods["random weights, g"] = (lambda patches: untrained.embed(patches, model=random_name), "cosine")
        methods["random weights, quadrants"] = (
            lambda patches: served.pooled(untrained, patches, random_name, scales), "cosine"
        )
    methods["g"] = (lambda patches: client.embed(patches, model=plan.model), "cosine")
    methods["quadrants"] = (
        lambda patches: client.embed(patches, layers="all", pool="quadrant", model=plan.model), "cosine"
    )
    methods.update({f"ĝ, K = {count}": (average(count), "cosine") for count in counts})
    return methods

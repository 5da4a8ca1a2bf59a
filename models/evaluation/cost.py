"""What an embedding costs: time for a patch, over the wire, with all of the server's cores at work."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from exemplar_client import Client

from . import windows
from .retrieval import SAMPLES

PASSES = 1024
"""Forward passes in one measurement, as near as whole patches come to it."""


@dataclass(frozen=True)
class Plan:
    """Each figure is the median of ``repeats`` measurements, interleaved, after one that does not count. Patches are
    noise: the time does not depend on what they show."""

    model: str
    samples: tuple[int, ...] = SAMPLES
    repeats: int = 3
    seed: int = 1


def run(plan: Plan, client: Client) -> dict:
    """``microseconds``: of g, of ĝ of bare patches and of ĝ with surroundings for each K, for a patch, with what the
    client does to send and receive it."""
    generator = np.random.default_rng(plan.seed)
    shown = generator.integers(0, 256, (256, windows.WINDOW, windows.WINDOW, 3), dtype=np.uint8)
    cases = {("g", 1): (windows.centres(shown), None)}
    for count in plan.samples:
        some = shown[: max(8, min(len(shown), PASSES // count))]
        cases["ĝ of bare patches", count] = (windows.centres(some), count)
        cases["ĝ with surroundings", count] = (some, count)
    taken: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    for round_number in range(plan.repeats + 1):
        for case, (patches, count) in cases.items():
            start = time.perf_counter()
            client.embed(patches, average=count, seed=None if count is None else plan.seed, model=plan.model)
            if round_number:
                taken[case].append((time.perf_counter() - start) / len(patches) * 1e6)
    result: dict[str, dict[str, float]] = {}
    for (name, count), values in taken.items():
        result.setdefault(name, {})[str(count)] = float(np.median(values))
    return {"microseconds": result, "threads": client.model(plan.model).get("threads")}

"""The parts of the evaluation by name, each stored as JSON of its own."""

from __future__ import annotations

import dataclasses
import json
from argparse import Namespace
from pathlib import Path

from exemplar_client import Client

from . import PARTS, cost, matching, probe, retrieval

SERVED = ("name", "sha256", "isa", "accuracy")
"""What a result keeps of the server's description of the model."""


def run(part: str, options: Namespace, client: Client, untrained: Client | None, output: Path) -> None:
    """Runs one part by the options of the command line and writes ``output``/PART.json."""
    model, seeds = options.model, tuple(range(1, options.seeds + 1))
    if part == "retrieval":
        samples = tuple(count for count in retrieval.SAMPLES if count <= options.draws)
        steps = () if options.together else retrieval.STEPS
        plan = retrieval.Plan(model, options.patches, seeds=seeds, samples=samples, steps=steps)
        store(part, output, client, plan, dataclasses.asdict(retrieval.run(plan, client, untrained)))
    elif part == "probe":
        plan = probe.Plan(model, seeds)
        store(part, output, client, plan, probe.run(plan, client, untrained))
    elif part == "matching":
        plan = matching.Plan(model)
        store(part, output, client, plan, matching.run(plan, client))
    elif part == "cost":
        plan = cost.Plan(model)
        store(part, output, client, plan, cost.run(plan, client))
    else:
        raise ValueError(f"no part is named {part}; there are {', '.join(PARTS)}")


def store(part: str, output: Path, client: Client, plan: object, results: dict) -> None:
    """The results with what they were made by, in one step: never a half-written file."""
    description = client.model(plan.model)
    everything = {
        "model": {key: description.get(key) for key in SERVED}, "plan": dataclasses.asdict(plan), **results
    }
    output.mkdir(parents=True, exist_ok=True)
    unfinished = output / f".{part}.json"
    unfinished.write_text(json.dumps(everything, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(output / f"{part}.json")


def stored(output: Path) -> dict[str, dict]:
    """The parts that a folder of results holds."""
    return {
        part: json.loads((output / f"{part}.json").read_text(encoding="utf-8"))
        for part in PARTS if (output / f"{part}.json").exists()
    }

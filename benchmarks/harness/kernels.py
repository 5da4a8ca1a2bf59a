"""Single layers, kernel by kernel, on one core, against the peak of their instruction set."""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

from . import networks
from .contender import Worker
from .networks import Convolution, Linear, Network, Pool

IMAGES = 12
"""Of one pass of a convolution: two groups of as many as run together (`ExecutionPlan.maximumGroup`)."""
PHASES = ("input transform", "tuple multiplication", "output transform")


@dataclass(frozen=True)
class Case:
    kind: str  # "direct", "winograd" or "linear"
    layer: str
    network: Network
    batch: int
    instruction_set: str
    is_half: bool = False

    @property
    def title(self) -> str:
        return f"{self.kind} {self.layer}, {self.instruction_set}"


def cases(instruction_sets: list[str]) -> list[Case]:
    """A 1×1 convolution that is not counted makes the many channels that the layer wants."""
    convolutions = [("64→64 at 16×16", 64, 64, 16), ("128→256 at 8×8", 128, 256, 8)]
    result = []
    for name in instruction_sets:
        for title, inputs, outputs, side in convolutions:
            layers = (Convolution("expand", inputs, 1), Convolution("conv", outputs, 5))
            result.append(Case("direct", title, Network("direct", layers, side=side), IMAGES, name))
        tail = (Pool("pool", 2), Linear("tail", 16))
        first = (Convolution("conv", 64, 5), *tail)
        result.append(Case("winograd", "3→64 at 32×32, pooled", Network("winograd", first), IMAGES, name))
        for title, inputs, outputs, side in convolutions:
            layers = (Convolution("expand", inputs, 1), Convolution("conv", outputs, 5), *(tail if side == 16 else ()))
            title += ", pooled" if side == 16 else ""
            result.append(Case("winograd", title, Network("winograd", layers, side=side), IMAGES, name))
        linear = Network("linear", (Linear("fc", 512),), channels=16)
        for is_half in (False, True) if name != "portable" else (False,):
            for batch in (1, 8, 64):
                title = f"16384→512, {'F16' if is_half else 'F32'} weights, batch {batch}"
                result.append(Case("linear", title, linear, batch, name, is_half))
    return result


def measure(case: Case, worker: Worker, cores: list[int], folder: Path, arguments: argparse.Namespace) -> dict:
    """Medians over rounds, each with its own measure of the peak."""
    path = folder / f"{case.kind} {case.layer} {case.instruction_set}"
    parameters = networks.random_parameters(case.network)
    networks.write_folder(case.network, networks.half(parameters) if case.is_half else parameters, path)
    worker.ask(
        "load",
        folder=str(path),
        batch=case.batch,
        cores=cores,
        instruction_set=case.instruction_set,
        accuracy="exact" if case.kind == "direct" else "standard",
        timed=True,
    )
    probe = {"cores": cores, "instruction_set": case.instruction_set, "seconds": arguments.seconds / 5}
    rounds = []
    for _ in range(arguments.rounds):
        peak = worker.ask("multiply_add", **probe)["gflops"]
        rounds.append((worker.ask("run", seconds=arguments.seconds), peak))
    tuples = rounds[0][0]["tuples"]
    layer, channels, side = next(e for e in case.network.shapes() if e[0].name in ("conv", "fc"))
    seconds = {
        phase: statistics.median(reply["kernels"].get(phase, 0) for reply, _ in rounds) / case.batch
        for phase in rounds[0][0]["kernels"]
    }
    direct = 2 * side * side * channels
    direct *= layer.channels * layer.kernel**2 if isinstance(layer, Convolution) else layer.features
    result = {"kind": case.kind, "layer": case.layer, "instruction_set": case.instruction_set}
    result["peak"] = statistics.median(peak for _, peak in rounds)
    if case.kind == "winograd":
        # One product for each point, and three for the two at ±i, which only the tiles of 8×8 outputs have.
        products = round(tuples**0.5)
        has_imaginary = products % 2 == 1
        outputs = products - has_imaginary - 4
        tiles = ((side + outputs - 1) // outputs) ** 2
        # Products of few channels are made inside the output transform.
        apart = "tuple multiplication" in seconds
        operations = 2 * tiles * tuples * channels * layer.channels
        counted = ("tuple multiplication" if apart else "output transform",)
        result["algorithm"] = f"F({outputs}×{outputs}, 5×5{', i' if has_imaginary else ''})"
        result["microseconds"] = {phase: seconds.get(phase, 0) * 1e6 for phase in PHASES}
        result["effective"] = direct / sum(result["microseconds"].values()) * 1e-3
    else:
        operations, counted = direct, ("product",)
        result["microseconds"] = {"product": seconds["product"] * 1e6}
    rates = [
        (operations * case.batch / sum(reply["kernels"].get(phase, 0) for phase in counted) * 1e-9, peak)
        for reply, peak in rounds
    ]
    fastest = min(sum(reply["fastest_kernels"].get(phase, 0) for phase in counted) for reply, _ in rounds)
    result["best"] = 100 * operations * case.batch / fastest * 1e-9 / max(peak for _, peak in rounds)
    result["share"] = statistics.median(reply["share"] for reply, _ in rounds)
    result["gflops"] = statistics.median(rate for rate, _ in rates)
    result["percent"] = statistics.median(100 * rate / peak for rate, peak in rates)
    return result

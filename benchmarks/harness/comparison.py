"""Whole networks: ours and the peers', in interleaved rounds on the same cores."""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import figures, networks
from .contender import Worker, WorkerError, our_worker, peer_worker
from .figures import AS_ACCURATE
from .progress import Progress

# A new peer is a module in peers/ and a row here.
PEERS = {
    "PyTorch": ("pytorch", "float32"),
    "ONNX Runtime": ("onnx_runtime", "float32"),
    "OpenVINO": ("openvino_runtime", "float32"),
    "MNN": ("mnn_runtime", "float32"),
    "ONNX Runtime int8": ("onnx_runtime_int8", "int8"),
    "OpenVINO int8": ("openvino_int8", "int8"),
}
# Accuracy, and whether the linear layer's weights are stored in float16.
OURS = {
    "exemplar": ("standard", False),
    "exemplar, F16 weights": ("standard", True),
    "exemplar, exact": ("exact", False),
    "exemplar, fast": ("fast", False),
}
LIMITS = {"ours": AS_ACCURATE, "fast": 1e-3, "float32": 2e-4}
"""Of the relative RMS difference of a patch from the reference in double precision. MNN's Winograd convolutions reach
1.3e-4 on the large network; a peer that computed in float16 or bfloat16 unasked would be beyond 2e-4."""


@dataclass(frozen=True)
class Cell:
    network: str
    batch: int
    threads: int

    @property
    def title(self) -> str:
        return f"{self.network}, batch {self.batch}, {self.threads} thread{'s' * (self.threads > 1)}"


class Comparison:
    """The workers of all contenders, and the networks' files."""

    def __init__(
        self, arguments: argparse.Namespace, prober: Worker, cores: list[int], folder: Path, notes: list[str]
    ) -> None:
        self._arguments, self._prober, self._cores, self._folder = arguments, prober, cores, folder
        self._notes = notes
        # A run against peers needs one of ours; a run without peers shows all our variants.
        names = list(OURS)[:1] if arguments.only == "peers" else list(OURS)
        self._ours = {name: our_worker(cores) for name in names}
        self._peers: dict[tuple[str, int], Worker] = {}
        self._lost: set[str] = set()
        self._parameters: tuple[str, dict[str, np.ndarray]] = ("", {})
        self._references: dict[tuple[str, bool], np.ndarray] = {}

    def close(self) -> None:
        for worker in [*self._ours.values(), *self._peers.values()]:
            worker.close()

    def measure(self, cell: Cell, progress: Progress) -> dict:
        progress.show(cell.title)
        cores = self._cores[: cell.threads]
        network = networks.exemplar_network(cell.network)
        ready = self._load_ours(cell, network) + self._load_peers(cell, network, progress)
        peaks: list[float] = []
        shares: list[float] = []
        for round_ in range(self._arguments.rounds):
            progress.show(cell.title, f"round {round_ + 1} of {self._arguments.rounds}")
            seconds = self._arguments.seconds / 5
            peaks.append(self._prober.ask("multiply_add", cores=cores, seconds=seconds)["gflops"])
            # Each round begins with another contender, so that no one always follows the same neighbour.
            for contender, worker in ready[round_ % len(ready) :] + ready[: round_ % len(ready)]:
                try:
                    reply = worker.ask("run", seconds=self._arguments.seconds)
                    contender["passes"].append(reply["median"])
                    shares += [reply["share"]] if "share" in reply else []
                except WorkerError as error:
                    if contender["is_ours"]:
                        raise
                    self._note(f"{contender['name']} failed on {cell.title}: {error}")
        # One that failed in a round has no figures.
        whole = [(c, passes) for c, _ in ready if len(passes := c.pop("passes")) == len(peaks)]
        contenders = figures.of_rounds(whole, peaks, cell.batch, 2 * network.multiply_adds())
        result = {"network": cell.network, "batch": cell.batch, "threads": cell.threads}
        return result | {
            "peak": statistics.median(peaks),
            "share": statistics.median(shares),
            "contenders": contenders,
        }

    def bounds(self, cell: Cell, measured: dict) -> list[dict]:
        """What batch 1 cannot beat: reading the linear layer's weights once, and its own convolutions, which more
        threads share no better than the multiply-add probe does."""
        network, seconds = networks.exemplar_network(cell.network), self._arguments.seconds
        single, cores, result = self._cores[:1], self._cores[: cell.threads], []
        for contender in measured["contenders"]:
            if OURS.get(contender["name"], ("", False))[0] != "standard":
                continue
            is_half = OURS[contender["name"]][1]
            size = network.linear_weights() * (2 if is_half else 4)
            worker = self._ours[contender["name"]]
            # Kernels are timed on one core only.
            worker.ask("load", folder=str(self._model(network, is_half)), batch=1, cores=single, timed=True)
            kernels = worker.ask("run", seconds=seconds)["kernels"]
            # From wherever so many bytes live: memory, or a cache that holds them.
            bandwidth = self._prober.ask("read", cores=cores, bytes=size, seconds=seconds)["bytes_per_second"]
            probes = [
                self._prober.ask("multiply_add", cores=each, seconds=seconds / 5)["gflops"] for each in (single, cores)
            ]
            convolution = sum(time for phase, time in kernels.items() if phase != "product") * probes[0] / probes[1]
            bound = {"network": cell.network, "threads": cell.threads, "name": contender["name"], "bytes": size}
            bound |= {"bandwidth": bandwidth, "convolution_ms": convolution * 1e3}
            bound |= {"bound_ms": (size / bandwidth + convolution) * 1e3, "measured_ms": contender["ms"]}
            result.append(bound)
        return result

    def _load_ours(self, cell: Cell, network: networks.Network) -> list[tuple[dict, Worker]]:
        cores, ready = self._cores[: cell.threads], []
        patches = networks.random_patches(network, cell.batch)
        file = self._folder / "patches"
        patches.tofile(file)
        for name, worker in self._ours.items():
            accuracy, is_half = OURS[name]
            folder = str(self._model(network, is_half))
            worker.ask("load", folder=folder, batch=cell.batch, cores=cores, accuracy=accuracy)
            output = self._folder / "embeddings"
            worker.ask("outputs", patches=str(file), output=str(output))
            difference = self._difference(network, is_half, patches, output)
            contender = {"name": name, "kind": "float32", "is_ours": True, "difference": difference, "passes": []}
            limit = LIMITS["fast" if accuracy == "fast" else "ours"]
            if not difference <= limit:
                contender["wrong"] = True
                self._note(f"{name} is off by {difference:.1e} on {cell.title}: more than {limit:.0e}.")
            ready.append((contender, worker))
        return ready

    def _load_peers(self, cell: Cell, network: networks.Network, progress: Progress) -> list[tuple[dict, Worker]]:
        ready = []
        patches = networks.random_patches(network, cell.batch)
        folder = self._folder / network.name
        folder.mkdir(exist_ok=True)
        for name, (module, kind) in PEERS.items() if self._arguments.only != "networks" else ():
            if name in self._lost:
                continue
            progress.show(cell.title, f"loading {name}")
            key = (name, cell.threads)
            if key not in self._peers:
                self._peers[key] = peer_worker(module, self._cores[: cell.threads])
            worker, output = self._peers[key], self._folder / "embeddings"
            try:
                loaded = worker.ask(
                    "load", network=network.name, folder=str(folder), batch=cell.batch, threads=cell.threads
                )
                worker.ask("outputs", output=str(output))
            except WorkerError as error:
                if "No module named" in str(error):
                    self._note(f"{name} is left out: {error}.")
                    self._lost.add(name)
                else:
                    self._note(f"{name} is left out of {cell.title}: {error}.")
                continue
            difference = self._difference(network, False, patches, output)
            if kind in LIMITS and not difference <= LIMITS[kind]:
                self._note(
                    f"{name} is left out of {cell.title}: it is off by {difference:.1e}, more than {LIMITS[kind]:.0e}."
                )
                continue
            contender = {"name": name, "kind": kind, "is_ours": False, "difference": difference, "passes": []}
            ready.append((contender | loaded, worker))
        return ready

    def _model(self, network: networks.Network, is_half: bool) -> Path:
        folder = self._folder / f"{network.name}-{'F16' if is_half else 'F32'}"
        if not folder.exists():
            networks.write_folder(network, self._stored(network, is_half), folder)
        return folder

    def _stored(self, network: networks.Network, is_half: bool) -> dict[str, np.ndarray]:
        if self._parameters[0] != network.name:
            self._parameters = (network.name, networks.random_parameters(network))
        return networks.half(self._parameters[1]) if is_half else self._parameters[1]

    def _difference(self, network: networks.Network, is_half: bool, patches: np.ndarray, output: Path) -> float:
        """The relative RMS difference of the worst patch of the batch from the reference."""
        # The first patches are the same in every batch.
        known = self._references.get((network.name, is_half), np.empty((0, network.shapes()[-1][0].features)))
        while len(known) < len(patches):
            some = patches[len(known) : len(known) + 64]  # Maps in double precision are large.
            known = np.concatenate([known, networks.reference(network, self._stored(network, is_half), some)])
        self._references[network.name, is_half] = known
        wanted = known[: len(patches)]
        found = np.fromfile(output, np.float32).reshape(wanted.shape)
        return float((np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)).max())

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.append(sentence)

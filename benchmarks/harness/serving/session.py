"""One session: servers, rounds, offered load, promises, report."""

from __future__ import annotations

import argparse
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .. import beginning, ending, machine, model_folder, networks
from ..contender import Worker, our_worker
from ..progress import Progress
from . import measurements, report
from .load import Loads, Stage
from .servers import Exemplar, Mosec, MosecSettings, Server, ServerError

TOLERANCE = 3e-4
"""Of the relative RMS difference between the two servers' embeddings: both compute in float32, in another order."""


def batching(cores: int) -> tuple[MosecSettings, ...]:
    """What mosec is tried with: where batches end, whether one worker has all threads, how long a batch may wait."""
    choices = (
        MosecSettings(cores, 1, 16, 1),
        MosecSettings(1, cores, 32, 1),
        MosecSettings(cores, 1, 8, 1),
        MosecSettings(cores, 1, 16, 5),
        MosecSettings(1, cores, 16, 1),
        MosecSettings(1, cores, 8, 1),
        MosecSettings(cores, 1, 1, 1),
    )
    if cores < 4:
        return choices
    return (*choices, MosecSettings(cores // 2, 2, 16, 1), MosecSettings(cores // 4, 4, 16, 1))


def unbatched(cores: int) -> tuple[MosecSettings, ...]:
    return MosecSettings(1, cores, 1, 1), MosecSettings(cores, 1, 1, 1)


def run(arguments: argparse.Namespace) -> int:
    """The exit status; --help says what each means."""
    if arguments.source is not None:
        return ENDING.again(arguments)
    if not beginning.build_worker() or not (arguments.binary or beginning.build_server()):
        return 1
    arguments.binary = arguments.binary or beginning.SERVER
    results = {"quick": arguments.quick, "model": arguments.model.name, "notes": []}
    results["settings"] = {"rounds": arguments.rounds, "seconds": arguments.seconds}

    def measure() -> None:
        with tempfile.TemporaryDirectory(prefix="exemplar-serving-") as folder:
            session = Session(arguments, results, Path(folder))
            try:
                session.measure()
            finally:
                session.close()

    return ENDING.write(results, arguments, ending.status_of(measure))


class Session:
    def __init__(self, arguments: argparse.Namespace, results: dict, folder: Path) -> None:
        self._arguments, self._results, self._folder = arguments, results, folder
        self._stage, self._peers = Stage(), []
        self._worker: Worker | None = None

    def close(self) -> None:
        self._stage.close()
        if self._worker is not None:
            self._worker.close()

    def measure(self) -> None:
        arguments, results = self._arguments, self._results
        cores = machine.physical_cores()
        self._worker = our_worker(cores)
        results["machine"] = machine.card(self._worker.ask("machine")["instruction_sets"])
        model = model_folder.read(arguments.model)
        patches = networks.random_patches(model.network, 64)
        loads = Loads(arguments.binary, patches, results["notes"])
        choices = batching(len(cores))
        choices = choices[:2] if arguments.quick else choices
        progress = Progress(4 * len(choices) + 40 + 40 + 20)
        progress.show("starting the servers")
        exemplar = self._exemplar("exemplar", arguments.model)
        float32 = model_folder.write_float32(arguments.model, self._folder / "F32")
        wide = self._exemplar("exemplar, F32 weights", float32)
        wanted = self._stage.only(exemplar).embed(patches)
        self._compare(self._stage.only(wide), wanted, patches)
        contenders: dict[str, Server] = {"exemplar": exemplar, "exemplar, F32 weights": wide}
        if find_spec("mosec") and find_spec("onnx") and find_spec("onnxruntime"):
            self._add_peers(contenders, model, choices, len(cores), loads, progress, wanted, patches)
        else:
            results["notes"].append("mosec or ONNX Runtime is not installed: there is no peer to compare with.")
        measure = measurements.Measurements(arguments, results, self._stage, loads, progress)
        if arguments.only in (None, "rounds"):
            measure.rounds(contenders, self._worker, cores)
        if arguments.only in (None, "offered"):
            measure.offered({name: contenders[name] for name in ("exemplar", "mosec") if name in contenders})
        if arguments.only in (None, "promises"):
            measure.idle_connections(exemplar)
            measure.overload(exemplar)
            measure.allocations(exemplar)
            measure.restarts(exemplar, lambda: self._exemplar("exemplar", arguments.model))
        progress.end()

    @staticmethod
    def _compare(server: Server, wanted: np.ndarray, patches: np.ndarray) -> float:
        """The relative RMS difference from what the first server answered, with the same weights.

        :raises ServerError: it is more than rounding.
        """
        off = float(np.linalg.norm(server.embed(patches) - wanted) / np.linalg.norm(wanted))
        if not off <= TOLERANCE:
            raise ServerError(f"{server.name} and exemplar do not agree: {off:.1e} apart, more than {TOLERANCE:.0e}")
        return off

    def _exemplar(self, name: str, model: Path) -> Exemplar:
        log = self._folder / f"{model.name}.log"
        return self._stage.add(Exemplar(name, self._arguments.binary, model, log))

    def _add_peers(
        self,
        contenders: dict[str, Server],
        model: model_folder.ModelFolder,
        choices: tuple[MosecSettings, ...],
        cores: int,
        loads: Loads,
        progress: Progress,
        wanted: np.ndarray,
        patches: np.ndarray,
    ) -> None:
        """mosec as it is fastest at 32 connections, and as it answers one soonest without batching."""
        from peers import exchange  # Needs onnx.

        file = self._folder / "network.onnx"
        exchange.save(model.network, model.parameters, file, model.preprocessing)
        tried = []
        seconds = min(1.5, self._arguments.seconds)

        def best(settings: tuple[MosecSettings, ...], connections: int, key) -> Server | None:
            kept, figure = None, None
            for setting in settings:
                progress.show(f"trying mosec: {setting}, {connections} connections")
                try:
                    log = self._folder / f"mosec-{len(tried)}.log"
                    server = self._stage.add(Mosec("mosec", file, setting, patches[0], log))
                except ServerError as error:
                    self._results["notes"].append(f"{error} ({setting}).")
                    continue
                off = self._compare(self._stage.only(server), wanted, patches)
                found = loads.measure(server, seconds, connections)
                tried.append({"settings": str(setting), "connections": connections, "difference": off, **found})
                progress.advance(4)
                if figure is None or key(found) < figure:
                    if kept is not None:
                        self._stage.remove(kept)
                    kept, figure = server, key(found)
                else:
                    self._stage.remove(server)
            return kept

        fast = best(choices, 32, lambda found: -found["patches_per_second"])
        soon = best(unbatched(cores)[: 1 if self._arguments.quick else 2], 1, lambda found: found["latency_ms"]["p50"])
        self._results["tried"] = tried
        for name, server in (("mosec", fast), ("mosec, no batching", soon)):
            if server is not None:
                server.name = name
                contenders[name] = server
                self._results.setdefault("configurations", {})[name] = str(server.settings)


def _report(results: dict, folder: Path) -> None:
    report.write(results, folder / "serving.md")
    print((folder / "serving.md").read_text())


FIGURES = ("rounds", "offered", "idle", "overload", "allocations", "restarts")
ENDING = ending.Ending("serving.json", FIGURES, _report, report.write)

"""ONNX Runtime: every graph optimisation; one intra-operator thread a core, or a session for each, whichever is
faster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from harness.networks import Network, normalised, random_patches

from . import exchange
from .split import Split, is_possible
from .worker import fastest


class Session:
    configuration = ""

    def __init__(self, file: Path, batch: int, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_free_dimension_override_by_name("N", batch)
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def bind(self, inputs: np.ndarray) -> None:
        self._binding = self._session.io_binding()
        self._binding.bind_cpu_input("patches", inputs)
        self._binding.bind_output("embeddings", "cpu")
        self._inputs = inputs  # Read in place.

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> np.ndarray:
        return self._binding.copy_outputs_to_cpu()[0]


class Peer:
    file = exchange.FLOAT32

    def __init__(self, network: Network, folder: Path, batch: int, threads: int) -> None:
        exchange.write(network, folder)
        file = folder / self.file
        choices = [Session(file, batch, threads)]
        if is_possible(batch, threads):
            choices.append(Split(lambda part: Session(file, part, 1), batch, threads))
            choices[0] = fastest(choices, normalised(random_patches(network, batch)))
        self.configuration = choices[0].configuration
        self.bind, self.run, self.outputs = choices[0].bind, choices[0].run, choices[0].outputs

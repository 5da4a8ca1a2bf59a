"""ONNX Runtime: every graph optimisation, one intra-operator thread a core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from harness.networks import Network

from . import exchange


class Peer:
    file = exchange.FLOAT32

    def __init__(self, network: Network, folder: Path, batch: int, threads: int) -> None:
        exchange.write(network, folder)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_free_dimension_override_by_name("N", batch)
        self._session = onnxruntime.InferenceSession(folder / self.file, options, providers=["CPUExecutionProvider"])

    def bind(self, inputs: np.ndarray) -> None:
        self._binding = self._session.io_binding()
        self._binding.bind_cpu_input("patches", inputs)
        self._binding.bind_output("embeddings", "cpu")
        self._inputs = inputs  # Read in place.

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> np.ndarray:
        return self._binding.copy_outputs_to_cpu()[0]

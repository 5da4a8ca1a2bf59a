"""ONNX Runtime: every graph optimisation; one intra-operator thread a core, or a session for each, whichever is
faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from harness.networks import Network

from . import exchange
from .split import instances
from .worker import choose


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


def make(network: Network, folder: Path, batch: int, threads: int) -> Any:
    exchange.write(network, folder)
    return fastest(folder / exchange.FLOAT32, network, batch, threads)


def fastest(file: Path, network: Network, batch: int, threads: int) -> Any:
    """Of the ways to run the network in `file`."""
    return choose(instances(lambda part, count: Session(file, part, count), batch, threads), network, batch)

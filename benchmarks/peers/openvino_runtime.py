"""OpenVINO in float32: one request with every thread on it, or one request a thread, whichever is faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino

from harness.networks import Network

from . import exchange
from .split import is_possible
from .worker import choose


class Requests:
    """A batch split evenly among as many requests as the hint makes streams."""

    def __init__(self, file: Path, batch: int, threads: int, hint: str, streams: int) -> None:
        core = openvino.Core()
        model = core.read_model(file)
        model.reshape({0: [batch // streams, *list(model.input(0).partial_shape)[1:]]})
        properties = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams,
        }
        compiled = core.compile_model(model, "CPU", properties)
        self._requests = [compiled.create_infer_request() for _ in range(streams)]
        self.configuration = f"{hint.lower()} hint, {streams} stream" + "s" * (streams > 1)

    def bind(self, inputs: np.ndarray) -> None:
        self._parts = np.split(inputs, len(self._requests))
        for request, part in zip(self._requests, self._parts):
            request.set_input_tensor(openvino.Tensor(part, shared_memory=True))

    def run(self) -> None:
        if len(self._requests) == 1:
            self._requests[0].infer()
            return
        for request in self._requests:
            request.start_async()
        for request in self._requests:
            request.wait()

    def outputs(self) -> np.ndarray:
        return np.concatenate([request.get_output_tensor().data for request in self._requests])


def make(network: Network, folder: Path, batch: int, threads: int) -> Any:
    exchange.write(network, folder)
    return fastest(folder / exchange.FLOAT32, network, batch, threads)


def fastest(file: Path, network: Network, batch: int, threads: int) -> Any:
    """Of the ways to run the network in `file`."""
    choices = [Requests(file, batch, threads, "LATENCY", 1)]
    if is_possible(batch, threads):
        choices.append(Requests(file, batch, threads, "THROUGHPUT", threads))
    return choose(choices, network, batch)

"""OpenVINO in float32: one request with every thread on it, or one request a thread, whichever is faster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino

from harness.networks import Network, normalised, random_patches

from . import exchange
from .worker import fastest


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


class Peer:
    file = exchange.FLOAT32

    def __init__(self, network: Network, folder: Path, batch: int, threads: int) -> None:
        exchange.write(network, folder)
        choices = [Requests(folder / self.file, batch, threads, "LATENCY", 1)]
        if threads > 1 and batch % threads == 0:
            choices.append(Requests(folder / self.file, batch, threads, "THROUGHPUT", threads))
        if len(choices) > 1:
            choices[0] = fastest(choices, normalised(random_patches(network, batch)))
        requests = choices[0]
        self.configuration = requests.configuration
        self.bind, self.run, self.outputs = requests.bind, requests.run, requests.outputs

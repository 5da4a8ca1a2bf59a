"""MNN: high precision, which is float32, and Winograd convolutions, which are on unless switched off; a session on all
cores, or one for each, whichever is faster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import MNN
import numpy as np

from harness.networks import Network

from . import exchange
from .split import instances
from .worker import choose


class Session:
    configuration = ""

    def __init__(self, network: Network, file: Path, batch: int, threads: int) -> None:
        self._interpreter = MNN.Interpreter(str(file))
        self._session = self._interpreter.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
        self._input = self._interpreter.getSessionInput(self._session)
        self._interpreter.resizeTensor(self._input, (batch, network.channels, network.side, network.side))
        self._interpreter.resizeSession(self._session)

    def bind(self, inputs: np.ndarray) -> None:
        self._source = MNN.Tensor(inputs.shape, MNN.Halide_Type_Float, inputs, MNN.Tensor_DimensionType_Caffe)
        self._inputs = inputs

    def run(self) -> None:
        # A session may use its input's memory for other maps, so each pass brings it anew.
        self._input.copyFrom(self._source)
        self._interpreter.runSession(self._session)

    def outputs(self) -> np.ndarray:
        output = self._interpreter.getSessionOutput(self._session)
        shape = output.getShape()
        target = MNN.Tensor(
            shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32), MNN.Tensor_DimensionType_Caffe
        )
        output.copyToHostTensor(target)
        return np.array(target.getData(), dtype=np.float32).reshape(shape)


def make(network: Network, folder: Path, batch: int, threads: int) -> Any:
    exchange.write(network, folder)
    file = folder / "network.mnn"
    if not file.exists():
        arguments = ["-f", "ONNX", "--modelFile", str(folder / exchange.FLOAT32), "--MNNModel", str(file)]
        command = [sys.executable, "-m", "MNN.tools.mnnconvert", *arguments, "--bizCode", "benchmark"]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not file.exists():
            raise RuntimeError("mnnconvert did not convert the network")
    return choose(instances(lambda part, count: Session(network, file, part, count), batch, threads), network, batch)

"""MNN: high precision, which is float32, and Winograd convolutions, which are on unless switched off; a session on all
cores, or one for each, whichever is faster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import MNN
import numpy as np

from harness.networks import Network, normalised, random_patches

from . import exchange
from .split import Split, is_possible
from .worker import fastest


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


class Peer:
    def __init__(self, network: Network, folder: Path, batch: int, threads: int) -> None:
        exchange.write(network, folder)
        file = folder / "network.mnn"
        if not file.exists():
            arguments = ["-f", "ONNX", "--modelFile", str(folder / exchange.FLOAT32), "--MNNModel", str(file)]
            command = [sys.executable, "-m", "MNN.tools.mnnconvert", *arguments, "--bizCode", "benchmark"]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if not file.exists():
                raise RuntimeError("mnnconvert did not convert the network")
        choices = [Session(network, file, batch, threads)]
        if is_possible(batch, threads):
            choices.append(Split(lambda part: Session(network, file, part, 1), batch, threads))
            choices[0] = fastest(choices, normalised(random_patches(network, batch)))
        self.configuration = choices[0].configuration
        self.bind, self.run, self.outputs = choices[0].bind, choices[0].run, choices[0].outputs

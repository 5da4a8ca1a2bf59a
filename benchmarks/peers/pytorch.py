"""PyTorch: a frozen, optimised TorchScript graph; channels first or last, on all cores or one graph for each, whichever
is faster."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.networks import Convolution, Network, Pool, normalised, random_parameters, random_patches

from .split import instances
from .worker import choose

FORMATS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


class Graph:
    def __init__(self, module: torch.nn.Module, inputs: np.ndarray, configuration: str) -> None:
        self.configuration = configuration
        self._memory_format = FORMATS[configuration]
        example = torch.from_numpy(inputs).to(memory_format=self._memory_format)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = torch.jit.trace(module.to(memory_format=self._memory_format), example)
            self._graph = torch.jit.optimize_for_inference(torch.jit.freeze(graph))

    def bind(self, inputs: np.ndarray) -> None:
        self._inputs = torch.from_numpy(inputs).to(memory_format=self._memory_format)

    def run(self) -> None:
        with torch.inference_mode():
            self._outputs = self._graph(self._inputs)

    def outputs(self) -> np.ndarray:
        return self._outputs.numpy()


def make(network: Network, folder: Path, batch: int, threads: int) -> Any:
    torch.set_num_threads(threads)
    inputs = normalised(random_patches(network, batch))
    choices = []
    for name in FORMATS:
        choices += instances(
            lambda part, _: Graph(_module(network), inputs[:part], name), batch, threads,
            lambda: torch.set_num_threads(1),
        )
    return choose(choices, network, batch)


def _module(network: Network) -> torch.nn.Module:
    parameters = random_parameters(network)
    modules: list[torch.nn.Module] = []
    linear = False
    for layer, channels, side in network.shapes():
        if isinstance(layer, Pool):
            modules.append(torch.nn.MaxPool2d(layer.side))
            continue
        if isinstance(layer, Convolution):
            module = torch.nn.Conv2d(channels, layer.channels, layer.kernel, padding=layer.kernel // 2)
        else:
            if not linear:
                modules.append(torch.nn.Flatten())
            linear = True
            module = torch.nn.Linear(channels * side * side, layer.features)
        module.weight.data = torch.from_numpy(parameters[f"{layer.name}.weight"])
        module.bias.data = torch.from_numpy(parameters[f"{layer.name}.bias"])
        modules += [module, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules).eval()

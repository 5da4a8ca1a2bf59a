"""PyTorch: a frozen, optimised TorchScript graph; channels first or last, on all cores or one graph for each, whichever
is faster."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from harness.networks import Convolution, Network, Pool, normalised, random_parameters, random_patches

from .split import Split, is_possible
from .worker import fastest


class Graph:
    def __init__(self, module: torch.nn.Module, inputs: np.ndarray, memory_format: torch.memory_format) -> None:
        self._memory_format = memory_format
        example = torch.from_numpy(inputs).to(memory_format=memory_format)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = torch.jit.trace(module.to(memory_format=memory_format), example)
            self._graph = torch.jit.optimize_for_inference(torch.jit.freeze(graph))

    def bind(self, inputs: np.ndarray) -> None:
        self._inputs = torch.from_numpy(inputs).to(memory_format=self._memory_format)

    def run(self) -> None:
        with torch.inference_mode():
            self._outputs = self._graph(self._inputs)

    def outputs(self) -> np.ndarray:
        return self._outputs.numpy()


class Peer:
    def __init__(self, network: Network, folder: Path, batch: int, threads: int) -> None:
        torch.set_num_threads(threads)
        inputs = normalised(random_patches(network, batch))
        formats = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
        graphs = {name: Graph(_module(network), inputs, format_) for name, format_ in formats.items()}
        if is_possible(batch, threads):
            for name, format_ in formats.items():
                def make(part: int, format_: torch.memory_format = format_) -> Graph:
                    return Graph(_module(network), inputs[:part], format_)

                split = Split(make, batch, threads, lambda: torch.set_num_threads(1))
                graphs[f"{name}, {split.configuration}"] = split
        graph = fastest(list(graphs.values()), inputs)
        self.configuration = next(name for name, value in graphs.items() if value is graph)
        self.bind, self.run, self.outputs = graph.bind, graph.run, graph.outputs


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

"""Reads a model folder (docs/model-format.md) as far as its embedding, for whoever runs it by other means."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .networks import Convolution, Linear, Network, Pool, write_tensors

_TYPES = {"F32": np.float32, "F16": np.float16}


@dataclass(frozen=True)
class Preprocessing:
    """From pixels 0 … 255 to the network's units, for each channel: pixel · factor + offset."""

    factor: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True)
class ModelFolder:
    network: Network
    parameters: dict[str, np.ndarray]  # As they are stored, those of the embedding alone.
    preprocessing: Preprocessing


def read(folder: Path) -> ModelFolder:
    """:raises ValueError: where the network is not a sequence that `networks.Network` describes."""
    configuration = json.loads((folder / "config.json").read_text())
    layers = []
    for entry in configuration["layers"]:
        layers.append(_layer(entry))
        if entry["name"] == configuration["embedding"]:
            break
    inputs = configuration["input"]
    if inputs["height"] != inputs["width"]:
        raise ValueError(f"{folder}: its patches are not square")
    preprocessing = configuration["preprocessing"]
    std = np.asarray(preprocessing["std"], np.float64)
    factor, offset = preprocessing["scale"] / std, -np.asarray(preprocessing["mean"], np.float64) / std
    names = {f"{layer.name}.{kind}" for layer in layers for kind in ("weight", "bias")}
    tensors = {name: tensor for name, tensor in _tensors(folder / "model.safetensors").items() if name in names}
    return ModelFolder(
        Network(configuration["name"], tuple(layers), inputs["channels"], inputs["height"]),
        tensors,
        Preprocessing(factor.astype(np.float32), offset.astype(np.float32)),
    )


def write_float32(folder: Path, target: Path) -> Path:
    """The same network with every weight in float32."""
    target.mkdir(parents=True)
    (target / "config.json").write_text((folder / "config.json").read_text())
    tensors = _tensors(folder / "model.safetensors")
    write_tensors({name: tensor.astype(np.float32) for name, tensor in tensors.items()}, target / "model.safetensors")
    return target


def _layer(entry: dict) -> Convolution | Pool | Linear:
    kind, name = entry["type"], entry["name"]
    if kind == "convolution" and (entry.get("stride", 1), entry["padding"]) == (1, entry["kernel"] // 2):
        layer = Convolution(name, entry["out_channels"], entry["kernel"])
    elif kind == "max_pool" and (entry["stride"], entry.get("padding", 0)) == (entry["kernel"], 0):
        return Pool(name, entry["kernel"])
    elif kind == "linear":
        layer = Linear(name, entry["out_features"])
    else:
        raise ValueError(f"layer {name} is none that the benchmarks know: {entry}")
    if entry.get("activation") != "relu":
        raise ValueError(f"layer {name} has another activation than relu")
    return layer


def _tensors(file: Path) -> dict[str, np.ndarray]:
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], _TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors

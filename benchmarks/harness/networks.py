"""The networks that are measured: shapes, seeded weights, model folders, and a reference in double precision."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MEAN, STD, SCALE = 0.45, 0.25, 1 / 255


@dataclass(frozen=True)
class Convolution:
    """Stride 1, zero padding that keeps the side, ReLU."""

    name: str
    channels: int
    kernel: int


@dataclass(frozen=True)
class Pool:
    """Maximum over windows of `side` × `side` that do not overlap."""

    name: str
    side: int


@dataclass(frozen=True)
class Linear:
    """With ReLU."""

    name: str
    features: int


Layer = Convolution | Pool | Linear


@dataclass(frozen=True)
class Network:
    name: str
    layers: tuple[Layer, ...]
    channels: int = 3
    side: int = 32

    @property
    def embedding(self) -> str:
        return [layer.name for layer in self.layers if not isinstance(layer, Pool)][-1]

    def shapes(self) -> list[tuple[Layer, int, int]]:
        """Each layer with the channels and the side of the map that flows into it."""
        channels, side, result = self.channels, self.side, []
        for layer in self.layers:
            result.append((layer, channels, side))
            if isinstance(layer, Convolution):
                channels = layer.channels
            elif isinstance(layer, Pool):
                side //= layer.side
            else:
                channels, side = layer.features, 1
        return result

    def multiply_adds(self) -> int:
        """Of one patch, by direct convolution."""
        total = 0
        for layer, channels, side in self.shapes():
            if isinstance(layer, Convolution):
                total += side * side * layer.kernel**2 * channels * layer.channels
            elif isinstance(layer, Linear):
                total += channels * side * side * layer.features
        return total

    def linear_weights(self) -> int:
        return sum(c * s * s * layer.features for layer, c, s in self.shapes() if isinstance(layer, Linear))


def exemplar_network(name: str) -> Network:
    """The networks of Dosovitskiy et al. 2014, section 4.1, without a head."""
    first, *rest, features = {
        "small": (64, 64, 128),
        "medium": (64, 128, 256, 512),
        "large": (92, 256, 512, 1024),
    }[name]
    layers: list[Layer] = [Convolution("conv1", first, 5), Pool("pool1", 2)]
    layers += [Convolution("conv2", rest[0], 5), Pool("pool2", 2)]
    layers += [Convolution(f"conv{index + 3}", channels, 5) for index, channels in enumerate(rest[1:])]
    return Network(name, (*layers, Linear("fc", features)))


def random_parameters(network: Network, seed: int = 1406) -> dict[str, np.ndarray]:
    """By He et al. 2015, so that activations neither vanish nor explode."""
    generator = np.random.default_rng(seed)
    parameters = {}
    for layer, channels, side in network.shapes():
        if isinstance(layer, Pool):
            continue
        if isinstance(layer, Convolution):
            shape = (layer.channels, channels, layer.kernel, layer.kernel)
        else:
            shape = (layer.features, channels * side * side)
        weights = generator.standard_normal(shape, dtype=np.float32)
        parameters[f"{layer.name}.weight"] = weights * np.float32((2 / np.prod(shape[1:])) ** 0.5)
        parameters[f"{layer.name}.bias"] = generator.standard_normal(shape[0], dtype=np.float32) * np.float32(0.1)
    return parameters


def random_patches(network: Network, count: int, seed: int = 6909) -> np.ndarray:
    """[count, height, width, channels] uint8."""
    shape = (count, network.side, network.side, network.channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def normalised(patches: np.ndarray) -> np.ndarray:
    """[count, channels, height, width] float32, in the network's own units."""
    return np.ascontiguousarray(((patches * SCALE - MEAN) / STD).transpose(0, 3, 1, 2), dtype=np.float32)


def half(parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same with the weights of linear layers in float16."""
    return {k: v.astype(np.float16) if v.ndim == 2 else v for k, v in parameters.items()}


def reference(network: Network, parameters: dict[str, np.ndarray], patches: np.ndarray) -> np.ndarray:
    """Embeddings [count, features] in double precision, by sums over shifted maps."""
    # [channels, count, height, width]: a sum over channels is one product of matrices for all patches.
    maps = ((patches * SCALE - MEAN) / STD).transpose(3, 0, 1, 2)
    for layer, _, side in network.shapes():
        channels, count = maps.shape[:2]
        if isinstance(layer, Pool):
            maps = maps.reshape(channels, count, side // layer.side, layer.side, -1, layer.side).max(axis=(3, 5))
            continue
        weights = parameters[f"{layer.name}.weight"].astype(np.float64)
        bias = parameters[f"{layer.name}.bias"].astype(np.float64)[:, None, None, None]
        if isinstance(layer, Convolution):
            border = layer.kernel // 2
            padded = np.pad(maps, ((0, 0), (0, 0), (border, border), (border, border)))
            maps = bias + sum(
                np.tensordot(weights[:, :, y, x], padded[:, :, y : y + side, x : x + side], 1)
                for y in range(layer.kernel)
                for x in range(layer.kernel)
            )
        else:
            maps = (weights @ maps.swapaxes(0, 1).reshape(count, -1).T)[:, :, None, None] + bias
        maps = np.maximum(maps, 0)
    return maps.reshape(len(maps), -1).T


def write_folder(network: Network, parameters: dict[str, np.ndarray], folder: Path) -> Path:
    """A model folder, as docs/model-format.md says."""
    folder.mkdir(parents=True)
    layers = []
    for layer in network.layers:
        if isinstance(layer, Convolution):
            kind = {"type": "convolution", "out_channels": layer.channels, "kernel": layer.kernel}
            kind |= {"padding": layer.kernel // 2, "activation": "relu"}
        elif isinstance(layer, Pool):
            kind = {"type": "max_pool", "kernel": layer.side, "stride": layer.side}
        else:
            kind = {"type": "linear", "out_features": layer.features, "activation": "relu"}
        layers.append({"name": layer.name, **kind})
    configuration = {
        "format": "exemplar-network/1",
        "name": network.name,
        "input": {"channels": network.channels, "height": network.side, "width": network.side},
        "preprocessing": {"scale": SCALE, "mean": [MEAN] * network.channels, "std": [STD] * network.channels},
        "layers": layers,
        "embedding": network.embedding,
    }
    (folder / "config.json").write_text(json.dumps(configuration))
    write_tensors(parameters, folder / "model.safetensors")
    return folder


def write_tensors(tensors: dict[str, np.ndarray], file: Path) -> None:
    """As safetensors."""
    header, offset = {}, 0
    for name, tensor in tensors.items():
        kind = {"float32": "F32", "float16": "F16"}[tensor.dtype.name]
        header[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    with open(file, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            out.write(tensor.tobytes())

"""Writes the model folder: weights, config.json, float64 golden vectors, a subset of the exemplars."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from . import train
from .network import ExemplarNetwork

GOLDEN_PATCHES = 4
KEPT_EXEMPLARS = 512


def write(configuration: train.Configuration, folder: Path, output: Path) -> None:
    """Exports ``folder``'s checkpoint to ``output``; raises CheckpointError where there is none."""
    checkpoint = train.read_checkpoint(configuration, folder)
    if checkpoint is None:
        raise train.CheckpointError(f"{folder} holds no checkpoint: train first")
    data = train.Data.load(configuration)
    network = ExemplarNetwork(configuration.model, configuration.exemplars, configuration.dropout)
    network.load_state_dict(checkpoint["network"])
    network.eval()
    output.mkdir(parents=True, exist_ok=True)
    weights = {name: np.ascontiguousarray(value.numpy()) for name, value in network.state_dict().items()}
    save_file(weights, output / "model.safetensors")
    mean, std = data.mean.tolist(), data.std.tolist()
    config = {
        "format": "exemplar-network/1",
        "name": configuration.model,
        "input": {"channels": 3, "height": 32, "width": 32},
        "preprocessing": {"scale": 1 / 255, "mean": mean, "std": std},
        "layers": network.specification,
        "embedding": "fc",
        "head": "head",
        "feature_scales": feature_scales(network, data),
        "transformations": transformations(configuration, data),
    }
    (output / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(golden(network, data), output / "golden.safetensors")
    generator = torch.Generator().manual_seed(configuration.seed)
    kept = torch.randperm(configuration.exemplars, generator=generator)[:KEPT_EXEMPLARS].sort().values
    save_file(
        {"patches": np.ascontiguousarray(data.contexts[kept].permute(0, 2, 3, 1).numpy()),
         "index": kept.numpy().astype(np.int32)},
        output / "exemplars.safetensors",
    )
    print(f"wrote {output} from step {checkpoint['step']} of {configuration.steps}", file=sys.stderr)


def centres(data: train.Data) -> torch.Tensor:
    """The exemplars themselves: uint8 [N, 3, 32, 32]."""
    return data.contexts[:, :, 21:53, 21:53]


def golden(network: ExemplarNetwork, data: train.Data) -> dict[str, np.ndarray]:
    """Patches, and every layer's output in float64 from the weights as stored."""
    patches = centres(data)[:GOLDEN_PATCHES]
    wide = {name: value.double() for name, value in network.state_dict().items()}
    x = (patches.double() / 255 - data.mean[:, None, None]) / data.std[:, None, None]
    result = {"patches": np.ascontiguousarray(patches.permute(0, 2, 3, 1).numpy())}
    outputs = torch.func.functional_call(Outputs(network), {f"network.{k}": v for k, v in wide.items()}, (x,))
    for name, value in outputs.items():
        result[name] = np.ascontiguousarray(value.float().numpy())
    return result


class Outputs(torch.nn.Module):
    """The network, answering with every layer."""

    def __init__(self, network: ExemplarNetwork):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.network.outputs(x)


@torch.no_grad()
def feature_scales(network: ExemplarNetwork, data: train.Data) -> dict[str, float]:
    """1 / RMS norm of each layer's quadrant-pooled features over 256 exemplars, so that layers weigh alike."""
    x = (centres(data)[:256].float() / 255 - data.mean.float()[:, None, None]) / data.std.float()[:, None, None]
    scales = {}
    for name, value in network.outputs(x).items():
        if name.startswith("pool") or name == "head":
            continue
        if value.ndim == 2:
            value = value[:, :, None, None]
        pooled = torch.nn.functional.adaptive_max_pool2d(value, 2).flatten(1)
        scales[name] = float(f"{1 / pooled.square().sum(1).mean().sqrt().item():.6g}")
    return scales


def transformations(configuration: train.Configuration, data: train.Data) -> dict:
    """config.json's ``transformations``: the ranges that training drew from."""
    ranges = configuration.ranges
    return {
        "translation": ranges.translation,
        "scale": list(ranges.scale),
        "rotation_degrees": ranges.rotation_degrees,
        "contrast": {
            "mean": data.colour_mean.tolist(),
            "components": data.components.tolist(),
            "sigma": list(ranges.contrast_sigma),
        },
        "color": {"power": list(ranges.power), "factor": list(ranges.factor), "offset": list(ranges.offset)},
        "hue": list(ranges.hue),
        "border": "reflect",
    }

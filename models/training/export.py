"""Writes the model folder: config.json, weights, golden vectors, a subset of the exemplars, the card."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from . import card, evaluate, network, train
from .extent import CENTRE, PATCH

FILES = ("config.json", "model.safetensors", "golden.safetensors", "exemplars.safetensors", "README.md")
GOLDEN_PATCHES = 3
EXEMPLARS_KEPT = 512
HALF_PRECISION = {"medium": ("fc", "head"), "large": ("fc", "head")}  # Keeps every file below 40 MB.


def write(configuration: train.Configuration, folder: Path, output: Path, name: str) -> None:
    """Exports ``folder``'s checkpoint, whole or half-trained, to the model folder ``output``.

    :param name: what the model is served as.
    """
    checkpoint = train.read_checkpoint(configuration, folder)
    if checkpoint is None:
        raise train.CheckpointError(f"{folder} has no checkpoint: train first")
    data = train.Data.load(configuration)
    output.mkdir(parents=True, exist_ok=True)
    save_file(stored(configuration, checkpoint["network"]), output / "model.safetensors")
    trained = load(configuration, output / "model.safetensors")
    patches = data.contexts[:, :, CENTRE, CENTRE]
    scales = feature_scales(trained, normalised(patches, data))
    text = json.dumps(description(configuration, name, data, scales), indent=2)
    (output / "config.json").write_text(text + "\n")
    outputs = golden(configuration.model, trained, patches[:GOLDEN_PATCHES], json.loads(text))
    save_file(outputs, output / "golden.safetensors")
    kept = np.random.default_rng(configuration.seed).choice(
        configuration.exemplars, min(EXEMPLARS_KEPT, configuration.exemplars), replace=False
    )
    kept = torch.from_numpy(np.sort(kept))
    save_file(
        {"patches": data.contexts[kept].permute(0, 2, 3, 1).contiguous(), "index": kept.to(torch.int32)},
        output / "exemplars.safetensors",
    )
    print("measuring on fresh transformations", file=sys.stderr)
    figures = {
        "trained": evaluate.surrogate(trained, data, configuration),
        "random": evaluate.surrogate(evaluate.untrained(configuration), data, configuration, draws=4),
    }
    digest = hashlib.sha256((output / "model.safetensors").read_bytes()).hexdigest()
    readme = output / "README.md"
    text = card.text(configuration, name, checkpoint, data, figures, digest)
    if readme.exists():
        text, dropped = card.merged(text, readme.read_text(), digest)
        if dropped:
            print(f"{readme}: {', '.join(dropped)} spoke of other weights and are gone: evaluate anew", file=sys.stderr)
    readme.write_text(text)
    for file in FILES:
        (output / file).chmod(0o644)  # safetensors writes files for their owner alone; a server runs as another user.
    print(f"wrote {output}", file=sys.stderr)


def check_exemplars(data: train.Data, output: Path) -> None:
    """That the exemplars which a model folder keeps are those of ``data``: figures would be of other classes."""
    kept = load_file(output / "exemplars.safetensors")
    index = kept["index"].long()
    if index.max() >= len(data.contexts) or not torch.equal(data.contexts[index].permute(0, 2, 3, 1), kept["patches"]):
        raise train.CheckpointError(
            f"{output} was trained on other exemplars: give the --exemplars, --distance, --seed and --photographs of "
            "its training"
        )


def stored(configuration: train.Configuration, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict as model.safetensors holds it: F32, F16 for the wide layers of the larger networks."""
    half = HALF_PRECISION.get(configuration.model, ())
    return {
        name: tensor.to(torch.float16 if name.split(".")[0] in half else torch.float32).contiguous()
        for name, tensor in state.items()
    }


def load(configuration: train.Configuration, path: Path) -> network.ExemplarNetwork:
    """The network with the weights as stored, in float32, ready for inference."""
    result = network.ExemplarNetwork(configuration.model, configuration.exemplars, configuration.dropout)
    result.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return result.eval()


def normalised(patches: torch.Tensor, data: train.Data) -> torch.Tensor:
    """uint8 [B, 3, 32, 32] in the network's own units, float32."""
    return (patches.float() / 255 - data.mean.float()[:, None, None]) / data.std.float()[:, None, None]


@torch.inference_mode()
def feature_scales(trained: network.ExemplarNetwork, inputs: torch.Tensor) -> dict[str, float]:
    """One constant for every layer with weights, the head excluded: 1 / RMS over the training exemplars of the
    Euclidean norm of the layer's features, maps max-pooled over four quadrants, so that each layer weighs the same in
    a concatenation. A flat layer is a 1×1 map, whose value a server gives four times (docs/protocol.md)."""
    squares: dict[str, float] = {}
    for batch in inputs.split(500):
        for name, output in trained.outputs(batch).items():
            if name == "head" or name.startswith("pool"):
                continue
            maps = output if output.ndim == 4 else output[..., None, None]
            pooled = torch.nn.functional.adaptive_max_pool2d(maps, 2)
            squares[name] = squares.get(name, 0.0) + pooled.double().square().sum().item()
    return {name: (total / len(inputs)) ** -0.5 for name, total in squares.items()}


def description(configuration: train.Configuration, name: str, data: train.Data, scales: dict[str, float]) -> dict:
    """config.json."""
    ranges = configuration.ranges
    return {
        "format": "exemplar-network/1",
        "name": name,
        "input": {"channels": 3, "height": PATCH, "width": PATCH},
        "preprocessing": {"scale": 1 / 255, "mean": data.mean.tolist(), "std": data.std.tolist()},
        "layers": network.layers(configuration.model, configuration.exemplars),
        "embedding": "fc",
        "head": "head",
        "feature_scales": scales,
        "transformations": {
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
        },
    }


@torch.inference_mode()
def golden(
    model: str, trained: network.ExemplarNetwork, patches: torch.Tensor, config: dict
) -> dict[str, torch.Tensor]:
    """The self-test: ``patches`` U8 [n, 32, 32, 3] and every layer's output in float64 arithmetic from the weights as
    stored and the preprocessing as config.json says it, kept as F32."""
    exact = network.ExemplarNetwork(model, trained.head.out_features, 0.0).double().eval()
    exact.load_state_dict({name: tensor.double() for name, tensor in trained.state_dict().items()})
    preprocessing = config["preprocessing"]
    mean, std = (torch.tensor(preprocessing[key], dtype=torch.float64)[:, None, None] for key in ("mean", "std"))
    inputs = (patches.double() * preprocessing["scale"] - mean) / std
    result = {name: output.float().contiguous() for name, output in exact.outputs(inputs).items()}
    return {"patches": patches.permute(0, 2, 3, 1).contiguous(), **result}

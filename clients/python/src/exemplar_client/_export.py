"""Writes a model folder from weights that were trained anywhere."""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import _reference, _safetensors

GOLDEN_PATCHES = 3

_REQUIRED = {"convolution": ("out_channels", "kernel"), "max_pool": ("kernel", "stride"), "linear": ("out_features",)}
_LEAST = {"kernel": 1, "stride": 1, "padding": 0}


def export(
    state_dict: Mapping[str, Any],
    layers: Sequence[Mapping[str, Any]],
    folder: str | Path,
    *,
    name: str,
    input_shape: Sequence[int],
    preprocessing: Mapping[str, Any],
    embedding: str,
    head: str | None = None,
    transformations: Mapping[str, Any] | None = None,
    feature_scales: Mapping[str, float] | None = None,
    golden_patches: np.ndarray | None = None,
    dtype: Mapping[str, str] | None = None,
) -> Path:
    """Writes config.json, model.safetensors, golden.safetensors and, where there is none, a README.md to fill in.

    :param state_dict: ``<layer>.weight`` and ``<layer>.bias`` of every convolution [out, in, kernel height, kernel
        width] and linear layer [out, in], and nothing else: NumPy arrays or PyTorch tensors.
    :param layers: the network, in order, as in config.json.
    :param folder: where to; made if need be. Files of these names are written over, but for README.md.
    :param name: what the model is served as.
    :param input_shape: (H, W, C) of a patch.
    :param preprocessing: ``scale``, ``mean`` and ``std``: a pixel p of channel c enters as
        (p · scale − mean[c]) / std[c].
    :param embedding: the layer whose output is the embedding.
    :param head: the linear layer after it that tells exemplars apart, if there is one.
    :param transformations: the ranges of T_α, if the server shall draw from them.
    :param feature_scales: a factor for the pooled features of each layer.
    :param golden_patches: uint8 [n, H, W, C], inputs of the self-test; three of noise when None. Photographs are
        better.
    :param dtype: the type that a layer's weights are stored in, by layer: "F32" (default), "F16" or "BF16".
    :returns: the folder.
    :raises ValueError: weights, layers and shapes do not fit together; the message names what does not. Whatever else
        config.json must be is checked by ``exemplar model --model FOLDER``, which also runs the self-test.
    """
    height, width, channels = (int(side) for side in input_shape)
    layers = [dict(layer) for layer in layers]
    _check(layers, {"embedding": embedding, "head": head, "dtype": dtype, "feature_scales": feature_scales})
    config = {
        "format": "exemplar-network/1",
        "name": name,
        "input": {"channels": channels, "height": height, "width": width},
        "preprocessing": dict(preprocessing),
        "layers": layers,
        "embedding": embedding,
    }
    missing = [key for key in ("scale", "mean", "std") if key not in preprocessing]
    if missing:
        raise ValueError(f"preprocessing lacks {', '.join(missing)}: it must have scale, mean and std")
    optional = {"head": head, "feature_scales": feature_scales, "transformations": transformations}
    config.update({key: value for key, value in optional.items() if value is not None})

    stored = _stored(state_dict, layers, dtype or {})
    if golden_patches is None:
        noise = np.random.default_rng(0)
        golden_patches = noise.integers(0, 256, (GOLDEN_PATCHES, height, width, channels), dtype=np.uint8)
    outputs = _golden(config, stored, np.asarray(golden_patches))

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2, ensure_ascii=False, default=_plain)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    _safetensors.save(folder / "model.safetensors", stored)
    _safetensors.save(folder / "golden.safetensors", outputs)
    if not (folder / "README.md").exists():
        (folder / "README.md").write_text(_card(config, stored), encoding="utf-8")
    return folder


def _check(layers: list[dict], named: dict[str, Any]) -> None:
    names = []
    for index, layer in enumerate(layers):
        kind, name = layer.get("type"), layer.get("name")
        if kind not in _reference.KEYS or not isinstance(name, str):
            raise ValueError(f"layer {index} must have a name, and as its type one of {', '.join(_reference.KEYS)}")
        unknown = set(layer) - _reference.KEYS[kind] - {"type", "name"}
        if unknown:
            raise ValueError(f"{name}: a {kind} layer has no {', '.join(sorted(unknown))}")
        missing = [key for key in _REQUIRED[kind] if key not in layer]
        if missing:
            raise ValueError(f"{name}: a {kind} layer needs {', '.join(missing)}")
        for key, least in _LEAST.items():
            if key in layer and not _are_sides(layer[key], least):
                raise ValueError(f"{name}: {key} must be a whole number from {least} on, or two, not {layer[key]!r}")
        if name in names:
            raise ValueError(f"two layers have the name {name}")
        names.append(name)
    weighted = {layer["name"] for layer in layers if layer["type"] != "max_pool"}
    for argument, value in named.items():
        for name in [value] if isinstance(value, str) else value or ():
            if name not in weighted:
                raise ValueError(f"{argument} names {name}, which is no convolution or linear layer")


def _are_sides(value: Any, least: int) -> bool:
    sides = value if isinstance(value, (list, tuple)) else (value, value)
    return len(sides) == 2 and all(isinstance(side, numbers.Integral) and side >= least for side in sides)


def _stored(
    state_dict: Mapping[str, Any], layers: list[dict], dtype: Mapping[str, str]
) -> dict[str, tuple[np.ndarray, str]]:
    """The tensors as model.safetensors holds them, with their types."""
    weighted = [layer["name"] for layer in layers if layer["type"] != "max_pool"]
    wanted = [f"{name}.{what}" for name in weighted for what in ("weight", "bias")]
    missing, extra = [key for key in wanted if key not in state_dict], sorted(set(state_dict) - set(wanted))
    if missing or extra:
        raise ValueError(
            f"state_dict lacks {', '.join(missing) or 'nothing'} and has {', '.join(extra) or 'nothing'} that layers "
            "do not: it must hold <layer>.weight and <layer>.bias of every convolution and linear layer, nothing else"
        )
    result = {}
    for key in wanted:
        kind = dtype.get(key.rpartition(".")[0], "F32")
        if kind not in _safetensors.FORMATS:
            raise ValueError(f"dtype of {key} must be one of {', '.join(_safetensors.FORMATS)}, not {kind!r}")
        try:
            result[key] = (_safetensors.encode(_array(state_dict[key]), kind), kind)
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None
    return result


def _array(tensor: Any) -> np.ndarray:
    """A NumPy array of a PyTorch tensor, wherever it lives (bfloat16 has no NumPy type), or of anything array-like."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().double().numpy()
    return np.asarray(tensor)


def _golden(
    config: Mapping[str, Any], stored: Mapping[str, tuple[np.ndarray, str]], patches: np.ndarray
) -> dict[str, tuple[np.ndarray, str]]:
    """The patches and every layer's outputs, computed in float64 from the weights as they are stored."""
    shape = tuple(config["input"][key] for key in ("height", "width", "channels"))
    if patches.dtype != np.uint8 or patches.ndim != 4 or patches.shape[1:] != shape or not len(patches):
        wanted = f"uint8 [n, {', '.join(map(str, shape))}]"
        raise ValueError(f"golden_patches must be {wanted}, not {patches.dtype} {patches.shape}")
    preprocessing = config["preprocessing"]
    mean, std = (np.asarray(preprocessing[key], np.float64) for key in ("mean", "std"))
    if mean.shape != shape[2:] or std.shape != shape[2:]:
        raise ValueError(f"preprocessing: mean and std must have {shape[2]} values each, one for a channel")
    x = ((patches * float(preprocessing["scale"]) - mean) / std).transpose(0, 3, 1, 2)
    weights = {key: _safetensors.decode(values, kind) for key, (values, kind) in stored.items()}
    result = {"patches": (_safetensors.encode(patches, "U8"), "U8")}
    for layer, output in _reference.outputs(config["layers"], weights, x).items():
        try:
            result[layer] = (_safetensors.encode(output, "F32"), "F32")
        except ValueError as error:
            raise ValueError(f"{layer}: its output {error}") from None
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"config.json cannot hold a {type(value).__name__}")


def _card(config: Mapping[str, Any], stored: Mapping[str, tuple[np.ndarray, str]]) -> str:
    sides = config["input"]
    rows = [
        f"| `{layer['name']}` | {layer['type']} | "
        + ", ".join(f"{key} {value}" for key, value in layer.items() if key not in ("type", "name"))
        + f" | {stored.get(layer['name'] + '.weight', (None, '–'))[1]} |"
        for layer in config["layers"]
    ]
    count = sum(values.size for values, _ in stored.values())
    head = f", the head `{config['head']}`" if "head" in config else ", without a head"
    return (
        f"# {config['name']}\n\n"
        f"A network for patches of {sides['height']}×{sides['width']}×{sides['channels']} pixels with {count:,} "
        f"weights; the embedding is `{config['embedding']}`{head}.\n\n"
        "| layer | type | | weights |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        "## Data and licence\n\n"
        "What it was trained on, and under which terms the data and these weights may be used.\n\n"
        "## Recipe\n\nHow to train it again.\n\n"
        "## Figures and limits\n\nWhat was measured, on what, and what it should not be used for.\n"
    )

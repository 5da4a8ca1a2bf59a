"""The forward pass in float64 with NumPy: what a server's arithmetic is held against. Slow, short enough to check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

KEYS = {
    "convolution": {"out_channels", "kernel", "stride", "padding", "activation"},
    "max_pool": {"kernel", "stride", "padding", "rounding"},
    "linear": {"out_features", "activation"},
}
"""The keys of each type of layer, beside ``type`` and ``name``."""


def outputs(
    layers: Sequence[Mapping[str, Any]], weights: Mapping[str, np.ndarray], x: np.ndarray
) -> dict[str, np.ndarray]:
    """Every layer's output after its activation: float64 [n, C, H, W], or [n, features] of linear layers.

    :param layers: as in config.json.
    :param weights: ``<name>.weight`` and ``<name>.bias``, float64.
    :param x: [n, C, H, W] after the preprocessing.
    :raises ValueError: a layer does not fit its weights or what comes in; the message names it.
    """
    result = {}
    for layer in layers:
        kind, name = layer["type"], layer["name"]
        if kind != "linear":
            x = x.reshape(*x.shape[:2], *(x.shape[2:] or (1, 1)))  # Features are a map of one pixel.
        if kind == "max_pool":
            x = _max_pool(x, layer)
        else:
            weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            out, rank = (layer["out_channels"], 4) if kind == "convolution" else (layer["out_features"], 2)
            incoming = (x.shape[1], *_pair(layer["kernel"])) if rank == 4 else (int(np.prod(x.shape[1:])),)
            for tensor, shape in ((weight, (out, *incoming)), (bias, (out,))):
                if tensor.shape != shape:
                    what = "weight" if tensor is weight else "bias"
                    raise ValueError(f"{name}.{what} has shape {tensor.shape}; the layers make it {shape}")
            x = _convolution(x, weight, bias, layer) if rank == 4 else x.reshape(len(x), -1) @ weight.T + bias
        if layer.get("activation", "none") == "relu":
            x = np.maximum(x, 0)
        result[name] = x
    return result


def _pair(value: Any) -> tuple[int, int]:
    height, width = value if isinstance(value, (list, tuple)) else (value, value)
    return int(height), int(width)


def _windows(x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int], name: str) -> np.ndarray:
    """[n, C, rows, columns, kernel height, kernel width]."""
    if x.shape[2] < kernel[0] or x.shape[3] < kernel[1]:
        raise ValueError(f"{name}: its kernel {kernel} is larger than its input with the padding, {x.shape[2:]}")
    return sliding_window_view(x, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]


def _convolution(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, layer: Mapping[str, Any]) -> np.ndarray:
    top, left = _pair(layer.get("padding", 0))
    x = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    windows = _windows(x, weight.shape[2:], _pair(layer.get("stride", 1)), layer["name"])
    return np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True) + bias[:, None, None]


def _max_pool(x: np.ndarray, layer: Mapping[str, Any]) -> np.ndarray:
    kernel, stride, padding = (_pair(layer.get(key, 0)) for key in ("kernel", "stride", "padding"))
    edges, counts = [], []
    for size, window, step, before in zip(x.shape[2:], kernel, stride, padding):
        room = size + 2 * before - window
        if layer.get("rounding", "floor") == "ceil":
            # A last window that would start beyond the input and its left padding is dropped (Caffe, PyTorch).
            count = -(-room // step) + 1
            count -= (count - 1) * step >= size + before
        else:
            count = room // step + 1
        if count < 1:
            raise ValueError(f"{layer['name']}: its kernel {kernel} is larger than its input with the padding")
        edges.append((before, before + step))  # Ceil reaches over the border by less than a stride.
        counts.append(count)
    x = np.pad(x, ((0, 0), (0, 0), *edges), constant_values=-np.inf)
    windows = _windows(x, kernel, stride, layer["name"])[:, :, : counts[0], : counts[1]]
    return windows.max(axis=(4, 5))

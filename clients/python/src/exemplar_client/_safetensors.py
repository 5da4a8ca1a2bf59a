"""The safetensors format, written with NumPy alone: the header's length, the header, the values."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

FORMATS = ("F32", "F16", "BF16")
"""The types of weights that a model folder may hold."""


def encode(values: np.ndarray, dtype: str) -> np.ndarray:
    """Values as little-endian ``dtype``, rounded to float32 first, then to the nearest, ties to even; BF16 as the upper
    halves of float32.

    :raises ValueError: a value is not finite, or too large for it.
    """
    if dtype == "U8":
        return np.ascontiguousarray(values, np.uint8)
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(values, "<f4")
        if dtype == "BF16":
            bits = single.view("<u4").astype(np.uint64)
            result = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
        else:
            result = single.astype({"F32": "<f4", "F16": "<f2"}[dtype])
    # Before as well: of a NaN with all bits set BF16's rounding makes −0.
    if not (np.isfinite(single).all() and np.isfinite(decode(result, dtype)).all()):
        raise ValueError(f"holds values that are not finite in {dtype}")
    return result


def decode(stored: np.ndarray, dtype: str) -> np.ndarray:
    """What `encode` stored, in float64."""
    if dtype == "BF16":
        stored = (stored.astype("<u4") << 16).view("<f4")
    return stored.astype(np.float64)


def save(path: Path, tensors: Mapping[str, tuple[np.ndarray, str]]) -> None:
    """Writes tensors, given with their type's name; one after the other, in the order given."""
    header, offset = {}, 0
    for name, (values, dtype) in tensors.items():
        header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)  # Values at a multiple of 8, for readers that map the file.
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values, _ in tensors.values():
            file.write(values.tobytes())

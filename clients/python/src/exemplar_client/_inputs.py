"""What goes into a request: arrays of pixels or encoded images, cut into parts that fit a line."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Inputs:
    """The entries of one call: ``parameter`` is the name they have in a request, ``options`` what goes with them,
    ``sizes`` their bytes, and ``read`` gives those of one."""

    parameter: str
    options: dict[str, Any]
    sizes: Sequence[int]
    read: Callable[[int], Any]

    def __len__(self) -> int:
        return len(self.sizes)

    def texts(self, part: range) -> list[str]:
        """The entries of a part as base64."""
        return [base64.b64encode(self.read(index)).decode("ascii") for index in part]

    def parts(self, entries: int, characters: int) -> list[range]:
        """Consecutive entries, at most so many in a part and, where there is more than one, of at most so many
        characters. An entry that is too long by itself is for the server to refuse: it knows its limit."""
        parts, start, length = [], 0, 0
        for index, size in enumerate(self.sizes):
            text = -(-size // 3) * 4 + 3
            if index > start and (index - start == entries or length + text > characters):
                parts.append(range(start, index))
                start, length = index, 0
            length += text
        parts.append(range(start, len(self.sizes)))
        return parts


def pixels(patches: np.ndarray) -> Inputs:
    """Patches: uint8 or floats in [0, 1], [n, H, W, C], or [H, W, C] for one.

    :raises ValueError: it has another shape, or is empty.
    :raises TypeError: its elements are neither uint8 nor floats.
    """
    array = np.asarray(patches)
    if array.ndim == 3:
        array = array[np.newaxis]
    if array.ndim != 4 or array.size == 0:
        raise ValueError(f"patches must be [n, H, W, C] or [H, W, C] and not empty, not of shape {np.shape(patches)}")
    # The shape goes out even when it is the model's: 16×64 pixels are as many bytes as 32×32.
    options: dict[str, Any] = {"shape": list(array.shape[1:])}
    if array.dtype.kind == "f":
        array = array.astype("<f4", copy=False)
        options["dtype"] = "f32"
    elif array.dtype != np.uint8:
        raise TypeError(f"patches must be uint8, or floats in [0, 1], not {array.dtype}")
    array = np.ascontiguousarray(array)
    return Inputs("patches", options, [array[0].nbytes] * len(array), array.__getitem__)


def images(files: Any) -> Inputs:
    """PNG, JPEG or WebP files: their bytes or their paths, one or a list of them.

    :raises ValueError: there is none.
    :raises TypeError: an entry is neither bytes nor a path.
    :raises OSError: a file cannot be read.
    """
    entries = [files] if isinstance(files, (bytes, bytearray, memoryview, str, os.PathLike)) else list(files)
    if not entries:
        raise ValueError("images must name at least one file")
    for index, entry in enumerate(entries):
        if not isinstance(entry, (bytes, bytearray, memoryview, str, os.PathLike)):
            raise TypeError(
                f"images must be the bytes or the paths of files, not {type(entry).__name__} (entry {index})")

    def is_path(entry: Any) -> bool:
        return isinstance(entry, (str, os.PathLike))

    def read(index: int) -> bytes:
        # Read when its turn comes: a folder of photographs need not fit in memory.
        if not is_path(entries[index]):
            return entries[index]
        with open(entries[index], "rb") as file:
            return file.read()

    return Inputs("images", {}, [os.path.getsize(e) if is_path(e) else memoryview(e).nbytes for e in entries], read)

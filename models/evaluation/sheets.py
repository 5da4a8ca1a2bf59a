"""Pictures of a network as uint8 arrays: its first filters, surrogate classes, nearest neighbours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from exemplar_client import Client
from safetensors import safe_open
from training import exemplars, photographs

from . import ranking, windows
from .windows import centres

PAPER = 255
"""Grey of what lies between patches."""

GREEN = (0, 140, 60)


class SheetError(Exception):
    """A network of which there is no such picture."""


def grid(patches: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """One picture of patches uint8 [n, h, w, 3], row by row."""
    count, height, width, _ = patches.shape
    rows = -(-count // columns)
    result = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), PAPER, np.uint8)
    for index, patch in enumerate(patches):
        y, x = (gap + place * (side + gap) for place, side in zip(divmod(index, columns), (height, width)))
        result[y : y + height, x : x + width] = patch
    return result


def filters(folder: Path, enlargement: int = 6) -> np.ndarray:
    """The kernels of the first convolution as colours: each over its own largest weight, 0 in the middle grey.

    :raises SheetError: there is none, or it does not see three colours.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = [layer["name"] for layer in config["layers"] if layer["type"] == "convolution"]
    if not names or config["input"]["channels"] != 3:
        raise SheetError(f"{folder} has no convolution of three channels, whose kernels could be drawn in colour")
    with safe_open(folder / "model.safetensors", "numpy") as tensors:
        kernels = tensors.get_tensor(f"{names[0]}.weight").astype(np.float64)
    largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    pictures = np.rint(127.5 + 127.5 * kernels / np.maximum(largest, 1e-12)).astype(np.uint8).transpose(0, 2, 3, 1)
    order = np.argsort(-largest.ravel(), kind="stable")
    return grid(pictures[order].repeat(enlargement, axis=1).repeat(enlargement, axis=2), 16, gap=4)


def surrogates(client: Client, folder: Path, classes: int = 6, samples: int = 15, seed: int = 1) -> np.ndarray:
    """Exemplars of the training, one a row: the patch itself, then draws of T_α of it as the server makes them."""
    with safe_open(folder / "exemplars.safetensors", "numpy") as tensors:
        contexts = tensors.get_tensor("patches")
    picks = np.random.default_rng(seed).choice(len(contexts), classes, replace=False)
    rows = [
        np.concatenate([centres(context[np.newaxis]), client.transform(context, samples, seed=seed).patches[0]])
        for context in contexts[picks]
    ]
    return grid(np.concatenate(rows), samples + 1)


def neighbours(
    client: Client, queries: int = 8, shown: int = 7, patches: int = 450, seed: int = 4
) -> tuple[np.ndarray, list[int]]:
    """Held-out photographs: in each row a patch, the query that T_α made of it, and the patches nearest to the query by
    the cosine of g, the right one framed. Rows are the first patches of a fixed seed, found or not. Beside the picture,
    the ranks of the right ones.
    """
    sources = exemplars.select(photographs.HELD_OUT, patches, 0.5, seed, windows.SOURCE).contexts
    database = centres(sources)
    asked = np.concatenate([
        client.transform(source, sample=index, seed=seed).patches[0] for index, source in enumerate(sources[:queries])
    ])
    distances = ranking.distances(client.embed(asked), client.embed(database), "cosine")
    order = np.argsort(distances, axis=1, kind="stable")
    rows = []
    for index, nearest in enumerate(order[:, :shown]):
        found = [framed(database[place]) if place == index else database[place] for place in nearest]
        rows += [database[index], asked[index], *found]
    right = [int(np.flatnonzero(row == index)[0]) + 1 for index, row in enumerate(order)]
    return grid(np.stack(rows), shown + 2, gap=4), right


def framed(patch: np.ndarray) -> np.ndarray:
    """The patch with an edge of two green pixels."""
    result = patch.copy()
    for edge in (np.s_[:2], np.s_[-2:], np.s_[:, :2], np.s_[:, -2:]):
        result[edge] = GREEN
    return result

"""Queries that see more than the network's patch: T_α of a photograph, read in a larger window."""

from __future__ import annotations

import copy

import numpy as np
from exemplar_client import Client
from training.extent import CONTEXT, PATCH

WINDOW = CONTEXT
"""Of a transformed photograph, around each query: what every draw of ĝ may read."""

SOURCE = 150
"""The surroundings that a window needs at the most: 36.5 · √2 · (cos 20° + sin 20°) + 8 < 75, twice."""

TILES = (-1, 0, 1)
"""Windows are put together from patches of the server's, 3 × 3 of them: the window may have 96 pixels."""


def queries(client: Client, contexts: np.ndarray, model: str, seed: int, steps: list[str] | None) -> np.ndarray:
    """T_α around each context's centre, uint8 [n, 74, 74, 3], with a draw of its own each: number i for context i.

    The middle 32 × 32 are, bit for bit, what ``transform`` answers for that draw: the server computes the nine patches
    around the centre with the same α, moved by one patch side of the transformed photograph.
    """
    # α depends on seed and number alone, so that one small patch tells those of all contexts.
    drawn = client.transform(centres(contexts[:1])[0], len(contexts), seed=seed, steps=steps, model=model).parameters
    found = []
    for context, alpha in zip(contexts, drawn):
        tiles = [moved(alpha, x, y) for y in TILES for x in TILES]
        patches = client.transform(context, parameters=tiles, model=model).patches[0]
        found.append(centres(_together(patches)[np.newaxis], WINDOW)[0])
    return np.stack(found)


def moved(alpha: dict, x: int, y: int) -> dict:
    """α of the patch that lies x patches right and y down in the transformed photograph: its centre is read at
    side · t + R(θ) side (x, y) / s, so that t grows by R(θ) (x, y) / s."""
    result = copy.deepcopy(alpha)
    angle, scale = np.deg2rad(alpha["rotation_degrees"]), alpha["scale"]
    result["translation"] = [
        float(alpha["translation"][0] + (np.cos(angle) * x - np.sin(angle) * y) / scale),
        float(alpha["translation"][1] + (np.sin(angle) * x + np.cos(angle) * y) / scale),
    ]
    return result


def _together(patches: np.ndarray) -> np.ndarray:
    """[3h, 3w, C] from [9, h, w, C], row by row."""
    side = len(TILES)
    rows = patches.reshape(side, side, *patches.shape[1:])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


def centres(contexts: np.ndarray, side: int = PATCH) -> np.ndarray:
    """The middle of contexts, uint8 [n, side, side, 3]."""
    margin = (contexts.shape[1] - side) // 2
    return contexts[:, margin : margin + side, margin : margin + side]

"""How large patches and their surroundings are, and what lies beyond an edge."""

from __future__ import annotations

import numpy as np

PATCH = 32
CONTEXT = 74
"""Holds every draw around a patch: 15.5 · √2 · (cos 20° + sin 20°) + 8 < 36.5."""

CENTRE = slice((CONTEXT - PATCH) // 2, (CONTEXT + PATCH) // 2)
"""Rows, and columns, of the patch in a context."""


def reflected(index: np.ndarray, size: int) -> np.ndarray:
    """NumPy's ``reflect``: the edge pixel is not repeated."""
    period = max(2 * (size - 1), 1)
    index = np.abs(index) % period
    return np.where(index >= size, period - index, index)

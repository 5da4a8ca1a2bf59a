"""How many entries a reply has room for, by what a server counts of it before it computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import _results

VALUE = 16 / 3
"""Characters of a value in base64: 16 hold three."""

CLASS = 128
"""Characters of a class beside its label."""

PARAMETERS = 512
"""Characters of the parameters of a transformation."""

AROUND_ENTRY, AROUND_REPLY = 64, 1024
"""Characters around an entry, and around all of them: a server counts 512 and the names of the model and its layers."""


def fitting(max_reply_bytes: int, characters: float, beside: int = 0) -> int:
    """How many entries of so many characters a reply has room for, with ``beside`` more for all of them; one at least:
    what is too long alone is the server's to refuse."""
    return max(1, int((max_reply_bytes - AROUND_REPLY - beside) / (characters + AROUND_ENTRY)))


def class_characters(description: dict[str, Any], top: int) -> float:
    """How many characters the ``top`` classes of an entry have, as a server counts them."""
    label = _results.documented("model", lambda: int(description.get("label_bytes", 0)))
    return min(top, classes(description)) * (CLASS + label)


def classes(description: dict[str, Any]) -> int:
    """How many classes a model's head has."""
    return _results.documented("model", lambda: int(description["exemplars"] or 0))


def embedding_values(description: dict[str, Any], layers: Sequence[str] | str | None, pool: str | None) -> int:
    """How many values an embedding has, as far as the model's description tells."""
    cells = {"quadrant": 4, "max": 1, "mean": 1}.get(pool or "none")

    def count() -> int:
        wanted = [description["embedding"]] if layers is None else layers
        return sum(
            math.prod(layer["shape"] if cells is None else [layer["shape"][0], cells])
            for layer in description["layers"]
            if isinstance(wanted, str) or layer["name"] in wanted
        )

    return _results.documented("model", count)

"""The parameter ``transform`` of a request, from the arguments of the client's methods."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

SEEDS = 1 << 53
"""Seeds are whole numbers below this, all of which a double holds."""


def specification(
    average: int | None = None,
    sample: int | None = None,
    parameters: Sequence[dict] | None = None,
    *,
    seed: int | None = None,
    tolerance: float | None = None,
    steps: Sequence[str] | None = None,
    border: str | None = None,
    standard_errors: bool = False,
) -> dict[str, Any] | None:
    """The value of ``transform``, or None where no transformation is asked for.

    :param average: the mean over so many draws.
    :param sample: one draw, by its number.
    :param parameters: explicit transformation parameters in place of draws.
    :raises ValueError: the arguments contradict each other.
    """
    options = {"seed": seed, "tolerance": tolerance, "steps": steps, "border": border}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if standard_errors:
        given["standard_errors"] = True
    ways = {"average": average, "sample": sample, "parameters": parameters}
    chosen = [name for name, value in ways.items() if value is not None]
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)} exclude each other: give one")
    if not chosen:
        if given:
            raise ValueError(f"{', '.join(given)} describes a transformation: give average, sample or parameters too")
        return None
    if parameters is not None:
        senseless = [name for name in ("seed", "tolerance", "steps") if name in given]
        if senseless:
            raise ValueError(f"{', '.join(senseless)} belongs to draws: leave it out beside parameters")
        return {"parameters": list(parameters), **given}
    # Every part of a large input has to meet the same draws, so the seed cannot be left to the server.
    given.setdefault("seed", secrets.randbelow(SEEDS))
    if "steps" in given:
        given["steps"] = [given["steps"]] if isinstance(given["steps"], str) else list(given["steps"])
    if sample is None:
        return {"mode": "mean", "samples": average, **given}
    return {"mode": "sample", "index": sample, **given}


def passes(transform: dict[str, Any] | None) -> int:
    """How many forward passes each entry takes; the server's queue counts these."""
    if transform is None:
        return 1
    count = len(transform["parameters"]) if "parameters" in transform else transform.get("samples", 1)
    return max(1, int(count))

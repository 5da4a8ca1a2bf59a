"""``python -m training.golden_transformations`` from the folder ``models``: writes golden_transformations.safetensors
beside itself from models/small, cases that a server's T_α must reproduce within one level of 255.

Tensors, n cases: ``contexts`` U8 [c, 74, 74, 3]; ``context`` I32 [n], which of them; ``bare`` U8 [n], 1 where the input
is only the context's central 32×32; ``border`` U8 [n], 0 reflect, 1 replicate, 2 zero; α as F64: ``translation``
[n, 2] (x, y), ``scale`` [n], ``rotation_degrees`` [n], ``contrast`` [n, 3], ``power``, ``factor``, ``offset`` [n, 2]
(saturation, value), ``hue`` [n]; ``mean`` F64 [3] and ``components`` F64 [3, 3] of the contrast; ``pixels`` U8
[n, 32, 32, 3].
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from . import reference
from .extent import CENTRE

BORDERS = ("reflect", "replicate", "zero")
CONTEXTS = 12
SEED = 1406


def draw(generator: np.random.Generator, ranges: dict) -> dict:
    """One α from config.json's ``transformations``."""

    def log_uniform(low, high, size=None):
        return np.exp(generator.uniform(np.log(low), np.log(high), size)).tolist()

    shift, angle, color = ranges["translation"], ranges["rotation_degrees"], ranges["color"]
    return {
        "translation": generator.uniform(-shift, shift, 2).tolist(),
        "scale": log_uniform(*ranges["scale"]),
        "rotation_degrees": generator.uniform(-angle, angle),
        "contrast": np.exp2(np.array(ranges["contrast"]["sigma"]) * generator.standard_normal(3)).tolist(),
        "color": {
            "power": log_uniform(*color["power"], 2),
            "factor": log_uniform(*color["factor"], 2),
            "offset": generator.uniform(*color["offset"], 2).tolist(),
        },
        "hue": generator.uniform(*ranges["hue"]),
    }


def cases(ranges: dict) -> list[tuple[int, bool, str, dict]]:
    """(context, bare, border, α): every step together, each alone, the identity, bare patches with each border."""
    generator = np.random.default_rng(SEED)
    alphas = [draw(generator, ranges) for _ in range(CONTEXTS)]
    result = [(index, False, "reflect", alpha) for index, alpha in enumerate(alphas)]
    result += [(0, bare, "reflect", reference.IDENTITY) for bare in (False, True)]
    # Grey pixels are ill-conditioned under a power of S below 1 (float32 rounding becomes ten levels): contexts
    # without.
    for context in (1, 2):
        for step in reference.IDENTITY:
            alone = copy.deepcopy(reference.IDENTITY)
            alone[step] = alphas[context][step]
            result.append((context, False, "reflect", alone))
    result += [(index, True, border, alphas[index]) for index in range(2, 5) for border in BORDERS]
    return result


def main() -> None:
    """Writes the file."""
    here = Path(__file__).resolve().parent
    ranges = json.loads((here.parent / "small" / "config.json").read_text())["transformations"]
    contexts = load_file(here.parent / "small" / "exemplars.safetensors")["patches"][:CONTEXTS]
    mean, components = (np.array(ranges["contrast"][key]) for key in ("mean", "components"))
    chosen = cases(ranges)
    pixels = []
    for context, bare, border, alpha in chosen:
        source = contexts[context, CENTRE, CENTRE] if bare else contexts[context]
        pixels.append(np.rint(reference.transform(source, alpha, mean, components, border) * 255).astype(np.uint8))
    alphas = [case[3] for case in chosen]
    steps = [key for key in reference.IDENTITY if key != "color"]
    tensors = {key: np.array([alpha[key] for alpha in alphas], np.float64) for key in steps}
    tensors |= {key: np.array([alpha["color"][key] for alpha in alphas]) for key in ("power", "factor", "offset")}
    tensors |= {
        "contexts": contexts,
        "context": np.array([case[0] for case in chosen], np.int32),
        "bare": np.array([case[1] for case in chosen], np.uint8),
        "border": np.array([BORDERS.index(case[2]) for case in chosen], np.uint8),
        "mean": mean,
        "components": components,
        "pixels": np.stack(pixels),
    }
    path = here / "golden_transformations.safetensors"
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()

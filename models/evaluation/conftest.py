"""A stand-in for the server, and what tests share."""

from __future__ import annotations

import numpy as np
import pytest
from exemplar_client import Transformed

from . import baselines, windows


class StandIn:
    """Enough of a client: transformed patches are noisy copies, features are grey averages of blocks."""

    def transform(self, context, samples=None, *, sample=None, parameters=None, seed=None, steps=None, model=None):
        context = np.asarray(context)
        if parameters is None:
            drawn = [
                {"translation": [0.0, 0.0], "scale": 1.0, "rotation_degrees": 0.0, "number": number}
                for number in (range(samples) if sample is None else [sample])
            ]
        else:
            drawn = parameters
        middle = (context.shape[0] - windows.PATCH) // 2
        patches = []
        for alpha in drawn:
            x, y = (middle + round(windows.PATCH * t) for t in alpha["translation"])
            noise = np.random.default_rng(alpha["number"]).normal(0, 10, (windows.PATCH, windows.PATCH, 3))
            patch = context[y : y + windows.PATCH, x : x + windows.PATCH]
            patches.append(np.clip(patch + noise, 0, 255).astype(np.uint8))
        return Transformed(np.stack(patches)[np.newaxis], drawn)

    def embed(self, patches, model=None, layers=None, pool="none", average=None, seed=None, steps=None):
        return baselines.raw(windows.centres(np.asarray(patches)), 8, True).astype(np.float32)

    def model(self, name=None):
        layers = [
            {"name": "conv1", "type": "convolution"}, {"name": "pool1", "type": "max_pool"},
            {"name": "fc", "type": "linear"}, {"name": "head", "type": "linear"},
        ]
        return {
            "name": name, "sha256": "0" * 64, "isa": "portable", "accuracy": "exact", "layers": layers,
            "embedding": "fc", "threads": 1,
        }


@pytest.fixture
def client() -> StandIn:
    return StandIn()

"""The photographs that exemplars come from: bundled in scikit-image and scikit-learn, split by photograph."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Photograph:
    """A bundled photograph and the terms that its package states for it."""

    name: str
    package: str
    credit: str


TRAINING = (
    Photograph("astronaut", "skimage", "NASA, public domain"),
    Photograph("coffee", "skimage", "Rachel Michetti, CC0"),
    Photograph("hubble_deep_field", "skimage", "NASA, public domain"),
    Photograph("ihc", "skimage", "Human Protein Atlas via scikit-image, no known copyright restrictions"),
    Photograph("retina", "skimage", "Häggström 2014 (Wikimedia), CC0"),
    Photograph("china", "sklearn", "danielbuechele, CC BY 2.0"),
)
HELD_OUT = (
    Photograph("chelsea", "skimage", "Stefan van der Walt, CC0"),
    Photograph("rocket", "skimage", "SpaceX, public domain"),
    Photograph("flower", "sklearn", "vultilion, CC BY 2.0"),
)


class PhotographError(Exception):
    """A photograph, or the package that bundles it, is missing."""


def load(photograph: Photograph) -> np.ndarray:
    """The photograph as uint8 [H, W, 3]."""
    try:
        if photograph.package == "sklearn":
            datasets = importlib.import_module("sklearn.datasets")
            image = datasets.load_sample_image(photograph.name + ".jpg")
        else:
            data = importlib.import_module("skimage.data")
            names = {"ihc": "immunohistochemistry"}
            image = getattr(data, names.get(photograph.name, photograph.name))()
    except ImportError as error:
        raise PhotographError(f"{error}: pip install -r models/training/requirements.txt") from error
    except Exception as error:  # The packages raise whatever their readers do.
        raise PhotographError(
            f"{photograph.package} does not have the photograph {photograph.name}: {error}") from error
    return np.ascontiguousarray(image[:, :, :3])

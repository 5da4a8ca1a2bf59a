"""The photographs that exemplars come from: bundled in scikit-image and scikit-learn, split by photograph; or files of
one's own."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Photograph:
    """A bundled photograph and the terms that its package states for it, or a file."""

    name: str
    package: str
    credit: str
    file: Path | None = None


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


SUFFIXES = (".png", ".jpg", ".jpeg")

LEAST = 64
"""Pixels of the shorter side of a file: the largest exemplars have 62.5."""


class PhotographError(Exception):
    """A photograph, or the package that bundles it, is missing, or cannot be used."""


def of_folder(folder: Path) -> tuple[Photograph, ...]:
    """The PNG and JPEG files of a folder, by name.

    :raises PhotographError: there are none.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise PhotographError(f"{folder} has no file that ends in {', '.join(SUFFIXES)}")
    return tuple(Photograph(path.name, "own", "to be stated", path) for path in files)


def digest(chosen: tuple[Photograph, ...]) -> str:
    """The sha256 of the files of one's own photographs, names and all."""
    files = [(photograph.name, hashlib.sha256(photograph.file.read_bytes()).hexdigest()) for photograph in chosen]
    return hashlib.sha256(repr(files).encode()).hexdigest()


def load(photograph: Photograph) -> np.ndarray:
    """The photograph as uint8 [H, W, 3]."""
    if photograph.file is not None:
        return _read(photograph.file)
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


def _read(file: Path) -> np.ndarray:
    """uint8 [H, W, 3] of a file, as it stores its pixels; opacity is left out."""
    try:
        from skimage import color, io, util

        image = util.img_as_ubyte(io.imread(file))
        if image.ndim == 3 and image.shape[2] == 4 and file.suffix.lower() != ".png":
            raise ValueError("its colours are CMYK")
        if image.ndim == 3 and image.shape[2] == 2:
            image = image[:, :, 0]
        image = color.gray2rgb(image) if image.ndim == 2 else image[:, :, :3]
    except ImportError as error:
        raise PhotographError(f"{error}: pip install -r models/training/requirements.txt") from error
    except Exception as error:  # Readers raise whatever they do.
        raise PhotographError(f"{file} cannot be read: {error}") from error
    if image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < LEAST:
        raise PhotographError(f"{file} is no colour or grey photograph of {LEAST} pixels and more on either side")
    return np.ascontiguousarray(image)

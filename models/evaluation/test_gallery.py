"""The gallery's pictures and its page."""

import re

import numpy as np
import pytest
from exemplar_client import export
from training.extent import PATCH

from . import gallery, sheets
from .__main__ import HERE, main

SEED = 25


def test_a_grid_shows_every_patch_once():
    patches = np.random.default_rng(SEED).integers(0, 200, (5, 4, 6, 3), dtype=np.uint8)
    picture = sheets.grid(patches, columns=3, gap=2)
    assert picture.shape == (2 * 6 + 2, 3 * 8 + 2, 3)
    assert np.array_equal(picture[8:12, 10:16], patches[4])
    assert np.all(picture[8:12, 18:] == sheets.PAPER)


def test_filters_are_those_of_the_model():
    picture = sheets.filters(HERE.parent / "small", enlargement=1)
    assert picture.shape == (4 * 9 + 4, 16 * 9 + 4, 3)
    # Each kernel's largest weight is as bright or as dark as can be.
    first = picture[4:9, 4:9]
    assert first.min() == 0 or first.max() == 255


def test_filters_are_those_of_the_first_convolution_whatever_its_name(tmp_path):
    random = np.random.default_rng(SEED)
    layers = [
        {"type": "max_pool", "name": "pool", "kernel": 2, "stride": 2},
        {"type": "convolution", "name": "first", "out_channels": 3, "kernel": 2},
        {"type": "convolution", "name": "conv1", "out_channels": 5, "kernel": 1},
    ]
    for channels in (3, 1):
        weights = {
            "first.weight": random.normal(size=(3, channels, 2, 2)), "first.bias": np.zeros(3),
            "conv1.weight": random.normal(size=(5, 3, 1, 1)), "conv1.bias": np.zeros(5),
        }
        export(
            weights, layers, tmp_path, name="odd", input_shape=(8, 8, channels), embedding="conv1",
            preprocessing={"scale": 1, "mean": [0] * channels, "std": [1] * channels},
        )
        if channels == 3:
            picture = sheets.filters(tmp_path, enlargement=1)
            assert picture.shape == (1 * 6 + 4, 16 * 6 + 4, 3)
            assert np.any(picture[4:6, 4:6] != sheets.PAPER) and np.all(picture[:, 3 * 6 + 4 :] == sheets.PAPER)
        else:
            with pytest.raises(sheets.SheetError, match="no convolution of three channels"):
                sheets.filters(tmp_path)


def test_neighbours_frame_the_right_patch(client):
    picture, ranks = sheets.neighbours(client, queries=2, shown=3, patches=30)
    assert ranks == [1, 1]
    side = PATCH
    assert picture.shape == (2 * (side + 4) + 4, 5 * (side + 4) + 4, 3)
    assert tuple(picture[4, 4 + 2 * (side + 4)]) == sheets.GREEN


def test_the_page_needs_nothing_but_itself():
    text = gallery.page([gallery.figure(b"<svg/>", "svg+xml", 'a "caption" & more', False)])
    assert "a &quot;caption&quot; &amp; more" in text
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []


def test_what_is_missing_is_named(tmp_path, capsys):
    assert gallery.main(["small", "--binary", str(tmp_path / "none")]) == 1
    assert "make build" in capsys.readouterr().err
    assert gallery.main(["typo", "--binary", str(HERE / "README.md")]) == 1
    assert "typo" in capsys.readouterr().err
    assert main(["typo"]) == 2
    assert "retrieval, probe, matching, cost" in capsys.readouterr().err
    for wrong in (["--draws", "31"], ["--seeds", "0"], ["--patches", "few"], ["--port", "0"], ["--port", "65536"]):
        with pytest.raises(SystemExit) as caught:
            main(wrong)
        assert caught.value.code == 2
        assert f"{wrong[0]}: {wrong[1]!r} is not a whole number from" in capsys.readouterr().err
    assert main(["--port", "1"]) == 1
    assert "error: " in capsys.readouterr().err

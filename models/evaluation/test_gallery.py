"""The gallery's pictures and its page."""

import re

import numpy as np
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
    assert main(["--port", "1"]) == 1
    assert "error: " in capsys.readouterr().err

"""Average precision by hand, distortions against their maps, and matching as a whole."""

import cv2
import numpy as np
import pytest
from training import photographs

from . import distortions, matching, report, runs
from .windows import centres

SEED = 25


def test_average_precision_by_hand():
    right = np.eye(3, dtype=bool)
    assert matching.average_precision(1 - np.eye(3), right) == 1
    # Greedy order: (0, 0) right, (1, 2) wrong, then (2, 1) is what is left: wrong. One of three found, at precision 1.
    distances = np.array([[0.1, 0.8, 0.9], [0.7, 0.6, 0.2], [0.5, 0.4, 0.3]])
    assert matching.average_precision(distances, right) == pytest.approx(1 / 3)
    # (0, 1) wrong at first, (1, 0) is left over: wrong, (2, 2) right as the third: precision 1/3, of three possible.
    distances = np.array([[0.5, 0.1, 0.9], [0.2, 0.3, 0.9], [0.9, 0.9, 0.8]])
    assert matching.average_precision(distances, right) == pytest.approx(1 / 9)
    assert np.isnan(matching.average_precision(distances, np.zeros((3, 3), bool)))


def test_overlap_by_hand():
    unit = np.array([[0.0, 0.0, 1.0]])
    others = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [2.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    lens = 2 * np.pi / 3 - np.sqrt(3) / 2
    expected = [1, 1 / 4, 0, lens / (2 * np.pi - lens)]
    np.testing.assert_allclose(distortions.overlaps(unit, others)[0], expected, atol=1e-12)


@pytest.mark.parametrize("kind", distortions.STRENGTHS)
def test_a_mark_goes_where_the_homography_says(kind):
    image = np.full((200, 240, 3), 20, np.uint8)
    cv2.circle(image, (120, 80), 6, (255, 255, 255), -1)
    strength = distortions.STRENGTHS[kind][2]
    distorted, homography = distortions.distort(image, kind, strength, SEED)
    x, y, radius = distortions.followed(np.array([[120.0, 80.0, 6.5]]), homography)[0]
    bright = distorted[..., 1].astype(float)
    bright[bright < bright.max() / 2] = 0
    rows, columns = np.indices(bright.shape)
    assert (bright * columns).sum() / bright.sum() == pytest.approx(x, abs=1)
    assert (bright * rows).sum() / bright.sum() == pytest.approx(y, abs=1)
    if kind != "blur":
        assert np.sqrt((bright > 0).sum() / np.pi) == pytest.approx(radius, rel=0.15)
    with pytest.raises(ValueError, match="no distortion"):
        distortions.distort(image, "typo", 1, SEED)


def test_turned_cuts_undo_a_rotation():
    """A patch cut along its key point's orientation looks the same however the photograph is turned."""
    image = photographs.load(photographs.HELD_OUT[0])[:256, :256]
    turned = np.ascontiguousarray(np.rot90(image, -1))
    point = cv2.KeyPoint(x=100.0, y=120.0, size=6.0, angle=30.0)
    # A quarter turn clockwise takes (x, y) to (255 − y, x), and directions with it.
    other = cv2.KeyPoint(x=255.0 - 120.0, y=100.0, size=6.0, angle=120.0)
    cuts = [matching.cut(shown, [place], 6.0, True) for shown, place in ((image, point), (turned, other))]
    first, second = (centres(cut).astype(float) for cut in cuts)
    assert np.abs(first - second).mean() < 2
    assert np.abs(first - centres(matching.cut(image, [point], 6.0, False))).mean() > 10


def test_orientations_of_key_points_turn_with_the_photograph():
    image = photographs.load(photographs.HELD_OUT[0])[:256, :256]
    first = matching.detect(image)
    second = matching.detect(np.ascontiguousarray(np.rot90(image, -1)))
    turns = [
        (q.angle - p.angle) % 360 for p in first for q in second
        if np.hypot(255 - p.pt[1] - q.pt[0], p.pt[0] - q.pt[1]) < 0.5 and abs(p.size - q.size) < 0.2
    ]
    assert len(turns) > 20
    assert np.median(turns) == pytest.approx(90, abs=5)


def test_the_whole_runs_and_reports(client, tmp_path, monkeypatch):
    monkeypatch.setattr(matching, "REGIONS", 40)
    monkeypatch.setattr(matching, "MULTIPLES", (6.0,))
    monkeypatch.setattr(matching, "SIFT_MULTIPLES", (1.0,))
    monkeypatch.setattr(matching, "TUNED_WITH", ("coffee",))
    monkeypatch.setattr(photographs, "HELD_OUT", photographs.HELD_OUT[:1])
    plan = matching.Plan("small")
    found = matching.run(plan, client)
    assert found["scores"]["SIFT"]["above SIFT"] == [0, 0, 0]
    assert all(0 <= score["mean"][0] <= 1 for score in found["scores"].values())
    runs.store("matching", tmp_path, client, plan, found)
    assert report.write(tmp_path, "0" * 64) == []
    assert "## Descriptor matching" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "matching.svg").stat().st_size > 0

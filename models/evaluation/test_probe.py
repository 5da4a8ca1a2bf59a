"""The linear probe and its images."""

import numpy as np
import pytest
from sklearn.svm import SVC

from . import labelled, probe

SEED = 25


def test_shares_by_hand_and_sum():
    weights = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    assert probe.shares(weights, {"conv1": 1, "fc": 2}) == pytest.approx({"conv1": 1 / 6, "fc": 5 / 6})
    found = probe.shares(np.random.default_rng(SEED).normal(size=(4, 12)), {"a": 5, "b": 4, "c": 3})
    assert sum(found.values()) == pytest.approx(1)
    with pytest.raises(ValueError, match="dimensions"):
        probe.shares(weights, {"conv1": 1})


def test_the_fit_finds_a_line_and_its_shares_the_layer_that_tells():
    generator = np.random.default_rng(SEED)
    labels = np.repeat([0, 1], 40)
    features = generator.normal(0, 1, (80, 6))
    features[:, 0] += 6 * labels
    fitted = probe.fit(features, labels)
    assert fitted.validated > 0.95 and np.mean(fitted.predict(features) == labels) > 0.95
    scaled = probe.fit(features, labels, ("norm",))
    assert probe.shares(scaled.weights, {"tells": 1, "noise": 5})["tells"] > 0.5


def test_three_classes_are_those_of_a_linear_kernel():
    generator = np.random.default_rng(SEED)
    labels = np.repeat([3, 5, 9], 30)
    features = generator.normal(0, 1, (90, 50)) + 3 * np.eye(50)[labels]
    fitted = probe.fit(features, labels, ("norm",))
    scaled = fitted.scaler(features)
    for index, name in enumerate((3, 5, 9)):
        expected = SVC(kernel="linear", C=fitted.penalty).fit(scaled, labels == name)
        np.testing.assert_allclose(fitted.weights[index], expected.coef_[0], atol=2e-2 * np.abs(expected.coef_).max())
        assert fitted.intercepts[index] == pytest.approx(expected.intercept_[0], abs=2e-2)


def test_scaling():
    features = np.array([[3.0, 4.0, 1.0], [6.0, 8.0, 1.0], [0.0, 2.0, 1.0]])
    norm, standard = (probe._scaler(scaling, features)(features) for scaling in probe.SCALINGS)
    for scaled in (norm, standard):
        assert np.mean((scaled**2).sum(axis=1)) == pytest.approx(1)
    assert norm[1, 1] / norm[0, 0] == pytest.approx(8 / 3)
    assert standard.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-12)
    assert standard.std(axis=0) == pytest.approx([0.5**0.5, 0.5**0.5, 0])


@pytest.mark.parametrize("task", labelled.TASKS)
def test_tasks_have_their_classes_on_both_sides(task):
    split = labelled.TASKS[task](SEED)
    assert set(split.labels) == set(split.test_labels) == set(range(len(set(split.labels))))
    assert split.patches.shape[1:] == split.test_patches.shape[1:] == (32, 32, 3)
    assert split.patches.dtype == np.uint8 and len(split.patches) == len(split.labels)
    learnt = {patch.tobytes() for patch in split.patches}
    again = labelled.TASKS[task](SEED)
    assert np.array_equal(split.test_patches, again.test_patches)
    assert len(learnt) > 0.9 * len(split.patches)


@pytest.mark.parametrize("task", [task for task in labelled.TASKS if task != "scenes"])
def test_a_unit_is_the_same_image_in_every_split(task):
    seen: dict[int, bytes] = {}
    splits = [labelled.TASKS[task](seed) for seed in (1, 2)]
    for split in splits:
        assert len(set(split.test_units)) == len(split.test_units)
        for unit, patch in zip(split.test_units.tolist(), split.test_patches):
            assert seen.setdefault(unit, patch.tobytes()) == patch.tobytes()
    assert len(seen) < sum(len(split.test_units) for split in splits)


def test_units_of_scenes_are_tiles_of_one_image():
    splits = [labelled.scenes(seed) for seed in (1, 2)]
    classes: dict[int, int] = {}
    for split in splits:
        for unit, label in zip(split.test_units.tolist(), split.test_labels.tolist()):
            assert classes.setdefault(unit, label) == label
    assert len(set(splits[0].test_units)) < len(splits[0].test_units) / 2
    assert set(splits[0].test_units) & set(splits[1].test_units)


def test_the_whole(client, monkeypatch):
    monkeypatch.setattr(probe, "PENALTIES", (1.0,))
    monkeypatch.setattr(probe, "HOG_SETTINGS", probe.HOG_SETTINGS[-1:])
    found = probe.run(probe.Plan("small", seeds=(1, 2), tasks=("faces",)), client, None)
    rows = found["tasks"]["faces"]
    assert rows[probe.POOLED]["below pooled"] == [0, 0, 0]
    assert rows[probe.POOLED]["accuracy"][0] > 0.6
    assert set(found["shares"]["faces"]) == {"conv1", "fc"}
    assert sum(found["shares"]["faces"].values()) == pytest.approx(1)

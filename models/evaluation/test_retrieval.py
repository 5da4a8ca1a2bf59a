"""Ranks, intervals, baselines and windows by themselves; retrieval as a whole with a stand-in for the server."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from training import exemplars, photographs, reference

from . import baselines, ranking, report, retrieval, runs, served, windows
from .__main__ import HERE

SEED = 25
BINARY = Path(os.environ.get("EXEMPLAR_BINARY", HERE.parents[1] / ".build" / "release" / "exemplar"))


def test_ranks_count_what_is_closer_and_half_of_the_ties():
    database = np.array([[0.0], [1.0], [2.0], [5.0]])
    assert ranking.ranks(np.array([[0.1], [0.2], [5.0], [1.5]]), database, "euclidean").tolist() == [1, 2, 2, 4]
    assert ranking.ranks(np.ones((4, 1)), np.ones((4, 1)), "euclidean").tolist() == [2.5] * 4


def test_metrics():
    generator = np.random.default_rng(SEED)
    features = generator.random((20, 7))
    for metric in ranking.METRICS:
        assert np.all(ranking.ranks(features, features, metric) == 1)
    assert np.all(ranking.ranks(3 * features, features, "cosine") == 1)
    assert np.all(ranking.ranks(3 * features + 1, features, "correlation") == 1)
    assert np.all(ranking.ranks(3 * features, features, "hellinger") == 1)


@pytest.mark.parametrize("metric", ranking.METRICS)
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_features_that_are_no_numbers_have_no_ranks(metric, broken):
    features = np.random.default_rng(SEED).random((5, 3))
    damaged = features.copy()
    damaged[2, 1] = broken
    for queries, database in ((damaged, features), (features, damaged)):
        with pytest.raises(ValueError, match="NaN or infinities"):
            ranking.mrr(queries, database, metric)


def test_the_interval_holds_the_mean_and_shrinks_with_queries():
    found = np.random.default_rng(SEED).integers(1, 20, (3, 400)).astype(float)
    large, small = ranking.summary(found), ranking.summary(found[:, :25])
    for name in ("mrr", "top1"):
        value, low, high = large[name]
        assert low < value < high
        assert high - low < (small[name][2] - small[name][1]) / 2
    assert large["mrr"][0] == pytest.approx(np.mean(1 / found))


def test_the_ratio_is_paired():
    found = np.random.default_rng(SEED).integers(1, 20, (3, 100)).astype(float)
    assert ranking.ratio(found, found) == [1, 1, 1]
    assert ranking.ratio(found, 2 * found) == pytest.approx([2, 2, 2])


def test_displacement_by_hand():
    database = np.array([[0.0], [4.0]])
    # 1 from the right entries, 3 from the others.
    assert ranking.displacement(np.array([[1.0], [3.0]]), database, "euclidean") == pytest.approx(1 / 3)
    assert ranking.displacement(database, database, "euclidean") == 0


def test_baselines_find_noisy_copies():
    generator = np.random.default_rng(SEED)
    database = generator.integers(0, 256, (30, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
    queries = np.clip(database + generator.normal(0, 5, database.shape), 0, 255).astype(np.uint8)
    chosen = baselines.choose(queries, database)
    assert set(chosen) == set(baselines.BASELINES)
    assert all(choice["mrr"] > 0.9 for choice in chosen.values())


def test_more_surroundings_change_nothing_within():
    small = exemplars.select(photographs.HELD_OUT[:1], 6, 0.5, SEED)
    large = exemplars.select(photographs.HELD_OUT[:1], 6, 0.5, SEED, windows.SOURCE)
    assert small.origin == large.origin
    assert np.array_equal(windows.centres(large.contexts, windows.WINDOW), small.contexts)


def test_moved_alpha_reads_the_patch_beside():
    """By the recipe's double-precision T_α: the patch of a moved α is the one beside it in a larger output."""
    generator = np.random.default_rng(SEED)
    source = generator.integers(0, 256, (250, 250, 3), dtype=np.uint8)
    alpha = reference.IDENTITY | {"translation": [0.1, -0.2], "scale": 1.3, "rotation_degrees": 17.0}
    right, below = (reference.geometry(source / 255, windows.moved(alpha, *way), "reflect") for way in ((1, 0), (0, 1)))
    size, reference.PATCH = reference.PATCH, 3 * reference.PATCH
    try:
        # t is in sides of the patch, which is three times as large here.
        third = [t / 3 for t in alpha["translation"]]
        whole = reference.geometry(source / 255, alpha | {"translation": third}, "reflect")
    finally:
        reference.PATCH = size
    np.testing.assert_allclose(whole[size : 2 * size, 2 * size :], right, atol=1e-9)
    np.testing.assert_allclose(whole[2 * size :, size : 2 * size], below, atol=1e-9)


def test_windows_have_the_query_in_their_middle(client):
    sources = np.random.default_rng(SEED).integers(0, 256, (3, windows.SOURCE, windows.SOURCE, 3), dtype=np.uint8)
    found = windows.queries(client, sources, "small", 4, None)
    assert found.shape == (3, windows.WINDOW, windows.WINDOW, 3)
    for index, source in enumerate(sources):
        expected = client.transform(source, sample=index, seed=4, model="small").patches[0, 0]
        assert np.array_equal(windows.centres(found)[index], expected)


@pytest.mark.skipif(not BINARY.exists(), reason="no server: make build, or EXEMPLAR_BINARY names it")
@pytest.mark.parametrize("steps", [None, ["rotation"], ["hue"]])
def test_a_server_s_windows_have_the_query_in_their_middle(steps):
    sources = exemplars.select(photographs.HELD_OUT[:1], 4, 0.5, SEED, windows.SOURCE).contexts
    with served.running(BINARY, HERE.parent / "small") as client:
        found = windows.queries(client, sources, "small", SEED, steps)
        for index, source in enumerate(sources):
            # What g's query was before there were windows: from the smaller surroundings, by the draw's number.
            context = windows.centres(source[np.newaxis], windows.WINDOW)[0]
            expected = client.transform(context, sample=index, seed=SEED, steps=steps, model="small").patches[0, 0]
            assert np.array_equal(windows.centres(found)[index], expected)


def test_random_weights_have_the_shapes_of_the_model(tmp_path):
    folder = served.write_random(HERE.parent / "small", tmp_path / "random", seed=0)
    config = json.loads((folder / "config.json").read_text())
    assert config["name"] == "small-random" and "head" not in config and "transformations" in config
    shapes, trained = served._shapes(folder), served._shapes(HERE.parent / "small")
    assert shapes == {name: shape for name, shape in trained.items() if not name.startswith("head")}


def test_the_whole_runs_and_reports(client, tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "WITH_SURROUNDINGS", {
        name: (describe, {"upsampling": (1,), "diameter": (1 / 2,)}, metrics)
        for name, (describe, _, metrics) in baselines.WITH_SURROUNDINGS.items()
    })
    plan = retrieval.Plan(
        "small", patches=30, tuning=30, seeds=(1, 2), samples=(2, 32), step_samples=(1,), steps=("hue",)
    )
    results = retrieval.run(plan, client, client)
    assert set(results.tasks) == {"all", "hue"}
    rows = results.tasks["all"]
    assert rows["g"]["mrr"][0] > 0.9 and results.ratios["g"] == [1, 1, 1] and 0 < results.displacement["g"] < 1
    averaged = retrieval.named(retrieval.AVERAGE_CONTEXT, 2)
    assert {"SIFT with surroundings", "random weights, quadrants", averaged} <= set(rows)
    assert results.settings[retrieval.AVERAGE_CHOSEN]["settings"]["steps"]
    runs.store("retrieval", tmp_path, client, plan, vars(results))
    runs.store("cost", tmp_path, client, plan, {
        "threads": 1,
        "microseconds": {
            "g": {"1": 1.0}, retrieval.AVERAGE: {"2": 3.0, "32": 40.0},
            retrieval.AVERAGE_CONTEXT: {"2": 3.0, "32": 40.0},
        },
    })
    assert report.write(tmp_path, "0" * 64) == []
    assert runs.stored(tmp_path)["retrieval"]["tasks"] == results.tasks
    table = (tmp_path / "results.md").read_text()
    assert "| SIFT |" in table and "upsampling" in table and "## Time" in table
    assert all((tmp_path / f"{plot}.svg").stat().st_size > 0 for plot in ("gain", "steps"))
    # The network was trained anew, and only its cost is measured since: what the other was worth is not told of it.
    cost = json.loads((tmp_path / "cost.json").read_text())
    cost["model"]["sha256"] = "1" * 64
    (tmp_path / "cost.json").write_text(json.dumps(cost))
    assert report.write(tmp_path, "1" * 64) == ["retrieval"]
    table = (tmp_path / "results.md").read_text()
    assert "`111111111111`" in table and "## Time" in table and "| SIFT |" not in table
    assert not list(tmp_path.glob("*.svg")) and (tmp_path / "retrieval.json").exists()

"""The parts by themselves, and the whole with a stand-in for the server."""

import json

import numpy as np
import pytest
from exemplar_client import Transformed

from . import baselines, experiment, report, retrieval, served

SEED = 25


class StandIn:
    """Enough of a client: transformed patches are noisy copies, features are grey averages of blocks."""

    def transform(self, context, sample, seed, steps, model):
        noise = np.random.default_rng((seed, sample)).normal(0, 10, (32, 32, 3))
        patch = experiment.centres(context[np.newaxis])[0]
        return Transformed(np.clip(patch + noise, 0, 255).astype(np.uint8)[np.newaxis, np.newaxis], [{}])

    def embed(self, patches, model=None, layers=None, pool="none", average=None, seed=None):
        return baselines.raw(patches, 8, True).astype(np.float32)

    def model(self, name=None):
        layers = [{"name": "conv1", "type": "convolution"}, {"name": "pool1", "type": "max_pool"}]
        return {"name": name, "sha256": "0" * 64, "isa": "portable", "accuracy": "exact", "layers": layers}


def test_ranks_count_what_is_closer_and_half_of_the_ties():
    database = np.array([[0.0], [1.0], [2.0], [5.0]])
    assert retrieval.ranks(np.array([[0.1], [0.2], [5.0], [1.5]]), database, "euclidean").tolist() == [1, 2, 2, 4]
    assert retrieval.ranks(np.ones((4, 1)), np.ones((4, 1)), "euclidean").tolist() == [2.5] * 4


def test_metrics():
    generator = np.random.default_rng(SEED)
    features = generator.random((20, 7))
    for metric in retrieval.METRICS:
        assert np.all(retrieval.ranks(features, features, metric) == 1)
    assert np.all(retrieval.ranks(3 * features, features, "cosine") == 1)
    assert np.all(retrieval.ranks(3 * features + 1, features, "correlation") == 1)
    assert np.all(retrieval.ranks(3 * features, features, "hellinger") == 1)


def test_the_interval_holds_the_mean_and_shrinks_with_queries():
    found = np.random.default_rng(SEED).integers(1, 20, (3, 400)).astype(float)
    large, small = retrieval.summary(found), retrieval.summary(found[:, :25])
    for name in ("mrr", "top1"):
        value, low, high = large[name]
        assert low < value < high
        assert high - low < (small[name][2] - small[name][1]) / 2
    assert large["mrr"][0] == pytest.approx(np.mean(1 / found))


def test_baselines_find_noisy_copies():
    generator = np.random.default_rng(SEED)
    database = generator.integers(0, 256, (30, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
    queries = np.clip(database + generator.normal(0, 5, database.shape), 0, 255).astype(np.uint8)
    chosen = baselines.choose(queries, database)
    assert set(chosen) == set(baselines.BASELINES)
    assert all(choice["mrr"] > 0.9 for choice in chosen.values())


def test_random_weights_have_the_shapes_of_the_model(tmp_path):
    from . import __main__ as command

    folder = served.write_random(command.HERE.parent / "small", tmp_path / "random", seed=0)
    config = json.loads((folder / "config.json").read_text())
    assert config["name"] == "small-random" and "head" not in config and "transformations" in config
    shapes, trained = served._shapes(folder), served._shapes(command.HERE.parent / "small")
    assert shapes == {name: shape for name, shape in trained.items() if not name.startswith("head")}


def test_the_whole_runs_and_reports(tmp_path):
    plan = experiment.Plan("small", patches=30, tuning=30, seeds=(1, 2), samples=(1, 2), step_samples=(1,), steps=("hue",))
    results = experiment.run(plan, StandIn(), StandIn())
    assert set(results.tasks) == {"all", "hue"}
    assert results.tasks["all"]["g"]["mrr"][0] > 0.9
    assert {"SIFT", "random weights, quadrants", "ĝ, K = 2"} <= set(results.tasks["all"])
    report.write(plan, results, StandIn().model("small"), tmp_path)
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["tasks"] == results.tasks and stored["plan"]["patches"] == 30
    table = (tmp_path / "results.md").read_text()
    assert "| SIFT |" in table and "upsampling" in table
    assert (tmp_path / "samples.svg").stat().st_size > 0 and (tmp_path / "steps.svg").stat().st_size > 0

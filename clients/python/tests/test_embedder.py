"""The transformer for scikit-learn, against a server in the same process; the example, against the real one."""

import os
import pickle
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import REPOSITORY
from exemplar_client import ConnectionFailed
from fake_server import DIMENSION, FakeServer, expected, patches

EXAMPLE = REPOSITORY / "clients" / "python" / "examples" / "linear_probe.py"


@pytest.fixture
def embedder():
    """The class, where scikit-learn is installed."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from exemplar_client import ExemplarEmbedder

    return ExemplarEmbedder


def test_images_and_flattened_ones_are_embedded(embedder, server):
    array = patches(5)
    found = embedder(port=server.port).fit_transform(array)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected(array))
    np.testing.assert_array_equal(embedder(port=server.port).transform(array.reshape(5, -1)), found)


def test_options_go_out(embedder, server):
    options = {"model": "m", "layers": "all", "pool": "quadrant", "normalize": "l2"}
    draws = {"average": 4, "tolerance": 0.1, "steps": ["hue"], "border": "zero"}
    array = patches(2)
    embedder(port=server.port, **options, **draws).transform(array)
    params = server.requests[-1]["params"]
    assert options.items() <= params.items()
    assert params["transform"] == {
        "mode": "mean", "samples": 4, "seed": 0, "tolerance": 0.1, "steps": ["hue"], "border": "zero"
    }
    embedder(port=server.port, **options).transform(array)
    assert "transform" not in server.requests[-1]["params"]


def test_inputs_are_split_by_the_server_s_own_limits(embedder, server):
    array = patches(100)
    for limit in ({"max_line_bytes": 4096}, {"max_reply_bytes": 2048}):
        server.requests.clear()
        np.testing.assert_array_equal(embedder(port=server.port, **limit).transform(array), expected(array))
        assert len([request for request in server.requests if request["method"] == "embed"]) > 1


def test_a_pipeline_learns_is_cloned_and_pickled(embedder, server):
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    array = np.concatenate([patches(40) // 4, 255 - patches(40) // 4])
    labels = np.repeat([0, 1], 40)
    pipeline = make_pipeline(embedder(port=server.port), StandardScaler(), LinearSVC())
    assert cross_val_score(pipeline, array, labels).mean() == 1
    fitted = pickle.loads(pickle.dumps(pipeline.fit(array, labels)))
    np.testing.assert_array_equal(fitted.predict(array), labels)
    assert clone(pipeline)[0].get_params() == pipeline[0].get_params()
    assert f"port={server.port}" in repr(pipeline[0])


def test_it_follows_its_parameters(embedder, server):
    with FakeServer() as other:
        mine = embedder(port=server.port).fit(patches(2))
        mine.set_params(port=other.port).transform(patches(2))
        assert other.requests


@pytest.mark.parametrize("shape", [(3, 4, 5, 3), (3, 8, 8, 3), (3, 47), (3, 4, 4), (0, 4, 4, 3), (48,)])
def test_a_wrong_size_is_named_and_nothing_is_resized(embedder, server, shape):
    mine = embedder(port=server.port)
    for ask in (mine.fit, mine.transform):
        with pytest.raises(ValueError, match=re.escape(f"[n, 4, 4, 3] or [n, 48], not of shape {shape}")):
            ask(np.zeros(shape, np.uint8))
    assert "embed" not in {request["method"] for request in server.requests}


def test_surroundings_are_asked_for(embedder, server):
    array = patches(2, (9, 10, 3))
    mine = embedder(port=server.port, input_shape=(9, 10, 3), average=2)
    assert mine.fit(array).transform(array.reshape(2, -1)).shape == (2, DIMENSION)
    with pytest.raises(ValueError, match=r"\[n, 9, 10, 3\]"):
        mine.transform(patches(2))


def test_it_connects_when_it_works(embedder, server):
    server.__exit__()
    mine = embedder(port=server.port)
    with pytest.raises(ConnectionFailed):
        mine.transform(patches(1))


def test_without_scikit_learn_the_package_is_imported_and_the_class_says_what_is_missing():
    script = textwrap.dedent("""
        import sys
        sys.modules["sklearn"] = None
        import exemplar_client
        try:
            exemplar_client.ExemplarEmbedder
        except ImportError as error:
            print(error)
    """)
    source = str(REPOSITORY / "clients" / "python" / "src")
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True,
        timeout=60, check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "pip install './clients/python[sklearn]'" in done.stdout


def test_the_example_is_short():
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 25


def test_the_example(embedder, real_server):
    done = subprocess.run(
        [sys.executable, EXAMPLE, str(real_server[1])], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    # That it runs and its vectors are no noise: a guess is right once in ten times, and raw pixels or random weights
    # would do as well as the network on digits as many as these.
    assert float(done.stdout.split()[1]) > 0.9

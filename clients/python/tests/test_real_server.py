"""The client against the real server, where EXEMPLAR_BINARY names one."""

import threading

import numpy as np
import pytest
from exemplar_client import Client, ExemplarError

SEED = 21


@pytest.fixture
def client(real_server):
    host, port = real_server
    with Client(host, port, timeout=60) as client:
        yield client


@pytest.fixture
def patches(client):
    shape = client.model()["patch_shape"]

    def make(count):
        return np.random.default_rng(SEED).integers(0, 256, (count, *shape), dtype=np.uint8)

    return make


def test_embeddings_have_the_shape_of_the_model(client, patches):
    vectors = client.embed(patches(3))
    assert vectors.shape == (3, client.model()["dim"]) and vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert len({vector.tobytes() for vector in vectors}) == 3


def test_the_answer_does_not_depend_on_the_batch(client, patches):
    array = patches(9)
    together = client.embed(array)
    np.testing.assert_array_equal(together, np.concatenate([client.embed(patch) for patch in array]))
    np.testing.assert_array_equal(together[::-1], client.embed(array[::-1]))


def test_floats_agree_with_bytes(client, patches):
    array = patches(4)
    difference = client.embed(array) - client.embed(array / 255)
    assert np.sqrt(np.mean(difference**2)) <= 1e-5 * np.sqrt(np.mean(client.embed(array) ** 2))


def test_large_inputs_are_split(client, patches):
    array = patches(1500)
    vectors = client.embed(array)
    assert len(vectors) == 1500
    np.testing.assert_array_equal(vectors[-3:], client.embed(array[-3:]))


def test_layers_and_normalization(client, patches):
    model = client.model()
    array = patches(2)
    vectors = client.embed(array, layers=[model["embedding"]])
    np.testing.assert_array_equal(vectors, client.embed(array))
    wide = client.embed(array, layers="all")
    assert wide.shape[1] > vectors.shape[1]
    lengths = np.linalg.norm(client.embed(array, normalize="l2"), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_numbers_and_base64_say_the_same(client, patches):
    import base64

    array = patches(2)
    texts = [base64.b64encode(patch).decode() for patch in array]
    result = client.call("embed", patches=texts, encoding="float")
    np.testing.assert_array_equal(np.array(result["embeddings"], np.float32), client.embed(array))


def test_the_other_methods(client):
    assert client.live() == client.ready() == {"status": "ok"}
    models = client.models()
    assert models["default"] in [model["name"] for model in models["models"]]
    assert client.model(models["default"]) == client.model()
    assert client.stats()


@pytest.mark.parametrize(
    "method, params, code, parameter",
    [
        ("embed", {}, -32602, "patches"),
        ("embed", {"patches": ["!!!!"]}, -32602, "patches"),
        ("embed", {"patches": ["AAAA"]}, -32602, "patches"),
        ("embed", {"patches": ["AAAA"], "typo": 1}, -32602, "typo"),
        ("embed", {"images": ["AAAA"]}, -32004, None),
        ("embed", {"patches": ["AAAA"], "model": "nonesuch"}, -32003, None),
        ("model", {"model": "nonesuch"}, -32003, None),
        ("nonsense", {}, -32601, None),
    ],
)
def test_errors(client, method, params, code, parameter):
    with pytest.raises(ExemplarError) as caught:
        client.call(method, **params)
    assert caught.value.code == code
    assert parameter is None or caught.value.data["param"] == parameter
    assert client.live() == {"status": "ok"}


def test_an_unknown_layer(client, patches):
    with pytest.raises(ExemplarError) as caught:
        client.embed(patches(1), layers=["nonesuch"])
    assert caught.value.code == -32003


def test_many_clients_get_their_own_answers(real_server, client, patches):
    array = patches(32)
    expected = client.embed(array)
    wrong = []

    def ask(start):
        with Client(*real_server, timeout=60) as mine:
            for index in range(start, len(array), 4):
                if not np.array_equal(mine.embed(array[index]), expected[index : index + 1]):
                    wrong.append(index)

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong

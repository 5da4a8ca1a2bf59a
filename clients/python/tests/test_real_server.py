"""The client against the real server, where EXEMPLAR_BINARY names one."""

import os
import threading

import numpy as np
import pytest
from conftest import REPOSITORY, SEED, assert_close, serving
from exemplar_client import Client, ExemplarError
from local_embedding import write_png
from test_model_format import read_safetensors


def test_embeddings_have_the_shape_of_the_model(real_client, patches):
    vectors = real_client.embed(patches(3))
    assert vectors.shape == (3, real_client.model()["dim"]) and vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert len({vector.tobytes() for vector in vectors}) == 3


def test_the_answer_does_not_depend_on_the_batch(real_client, patches):
    array = patches(9)
    together = real_client.embed(array)
    np.testing.assert_array_equal(together, np.concatenate([real_client.embed(patch) for patch in array]))
    np.testing.assert_array_equal(together[::-1], real_client.embed(array[::-1]))


@pytest.mark.parametrize("longest", ["0", "10"])
def test_single_patches_have_the_bits_of_a_batch_whoever_computes_them(binary, longest):
    """With 0 the workers compute each, with 10 s the thread that read it, and with it the workers that are awake."""
    with serving(binary, "--brief-batch", longest) as address, Client(*address, timeout=60) as client:
        for model in client.models()["models"]:
            array = np.random.default_rng(SEED).integers(0, 256, (8, *model["patch_shape"]), dtype=np.uint8)
            together = client.embed(array, model=model["name"])
            for _ in range(5):
                alone = np.concatenate([client.embed(patch, model=model["name"]) for patch in array])
                assert np.array_equal(alone.view(np.uint32), together.view(np.uint32)), model["name"]


def test_floats_agree_with_bytes(real_client, patches):
    array = patches(4)
    difference = real_client.embed(array) - real_client.embed(array / 255)
    assert np.sqrt(np.mean(difference**2)) <= 1e-5 * np.sqrt(np.mean(real_client.embed(array) ** 2))


def test_large_inputs_are_split(real_client, patches):
    array = patches(1500)
    vectors = real_client.embed(array)
    assert len(vectors) == 1500
    np.testing.assert_array_equal(vectors[-3:], real_client.embed(array[-3:]))


def test_layers_and_normalization(real_client, patches):
    model = real_client.model()
    array = patches(2)
    vectors = real_client.embed(array, layers=[model["embedding"]])
    np.testing.assert_array_equal(vectors, real_client.embed(array))
    wide = real_client.embed(array, layers="all")
    assert wide.shape[1] > vectors.shape[1]
    lengths = np.linalg.norm(real_client.embed(array, normalize="l2"), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_numbers_and_base64_say_the_same(real_client, patches):
    import base64

    array = patches(2)
    texts = [base64.b64encode(patch).decode() for patch in array]
    result = real_client.call("embed", patches=texts, encoding="float")
    np.testing.assert_array_equal(np.array(result["embeddings"], np.float32), real_client.embed(array))


def test_the_other_methods(real_client):
    assert real_client.live() == real_client.ready() == {"status": "ok"}
    models = real_client.models()
    assert models["default"] in [model["name"] for model in models["models"]]
    assert real_client.model(models["default"]) == real_client.model()


def test_counters_rise_by_what_was_asked(binary):
    with serving(binary) as address, Client(*address, timeout=60) as client:
        array = np.zeros((3, *client.model()["patch_shape"]), np.uint8)
        before = client.stats()
        client.embed(array)
        client.embed(array, average=2)
        with pytest.raises(ExemplarError):
            client.call("nonsense")
        after = client.stats()
        assert after["requests"]["embed"] == before["requests"].get("embed", 0) + 2
        assert after["requests"]["stats"] == before["requests"]["stats"] + 1
        assert after["patches"] == before["patches"] + 3 + 3 * 2
        assert after["errors"] == {**before["errors"], "-32601": 1}
        assert after["bytes"]["received"] > before["bytes"]["received"] + 2 * array.nbytes


@pytest.mark.parametrize(
    "method, params, code, parameter",
    [
        ("embed", {}, -32602, "patches"),
        ("embed", {"patches": ["!!!!"]}, -32602, "patches"),
        ("embed", {"patches": ["AAAA"]}, -32602, "patches"),
        ("embed", {"patches": ["AAAA"], "typo": 1}, -32602, "typo"),
        ("embed", {"patches": ["AAAA"], "model": "nonesuch"}, -32003, None),
        ("model", {"model": "nonesuch"}, -32003, None),
        ("nonsense", {}, -32601, None),
    ],
)
def test_errors(real_client, method, params, code, parameter):
    with pytest.raises(ExemplarError) as caught:
        real_client.call(method, **params)
    assert caught.value.code == code
    assert parameter is None or caught.value.data["param"] == parameter
    assert real_client.live() == {"status": "ok"}


def test_bytes_of_another_shape_are_refused(real_client, patches):
    array = patches(1)
    with pytest.raises(ExemplarError) as caught:
        real_client.embed(array.reshape(1, array.shape[1] // 2, array.shape[2] * 2, -1))
    assert caught.value.code == -32602 and caught.value.data["param"] == "shape"


def test_an_unknown_layer(real_client, patches):
    with pytest.raises(ExemplarError) as caught:
        real_client.embed(patches(1), layers=["nonesuch"])
    assert caught.value.code == -32003


def quadrants(maps, pool):
    """[n, C, H, W] pooled as the protocol says, by its definition."""
    if pool != "quadrant":
        return getattr(maps, pool)(axis=(2, 3))
    parts = []
    for a in (0, 1):
        for b in (0, 1):
            rows, columns = (slice(s * i // 2, -(-(i + 1) * s // 2)) for s, i in zip(maps.shape[2:], (a, b)))
            parts.append(maps[:, :, rows, columns].max(axis=(2, 3)))
    return np.stack(parts, axis=-1).reshape(len(maps), -1)


@pytest.mark.parametrize("pool", ["quadrant", "max", "mean"])
def test_pooled_features(real_client, patches, pool):
    array, model = patches(3), real_client.model()
    [layer] = [layer for layer in model["layers"] if layer["name"] == "conv1"]
    maps = real_client.embed(array, layers="conv1").reshape(3, *layer["shape"])
    found, expected = real_client.embed(array, layers="conv1", pool=pool), quadrants(maps, pool)
    # The model's own scale of the layer is one factor for all of its features.
    scale = (found * expected).sum() / (expected**2).sum() if pool == "quadrant" else 1
    assert scale > 0
    assert_close(found, scale * expected)
    pooled = {"quadrant": 4}.get(pool, 1)
    weighted = [layer for layer in model["layers"] if "pool" not in layer["type"] and layer["name"] != "head"]
    channels = [layer["shape"][0] for layer in weighted]
    assert real_client.embed(array, layers="all", pool=pool).shape == (3, pooled * sum(channels))


@pytest.mark.parametrize("model", ["small", "medium"])
def test_every_layer_of_a_trained_model_weighs_the_same(real_client, model):
    contexts = read_safetensors(REPOSITORY / "models" / model / "exemplars.safetensors")["patches"]
    exemplars = np.ascontiguousarray(contexts[:, 21:53, 21:53])
    layers = [layer["name"] for layer in real_client.model(model)["layers"] if layer["type"] != "max_pool"]
    for layer in layers[: layers.index(real_client.model(model)["embedding"]) + 1]:
        features = real_client.embed(exemplars, layers=layer, pool="quadrant", model=model).astype(np.float64)
        # Scaled by all exemplars of the training; these are a part.
        assert np.sqrt((features**2).sum(axis=1).mean()) == pytest.approx(1, rel=0.05), layer


def test_larger_images_run_fully_convolutionally(real_client, contexts):
    array = contexts(2)
    vectors = real_client.embed(array, pool="max")
    height, width, _ = real_client.model()["patch_shape"]
    assert vectors.shape == (2, real_client.model()["dim"])
    with pytest.raises(ExemplarError) as caught:
        real_client.embed(array)
    assert caught.value.code == -32602
    with pytest.raises(ExemplarError) as caught:
        real_client.embed(array[:, : height - 1, :width], pool="max")
    assert caught.value.code == -32602


def test_classes_are_the_softmax_of_the_head(real_client, patches):
    array = patches(3)
    logits = real_client.embed(array, layers="head").astype(float)
    logarithms = logits - logits.max(axis=1, keepdims=True)
    logarithms -= np.log(np.exp(logarithms).sum(axis=1, keepdims=True))
    found = real_client.classify(array, top=3)
    for row, expected in zip(found, logarithms):
        assert [each.index for each in row] == np.argsort(-expected)[:3].tolist()
        for each in row:
            assert each.log_probability == pytest.approx(expected[each.index], abs=1e-3)
            assert each.probability == pytest.approx(np.exp(each.log_probability), rel=1e-4)
    assert [len(row) for row in real_client.classify(array, average=4, seed=1)] == [5] * 3


def test_images_are_decoded(real_client, patches, tmp_path):
    array = patches(2)
    files = [write_png(tmp_path / f"{index}.png", patch) for index, patch in enumerate(array)]
    found = real_client.embed([files[0], files[1].read_bytes()], images=True)
    np.testing.assert_array_equal(found, real_client.embed(array))
    with pytest.raises(ExemplarError) as caught:
        real_client.embed([files[0].read_bytes()[:60]], images=True)
    assert caught.value.code == -32006


def test_many_clients_get_their_own_answers(real_server, real_client, patches):
    array = patches(32)
    expected = real_client.embed(array)
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


def test_many_entries_that_are_far_too_short(real_client):
    with pytest.raises(ExemplarError) as caught:
        real_client.call(
            "embed", patches=["\\/"] * 4096, shape=[1024, 1024, 3], dtype="f32", transform={"mode": "sample"}
        )
    assert caught.value.code == -32602
    assert real_client.live() == {"status": "ok"}


def test_the_settings_of_this_shell_are_no_server_s():
    assert [name for name in os.environ if name.startswith("EXEMPLAR_")] == []

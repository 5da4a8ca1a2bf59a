"""The client against the real server, where EXEMPLAR_BINARY names one."""

import colorsys
import threading

import numpy as np
import pytest
from conftest import skip_unless_served
from exemplar_client import Client, ExemplarError
from local_embedding import write_png

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


def test_bytes_of_another_shape_are_refused(client, patches):
    array = patches(1)
    with pytest.raises(ExemplarError) as caught:
        client.embed(array.reshape(1, array.shape[1] // 2, array.shape[2] * 2, -1))
    assert caught.value.code in (-32602, -32004)  # The latter by a server that takes the model's size alone.


def test_an_unknown_layer(client, patches):
    with pytest.raises(ExemplarError) as caught:
        client.embed(patches(1), layers=["nonesuch"])
    assert caught.value.code == -32003


SAMPLE = {"mode": "sample", "seed": 1}


@pytest.fixture
def contexts(client):
    """Patches with surroundings that hold every draw: smooth noise, uint8 [n, H, W, C]."""
    height, width, channels = client.model()["patch_shape"]

    def make(count):
        random = np.random.default_rng(SEED)
        coarse = random.integers(0, 256, (count, 10, 10, channels))
        return coarse.repeat(8, axis=1).repeat(8, axis=2)[:, : height * 37 // 16, : width * 37 // 16].astype(np.uint8)

    return make


def assert_close(found, expected, tolerance=1e-4):
    """Relative RMS; sums in another order differ by rounding alone."""
    assert np.sqrt(np.mean((found - expected) ** 2)) <= tolerance * np.sqrt(np.mean(expected**2))


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
def test_pooled_features(real_server, client, patches, pool):
    skip_unless_served(real_server, "embed", pool=pool)
    array, model = patches(3), client.model()
    [layer] = [layer for layer in model["layers"] if layer["name"] == "conv1"]
    maps = client.embed(array, layers="conv1").reshape(3, *layer["shape"])
    found, expected = client.embed(array, layers="conv1", pool=pool), quadrants(maps, pool)
    # The model's own scale of the layer is one factor for all of its features.
    scale = (found * expected).sum() / (expected**2).sum() if pool == "quadrant" else 1
    assert scale > 0
    assert_close(found, scale * expected)
    pooled = {"quadrant": 4}.get(pool, 1)
    weighted = [layer for layer in model["layers"] if "pool" not in layer["type"] and layer["name"] != "head"]
    channels = [layer["shape"][0] for layer in weighted]
    assert client.embed(array, layers="all", pool=pool).shape == (3, pooled * sum(channels))


def test_larger_images_run_fully_convolutionally(real_server, client, contexts):
    skip_unless_served(real_server, "embed", pool="max")
    array = contexts(2)
    vectors = client.embed(array, pool="max")
    height, width, _ = client.model()["patch_shape"]
    assert vectors.shape == (2, client.model()["dim"])
    with pytest.raises(ExemplarError) as caught:
        client.embed(array)
    assert caught.value.code == -32602
    with pytest.raises(ExemplarError) as caught:
        client.embed(array[:, : height - 1, :width], pool="max")
    assert caught.value.code == -32602


def test_no_steps_leave_the_patch_as_it_is(real_server, client, patches, contexts):
    skip_unless_served(real_server, "embed", transform=SAMPLE)
    array = patches(3)
    np.testing.assert_array_equal(client.embed(array, sample=5, steps=[], seed=1), client.embed(array))
    np.testing.assert_array_equal(client.embed(array, average=4, steps=[], seed=1), client.embed(array))
    height, width, _ = array.shape[1:]
    context = contexts(2)
    top, left = (context.shape[1] - height) // 2, (context.shape[2] - width) // 2
    centre = context[:, top : top + height, left : left + width]
    np.testing.assert_array_equal(client.embed(context, sample=0, steps=[]), client.embed(centre))


def test_a_mean_is_that_of_its_samples(real_server, client, contexts):
    skip_unless_served(real_server, "embed", transform=SAMPLE)
    array, count = contexts(3), 5
    found = client.embed_with_info(array, average=count, seed=11, standard_errors=True)
    samples = np.stack([client.embed(array, sample=k, seed=11) for k in range(count)]).astype(float)
    assert_close(found.embeddings, samples.mean(axis=0))
    errors = samples.std(axis=0, ddof=1) / count**0.5
    assert_close(found.standard_errors, errors, 1e-3)
    assert_close(found.standard_error, np.sqrt(np.mean(errors**2, axis=1)), 1e-3)
    assert found.samples.tolist() == [count] * 3 and found.seed == 11
    assert np.isnan(client.embed_with_info(array, sample=0).standard_error).all()


def test_the_same_seed_gives_the_same_bits_however_the_input_is_split(real_server, client, contexts):
    skip_unless_served(real_server, "embed", transform=SAMPLE)
    array = contexts(40)
    found = client.embed_with_info(array, average=16)
    with Client(*real_server, timeout=60, max_line_bytes=1 << 16) as other:
        np.testing.assert_array_equal(other.embed(array[::-1], average=16, seed=found.seed), found.embeddings[::-1])
    assert not np.array_equal(client.embed(array, average=16, seed=found.seed ^ 1), found.embeddings)


def test_an_echoed_seed_gives_the_same_bits_under_load(real_server, client, contexts):
    skip_unless_served(real_server, "embed", transform=SAMPLE)
    array, stop, failures = contexts(6), threading.Event(), []

    def load(number):
        try:
            with Client(*real_server, timeout=60) as other:
                rounds = 0
                while not stop.is_set() or rounds == 0:
                    other.embed(array[: 1 + (number + rounds) % 6], average=1 + rounds % 9, seed=number)
                    other.embed(array, sample=rounds, seed=number)
                    rounds += 1
        except Exception as error:
            failures.append(error)

    found = [client.embed_with_info(patch, average=12) for patch in array]
    threads = [threading.Thread(target=load, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            for patch, answer in zip(array, found):
                again = client.embed(patch, average=12, seed=answer.seed)
                np.testing.assert_array_equal(again, answer.embeddings)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures


def test_a_tolerance_stops_early(real_server, client, contexts):
    skip_unless_served(real_server, "embed", transform=SAMPLE)
    array = contexts(4)
    loose = client.embed_with_info(array, average=64, tolerance=100.0, seed=3)
    assert loose.samples.tolist() == [8] * 4
    np.testing.assert_array_equal(loose.embeddings, client.embed(array, average=8, seed=3))
    assert client.embed_with_info(array, average=20, tolerance=1e-9, seed=3).samples.tolist() == [20] * 4


def test_transformed_patches_embed_to_the_samples(real_server, client, contexts):
    skip_unless_served(real_server, "transform", transform=SAMPLE)
    array = contexts(2)
    found, parameters = client.transform(array, samples=3, seed=5)
    assert found.shape == (2, 3, *client.model()["patch_shape"]) and len(parameters) == 3
    np.testing.assert_array_equal(client.transform(array, parameters=parameters).patches, found)
    again = client.embed(array, parameters=parameters[1:2])
    np.testing.assert_array_equal(again, client.embed(array, sample=1, seed=5))
    # The patches that come back are rounded to bytes; the network saw them before.
    assert_close(client.embed(found[:, 1]), again, 0.05)


def test_transformations_do_what_their_parameters_say(real_server, client, patches):
    skip_unless_served(real_server, "transform", transform=SAMPLE)
    if client.model()["patch_shape"][2] != 3:
        pytest.skip("the model is not for colours")
    identity = {
        "translation": [0, 0], "scale": 1, "rotation_degrees": 0, "contrast": [1, 1, 1],
        "color": {"power": [1, 1], "factor": [1, 1], "offset": [0, 0]}, "hue": 0,
    }
    array = patches(1)
    height, width, _ = array.shape[1:]
    moved = {**identity, "translation": [0.25, 0]}
    turned = {**identity, "hue": 1 / 3}
    [[same, shifted, coloured]] = client.transform(array, parameters=[identity, moved, turned]).patches
    # HSV and back rounds a byte by one at most.
    assert np.abs(same.astype(int) - array[0]).max() <= 1
    assert np.abs(shifted[:, : width - width // 4].astype(int) - array[0][:, width // 4 :]).max() <= 1
    expected = np.empty_like(same, dtype=float)
    for index in np.ndindex(height, width):
        hue, saturation, value = colorsys.rgb_to_hsv(*array[0][index] / 255)
        expected[index] = colorsys.hsv_to_rgb((hue + 1 / 3) % 1, saturation, value)
    assert np.abs(coloured - 255 * expected).max() <= 1


def test_classes_are_the_softmax_of_the_head(real_server, client, patches):
    skip_unless_served(real_server, "classify")
    array = patches(3)
    logits = client.embed(array, layers="head").astype(float)
    logarithms = logits - logits.max(axis=1, keepdims=True)
    logarithms -= np.log(np.exp(logarithms).sum(axis=1, keepdims=True))
    found = client.classify(array, top=3)
    for row, expected in zip(found, logarithms):
        assert [each.index for each in row] == np.argsort(-expected)[:3].tolist()
        for each in row:
            assert each.log_probability == pytest.approx(expected[each.index], abs=1e-3)
            assert each.probability == pytest.approx(np.exp(each.log_probability), rel=1e-4)
    assert [len(row) for row in client.classify(array, average=4, seed=1)] == [5] * 3


def test_images_are_decoded(real_server, client, patches, tmp_path):
    array = patches(2)
    if array.shape[-1] != 3:
        pytest.skip("the model is not for colours")
    files = [write_png(tmp_path / f"{index}.png", patch) for index, patch in enumerate(array)]
    try:
        found = client.embed([files[0], files[1].read_bytes()], images=True)
    except ExemplarError as error:
        if error.code != -32004:
            raise
        pytest.skip(f"the server does not serve this yet: {error.message}")
    np.testing.assert_array_equal(found, client.embed(array))
    with pytest.raises(ExemplarError) as caught:
        client.embed([files[0].read_bytes()[:60]], images=True)
    assert caught.value.code == -32006


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


@pytest.mark.parametrize("method", ["embed", "classify", "transform"])
@pytest.mark.parametrize("samples", [1, 2, 9])
def test_a_tolerance_with_little_to_average(client, patches, method, samples):
    import base64

    texts = [base64.b64encode(patch).decode() for patch in patches(2)]
    transform = {"mode": "mean", "samples": samples, "seed": 3, "tolerance": 1e-9}
    result = client.call(method, patches=texts, transform=transform)
    assert result["seed" if method == "transform" else "transform"] is not None
    assert client.live() == {"status": "ok"}


def test_many_entries_that_are_far_too_short(client):
    with pytest.raises(ExemplarError) as caught:
        client.call(
            "embed", patches=["\\/"] * 4096, shape=[1024, 1024, 3], dtype="f32", transform={"mode": "sample"}
        )
    assert caught.value.code == -32602
    assert client.live() == {"status": "ok"}


def test_a_tolerance_stops_early_and_says_where(client, patches):
    import base64

    texts = [base64.b64encode(patch).decode() for patch in patches(3)]
    ask = {"mode": "mean", "samples": 64, "seed": 3, "tolerance": 0.5}
    stopped = client.call("embed", patches=texts, transform=ask)
    counts = stopped["transform"]["samples"]
    assert all(count % 8 == 0 and 8 <= count <= 64 for count in counts)
    for text, count, row in zip(texts, counts, stopped["embeddings"]):
        whole = client.call("embed", patches=[text], transform={"mode": "mean", "samples": count, "seed": 3})
        assert whole["embeddings"] == [row]

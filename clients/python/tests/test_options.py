"""The client's options and its other methods, against a server in the same process."""

import math

import fake_server
import numpy as np
import pytest
from conftest import is_settled
from exemplar_client import Class, Client, ExemplarError, ProtocolError
from fake_server import DIMENSION, LABEL_BYTES, PATCH_SHAPE, FakeServer, expected, failure, patches, result


def sent(server) -> list[dict]:
    return [request["params"] for request in server.requests if request["method"] in ("embed", "classify", "transform")]


def test_a_sample_is_one_draw(client, server):
    found = client.embed_with_info(patches(3), sample=np.int64(2), seed=7)
    np.testing.assert_allclose(found.embeddings, expected(patches(3), 1 + fake_server.draw(7, 2)["hue"]), rtol=1e-6)
    assert sent(server)[-1]["transform"] == {"mode": "sample", "index": 2, "seed": 7}
    assert (found.seed, found.layers, found.model) == (7, ("conv3",), "fake")
    assert found.samples.tolist() == [1, 1, 1]
    assert found.standard_error.dtype == np.float64 and np.isnan(found.standard_error).all()
    assert found.standard_errors is None
    detailed = client.embed_with_info(patches(3), sample=2, seed=7, standard_errors=True)
    np.testing.assert_array_equal(detailed.embeddings, found.embeddings)
    assert detailed.standard_errors.shape == (3, DIMENSION) and np.isnan(detailed.standard_errors).all()


def test_a_mean_comes_with_its_standard_error(client, server):
    found = client.embed_with_info(
        patches(2), average=4, seed=7, tolerance=0.5, steps=("hue",), border="zero", standard_errors=True
    )
    growth = np.array([1 + fake_server.draw(7, k)["hue"] for k in range(4)])
    np.testing.assert_allclose(found.embeddings, expected(patches(2), growth.mean()), rtol=1e-5)
    errors = np.abs(expected(patches(2))) * growth.std(ddof=1) / 2
    np.testing.assert_allclose(found.standard_errors, errors, rtol=1e-3)
    np.testing.assert_allclose(found.standard_error, np.sqrt(np.mean(errors**2, axis=1)), rtol=1e-3)
    assert found.samples.tolist() == [4, 4] and found.samples.dtype == np.int64
    assert sent(server)[-1]["transform"] == {
        "mode": "mean", "samples": 4, "seed": 7, "tolerance": 0.5, "steps": ["hue"], "border": "zero",
        "standard_errors": True,
    }
    np.testing.assert_array_equal(client.embed(patches(2), average=4, seed=7), found.embeddings)


def test_parameters_stand_in_for_draws(client, server):
    found = client.embed_with_info(patches(2), parameters=[{"hue": np.float64(0.25)}, {"hue": 0.75}])
    np.testing.assert_allclose(found.embeddings, expected(patches(2), 1.5), rtol=1e-6)
    assert sent(server)[-1]["transform"] == {"parameters": [{"hue": 0.25}, {"hue": 0.75}]}
    assert found.seed is None and found.samples.tolist() == [2, 2]


def test_without_a_transformation_there_is_no_information_about_one(client):
    found = client.embed_with_info(patches(2), layers="all", model="m")
    assert (found.model, found.layers) == ("m", ("conv1", "conv3"))
    assert found.seed is found.samples is found.standard_error is found.standard_errors is None


def test_the_draws_do_not_depend_on_the_split(client, server):
    array = patches(300)
    found = client.embed_with_info(array, average=8)
    transforms = [params["transform"] for params in sent(server)]
    assert len(transforms) == 10  # 32 patches of 8 draws: 256 forward passes a request.
    assert all(transform == transforms[0] for transform in transforms)
    assert 0 <= found.seed < 1 << 53
    with Client(port=server.port, timeout=10, max_line_bytes=1 << 12) as other:
        np.testing.assert_array_equal(other.embed(array, average=8, seed=found.seed), found.embeddings)
    assert client.embed_with_info(array[:1], average=2).seed != client.embed_with_info(array[:1], average=2).seed


def test_a_request_has_at_least_one_patch(client, server):
    client.embed(patches(3), average=1000, seed=1)
    assert [len(params["patches"]) for params in sent(server)] == [1, 1, 1]


def test_replies_stay_below_the_server_s_limit():
    with FakeServer() as server, Client(port=server.port, timeout=10, max_reply_bytes=8192) as client:
        array = patches(256)
        for options, values in (
            ({}, DIMENSION),
            ({"pool": "quadrant"}, 4 * DIMENSION),
            ({"layers": "all"}, 8 * 16 + DIMENSION),
            ({"layers": ["conv3"]}, DIMENSION),
            ({"layers": "all", "pool": "quadrant"}, 4 * (8 + DIMENSION)),
        ):
            server.requests.clear()
            np.testing.assert_array_equal(client.embed(array, **options), expected(array))
            sizes = [len(params["patches"]) for params in sent(server)]
            characters = values * (16 / 3) + 64  # Of base64, and around it; 1,024 around all.
            most = int((8192 - 1024) / characters)
            assert sum(sizes) == 256 and max(sizes) <= most and len(sizes) == math.ceil(256 / most)


@pytest.mark.parametrize("top, classes", [(2, 2), (1000, DIMENSION)])
def test_replies_of_classes_stay_below_the_server_s_limit(top, classes):
    with FakeServer() as server, Client(port=server.port, timeout=10, max_reply_bytes=8192) as client:
        assert len(client.classify(patches(256), top=top)) == 256
        sizes = [len(params["patches"]) for params in sent(server)]
        characters = classes * (128 + LABEL_BYTES) + 64  # And what is around them.
        most = int((8192 - 1024) / characters)
        assert sum(sizes) == 256 and max(sizes) <= most and len(sizes) == math.ceil(256 / most)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"average": 2, "sample": 1}, "average and sample"),
        ({"average": 2, "parameters": []}, "average and parameters"),
        ({"seed": 3}, "seed"),
        ({"tolerance": 0.1}, "tolerance"),
        ({"border": "zero"}, "border"),
        ({"parameters": [{}], "seed": 3}, "seed"),
        ({"parameters": [{}], "steps": ["hue"]}, "steps"),
    ],
)
def test_arguments_that_contradict_each_other(client, server, options, words):
    with pytest.raises(ValueError, match=words):
        client.embed(patches(1), **options)
    assert not server.requests


def test_contexts_and_larger_images_say_their_shape(client, server):
    array = patches(2, (9, 10, 3))
    np.testing.assert_array_equal(client.embed(array, pool="max"), expected(array))
    assert sent(server)[-1]["shape"] == [9, 10, 3] and sent(server)[-1]["pool"] == "max"
    assert client.embed(array, average=2).shape == (2, DIMENSION)
    with pytest.raises(ExemplarError, match="pool"):
        client.embed(array)


def test_images_are_bytes_or_paths(client, server, tmp_path):
    files = [patch.tobytes() for patch in patches(5)]
    (tmp_path / "a.png").write_bytes(files[1])
    (tmp_path / "b.png").write_bytes(files[3])
    mixed = [files[0], tmp_path / "a.png", bytearray(files[2]), str(tmp_path / "b.png"), memoryview(files[4])]
    np.testing.assert_array_equal(client.embed(mixed, images=True), expected(patches(5)))
    assert set(sent(server)[-1]) == {"images"}
    np.testing.assert_array_equal(client.embed(tmp_path / "a.png", images=True), expected(patches(5)[1:2]))
    np.testing.assert_array_equal(client.embed(files[0], images=True), expected(patches(5)[:1]))
    assert len(client.classify(mixed, top=1, images=True)) == 5


def test_many_images_go_out_in_lines_below_the_limit(tmp_path):
    with FakeServer() as server, Client(port=server.port, timeout=10, max_line_bytes=4096) as client:
        array = patches(200)
        paths = [tmp_path / f"{index}.png" for index in range(len(array))]
        for path, patch in zip(paths, array):
            path.write_bytes(patch.tobytes())
        np.testing.assert_array_equal(client.embed(paths, images=True), expected(array))
        assert len(server.requests) > 1 and max(server.line_lengths) <= 4096


def test_images_that_are_too_much_together_go_out_apart():
    def answer(request, server):
        if len(request["params"].get("images", [])) > 3:
            return failure(request, -32602, "This is too much work.", param="images")
        return fake_server.standard_answer(request, server)

    files = [patch.tobytes() for patch in patches(60)]
    with FakeServer(answer) as server, Client(port=server.port, timeout=10) as client:
        np.testing.assert_array_equal(client.embed(files, images=True), expected(patches(60)))
        assert is_settled(client)


def test_an_image_that_is_none_is_named_by_its_place_among_all():
    def answer(request, server):
        entries = request["params"].get("images", [])
        if "AAAA" in entries:
            index = entries.index("AAAA")
            return failure(request, -32006, f"Entry {index} of `images`: no image.", index=index)
        return fake_server.standard_answer(request, server)

    files = [patch.tobytes() for patch in patches(600)]
    files[300] = bytes(3)
    with FakeServer(answer) as server, Client(port=server.port, timeout=10) as client:
        with pytest.raises(ExemplarError, match="entry 300 of all") as caught:
            client.embed(files, images=True)
        assert caught.value.data == {"index": 300}


def test_a_probability_of_zero_has_the_logarithm_that_json_lacks():
    classes = [[{"index": 0, "probability": 1, "log_probability": 0},
                {"index": 1, "probability": 0, "log_probability": None}]]
    with FakeServer(lambda request, server: result(request, {"classes": classes})) as server:
        with Client(port=server.port, timeout=10) as client:
            assert client.classify(patches(1))[0][1] == Class(1, 0.0, -math.inf)


def test_images_that_are_none(client, tmp_path):
    with pytest.raises(TypeError, match="entry 1"):
        client.embed([b"x", 7], images=True)
    with pytest.raises(ValueError, match="at least one"):
        client.embed([], images=True)
    with pytest.raises(FileNotFoundError):
        client.embed([tmp_path / "nonesuch"], images=True)


def test_classes(client, server):
    array = patches(300)
    found = client.classify(array, top=2, model="m")
    assert len(found) == 300 and {len(row) for row in found} == {2}
    assert len(sent(server)) == 2 and sent(server)[0]["top"] == 2
    for row, vector in zip(found, expected(array).astype(float)):
        assert row[0].index == vector.argmax() and row[0].probability >= row[1].probability
        assert np.exp(row[0].log_probability) == pytest.approx(row[0].probability)
    assert isinstance(found[0][0], Class)
    assert Class(3, 0.5, -0.7).label is None
    assert len(client.classify(array[0], average=3, seed=1)[0]) == 5
    assert sent(server)[-1]["transform"] == {"mode": "mean", "samples": 3, "seed": 1}


def test_transformed_patches(client, server):
    array = patches(3, (8, 8, 3))
    found, parameters = client.transform(array, samples=4, seed=9)
    assert found.shape == (3, 4, *PATCH_SHAPE) and found.dtype == np.uint8
    assert parameters == [fake_server.draw(9, k) for k in range(4)]
    np.testing.assert_array_equal(found[:, 1], array[:, 2:6, 2:6] + np.uint8(round(parameters[1]["hue"] * 101)))
    again = client.transform(array, parameters=parameters)
    np.testing.assert_array_equal(again.patches, found)
    np.testing.assert_array_equal(client.transform(array, sample=2, seed=9).patches[:, 0], found[:, 2])
    many = client.transform(patches(200), samples=8, steps=[])
    assert many.patches.shape == (200, 8, *PATCH_SHAPE)
    assert len({params["transform"]["seed"] for params in sent(server)[-7:]}) == 1
    with pytest.raises(ValueError, match="samples, sample or parameters"):
        client.transform(array)


def test_a_token_opens_the_connection(tmp_path):
    path = str(tmp_path / "socket")
    with FakeServer(unix=path, token="secret") as server:
        with Client(unix=path, timeout=10, token="secret") as client:
            assert client.embed(patches(1)).shape == (1, DIMENSION)
        with Client(unix=path, timeout=10) as client:
            assert client.live() == {"status": "ok"}
            with pytest.raises(ExemplarError) as caught:
                client.model()
            assert caught.value.code == -32002
            assert client.auth("secret") == {"status": "ok"}
            assert client.model()["name"] == "fake"
        with pytest.raises(ExemplarError) as caught:
            Client(unix=path, timeout=10, token="guess")
        assert caught.value.code == -32002
        assert [request["method"] for request in server.requests][:2] == ["auth", "embed"]


@pytest.mark.parametrize(
    "ask, value",
    [
        (lambda c: c.embed(patches(1), average=2), {"model": "m", "layers": [], "dim": 1, "embeddings": ["AAAAAA=="],
                                                    "transform": {"samples": [2, 2], "standard_error": [0.1]}}),
        (lambda c: c.embed(patches(1), average=2), {"model": "m", "layers": [], "dim": 1, "embeddings": ["AAAAAA=="],
                                                    "transform": {"samples": [2]}}),
        (lambda c: c.classify(patches(2)), {"classes": [[]]}),
        (lambda c: c.classify(patches(1)), {"classes": [[{"index": 1}]]}),
        (lambda c: c.transform(patches(1), samples=1),
         {"patch_shape": [4, 4, 3], "patches": [["AAAA"]], "parameters": [{}]}),
        (lambda c: c.transform(patches(1), samples=1), {"patch_shape": None}),
        (lambda c: c.embed(patches(2), layers="all"), {"layers": [{}]}),
    ],
)
def test_results_that_are_not_the_documented_ones(ask, value):
    with FakeServer(lambda request, server: result(request, value)) as server:
        with Client(port=server.port, timeout=10) as client, pytest.raises(ProtocolError):
            ask(client)

"""T_α and averages by the real server, where EXEMPLAR_BINARY names one."""

import base64
import colorsys
import threading

import numpy as np
import pytest
from conftest import assert_close
from exemplar_client import Client


def test_no_steps_leave_the_patch_as_it_is(real_client, patches, contexts):
    array = patches(3)
    np.testing.assert_array_equal(real_client.embed(array, sample=5, steps=[], seed=1), real_client.embed(array))
    np.testing.assert_array_equal(real_client.embed(array, average=4, steps=[], seed=1), real_client.embed(array))
    height, width, _ = array.shape[1:]
    context = contexts(2)
    top, left = (context.shape[1] - height) // 2, (context.shape[2] - width) // 2
    centre = context[:, top : top + height, left : left + width]
    np.testing.assert_array_equal(real_client.embed(context, sample=0, steps=[]), real_client.embed(centre))


def test_a_mean_is_that_of_its_samples(real_client, contexts):
    array, count = contexts(3), 5
    found = real_client.embed_with_info(array, average=count, seed=11, standard_errors=True)
    samples = np.stack([real_client.embed(array, sample=k, seed=11) for k in range(count)]).astype(float)
    assert_close(found.embeddings, samples.mean(axis=0))
    errors = samples.std(axis=0, ddof=1) / count**0.5
    assert_close(found.standard_errors, errors, 1e-3)
    assert_close(found.standard_error, np.sqrt(np.mean(errors**2, axis=1)), 1e-3)
    assert found.samples.tolist() == [count] * 3 and found.seed == 11
    single = real_client.embed_with_info(array, sample=0, standard_errors=True)
    assert np.isnan(single.standard_error).all() and np.isnan(single.standard_errors).all()


def test_the_same_seed_gives_the_same_bits_however_the_input_is_split(real_server, real_client, contexts):
    array = contexts(40)
    found = real_client.embed_with_info(array, average=16)
    with Client(*real_server, timeout=60, max_line_bytes=1 << 16) as other:
        np.testing.assert_array_equal(other.embed(array[::-1], average=16, seed=found.seed), found.embeddings[::-1])
    assert not np.array_equal(real_client.embed(array, average=16, seed=found.seed ^ 1), found.embeddings)


def test_an_echoed_seed_gives_the_same_bits_under_load(real_server, real_client, contexts):
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

    found = [real_client.embed_with_info(patch, average=12) for patch in array]
    threads = [threading.Thread(target=load, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            for patch, answer in zip(array, found):
                again = real_client.embed(patch, average=12, seed=answer.seed)
                np.testing.assert_array_equal(again, answer.embeddings)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures


def test_a_tolerance_stops_early(real_client, contexts):
    array = contexts(4)
    loose = real_client.embed_with_info(array, average=64, tolerance=100.0, seed=3)
    assert loose.samples.tolist() == [8] * 4
    np.testing.assert_array_equal(loose.embeddings, real_client.embed(array, average=8, seed=3))
    assert real_client.embed_with_info(array, average=20, tolerance=1e-9, seed=3).samples.tolist() == [20] * 4


def test_transformed_patches_embed_to_the_samples(real_client, contexts):
    array = contexts(2)
    found, parameters = real_client.transform(array, samples=3, seed=5)
    assert found.shape == (2, 3, *real_client.model()["patch_shape"]) and len(parameters) == 3
    np.testing.assert_array_equal(real_client.transform(array, parameters=parameters).patches, found)
    again = real_client.embed(array, parameters=parameters[1:2])
    np.testing.assert_array_equal(again, real_client.embed(array, sample=1, seed=5))
    # The patches that come back are rounded to bytes; the network saw them before.
    assert_close(real_client.embed(found[:, 1]), again, 0.05)


def test_transformations_do_what_their_parameters_say(real_client, patches):
    identity = {
        "translation": [0, 0], "scale": 1, "rotation_degrees": 0, "contrast": [1, 1, 1],
        "color": {"power": [1, 1], "factor": [1, 1], "offset": [0, 0]}, "hue": 0,
    }
    array = patches(1)
    height, width, _ = array.shape[1:]
    moved = {**identity, "translation": [0.25, 0]}
    turned = {**identity, "hue": 1 / 3}
    [[same, shifted, coloured]] = real_client.transform(array, parameters=[identity, moved, turned]).patches
    # HSV and back rounds a byte by one at most.
    assert np.abs(same.astype(int) - array[0]).max() <= 1
    assert np.abs(shifted[:, : width - width // 4].astype(int) - array[0][:, width // 4 :]).max() <= 1
    expected = np.empty_like(same, dtype=float)
    for index in np.ndindex(height, width):
        hue, saturation, value = colorsys.rgb_to_hsv(*array[0][index] / 255)
        expected[index] = colorsys.hsv_to_rgb((hue + 1 / 3) % 1, saturation, value)
    assert np.abs(coloured - 255 * expected).max() <= 1


@pytest.mark.parametrize("method", ["embed", "classify", "transform"])
@pytest.mark.parametrize("samples", [1, 2, 9])
def test_a_tolerance_with_little_to_average(real_client, patches, method, samples):
    texts = [base64.b64encode(patch).decode() for patch in patches(2)]
    transform = {"mode": "mean", "samples": samples, "seed": 3, "tolerance": 1e-9}
    result = real_client.call(method, patches=texts, transform=transform)
    assert result["seed" if method == "transform" else "transform"] is not None
    assert real_client.live() == {"status": "ok"}


def test_a_tolerance_stops_early_and_says_where(real_client, patches):
    texts = [base64.b64encode(patch).decode() for patch in patches(3)]
    ask = {"mode": "mean", "samples": 64, "seed": 3, "tolerance": 0.5}
    stopped = real_client.call("embed", patches=texts, transform=ask)
    counts = stopped["transform"]["samples"]
    assert all(count % 8 == 0 and 8 <= count <= 64 for count in counts)
    for text, count, row in zip(texts, counts, stopped["embeddings"]):
        whole = real_client.call("embed", patches=[text], transform={"mode": "mean", "samples": count, "seed": 3})
        assert whole["embeddings"] == [row]

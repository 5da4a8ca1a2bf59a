"""docs/model-format.md: its example is run as it stands, and what it exports is loaded and computes what it should."""

import json
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from local_embedding import embed, write_png

DOCUMENT = (REPOSITORY / "docs" / "model-format.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(\w+) example\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The model folder that the example writes."""
    [(language, example)] = EXAMPLES
    assert language == "python"
    folder = tmp_path_factory.mktemp("models") / "odd"
    done = subprocess.run(
        [sys.executable, "-", str(folder)], input=example, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def read_safetensors(path):
    """By the format's definition, independent of the example's writer."""
    content = path.read_bytes()
    [length] = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    types = {"U8": np.uint8, "I32": np.int32, "F16": np.float16, "F32": np.float32}
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = np.frombuffer(content[8 + length + start : 8 + length + end], types[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def reference(folder, patch):
    """The embedding of one patch [H, W] in float64, by loops over the definition, from what is in the folder."""
    config = json.loads((folder / "config.json").read_text())
    weights = {name: array.astype(float) for name, array in read_safetensors(folder / "model.safetensors").items()}
    preprocessing = config["preprocessing"]
    x = (patch * preprocessing["scale"] - preprocessing["mean"][0]) / preprocessing["std"][0]
    maps = np.zeros((12, 10, 12))
    for (channel, row, column), _ in np.ndenumerate(maps):
        for i in range(7):
            for j in range(7):
                y, z = 2 * row + i - 3, 2 * column + j - 3
                if 0 <= y < x.shape[0] and 0 <= z < x.shape[1]:
                    maps[channel, row, column] += weights["conv.weight"][channel, 0, i, j] * x[y, z]
        maps[channel, row, column] = max(maps[channel, row, column] + weights["conv.bias"][channel], 0)
    pooled = [
        maps[channel, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3].max()
        for channel in range(12)
        for row in range(5)
        for column in range(6)
    ]
    return weights["fc.weight"] @ pooled + weights["fc.bias"]


def test_the_example_is_what_it_says(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["input"]["channels"] == 1
    assert config["layers"][0]["kernel"] == 7 and config["layers"][0]["stride"] == 2
    assert config["layers"][1]["rounding"] == "ceil"
    weights = read_safetensors(folder / "model.safetensors")
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float16)}


def test_the_example_loads_and_passes_its_self_test(binary, folder):
    done = subprocess.run(
        [binary, "model", "--model", folder, "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout)
    assert (model["name"], model["self_test"], model["dim"]) == ("odd", "passed", 10)
    assert [layer["shape"] for layer in model["layers"]] == [[12, 10, 12], [12, 5, 6], [10]]


def test_embeddings_match_a_float64_reference(binary, folder, tmp_path):
    patches = np.random.default_rng(2).integers(0, 256, (4, 19, 24), dtype=np.uint8)
    files = [write_png(tmp_path / f"{index}.png", patch) for index, patch in enumerate(patches)]
    expected = np.stack([reference(folder, patch) for patch in patches])
    difference = embed(binary, folder, files) - expected
    assert np.sqrt(np.mean(difference**2)) <= 1e-5 * np.sqrt(np.mean(expected**2))


def test_a_wrong_golden_output_is_refused(binary, folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = bytearray((folder / "golden.safetensors").read_bytes())
    content[-1] ^= 1  # The last value, of fc, has another exponent now.
    (tmp_path / "golden.safetensors").write_bytes(content)
    done = subprocess.run(
        [binary, "model", "--model", tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and "self-test failed: fc differs" in done.stderr

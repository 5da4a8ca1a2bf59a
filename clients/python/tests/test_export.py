"""`export` writes folders that the server loads, whose self-test passes; its float64 forward pass against loops."""

import importlib.util
import itertools
import json
import subprocess

import numpy as np
import pytest
from exemplar_client import export
from exemplar_client._reference import outputs
from local_embedding import embed, write_png
from test_model_format import read_safetensors

SEED = 23
PREPROCESSING = {"scale": 1 / 255, "mean": [0.45], "std": [0.25]}
FULL_NAN = np.full(9, 0x7FFFFFFF, np.uint32).view(np.float32)  # Whose rounding to BF16 carries into the sign.
COLOUR = {"scale": 1 / 255, "mean": [0.47, 0.44, 0.40], "std": [0.25, 0.3, 0.35]}

# Layers of [type, name, channels, kernel, stride, padding, more], and what is odd about each network.
NETWORKS = {
    "grey, 7×7, stride 2, ceil, half precision": dict(
        input_shape=(19, 24, 1), preprocessing=PREPROCESSING, embedding="fc", dtype={"conv": "F16", "fc": "F16"},
        layers=[
            {"type": "convolution", "name": "conv", "out_channels": 12, "kernel": 7, "stride": 2, "padding": 3,
             "activation": "relu"},
            {"type": "max_pool", "name": "pool", "kernel": 3, "stride": 2, "rounding": "ceil"},
            {"type": "linear", "name": "fc", "out_features": 10},
        ],
    ),
    "with a head, padded ceil pooling, bfloat16": dict(
        input_shape=(17, 15, 3), preprocessing=COLOUR, embedding="fc", head="head", dtype={"fc": "BF16", "head": "F16"},
        feature_scales={"conv1": np.float32(0.5), "fc": 2}, layers=[
            {"type": "convolution", "name": "conv1", "out_channels": 9, "kernel": [3, 5], "padding": [1, 2],
             "activation": "relu"},
            {"type": "max_pool", "name": "pool1", "kernel": [3, 2], "stride": [2, 3], "padding": [1, 0],
             "rounding": "ceil"},
            {"type": "convolution", "name": "conv2", "out_channels": 7, "kernel": 2, "stride": [1, 2]},
            {"type": "linear", "name": "fc", "out_features": 6, "activation": "relu"},
            {"type": "linear", "name": "head", "out_features": 21},
        ],
    ),
    "a convolution as the embedding": dict(
        input_shape=(8, 9, 2), preprocessing={"scale": 1, "mean": [128, 120], "std": [60, 70]}, embedding="conv",
        layers=[
            {"type": "max_pool", "name": "pool", "kernel": 2, "stride": 3, "padding": 1, "rounding": "floor"},
            {"type": "convolution", "name": "conv", "out_channels": 3, "kernel": 1},
        ],
    ),
    "maps of one pixel behind a linear layer": dict(
        input_shape=(8, 9, 1), preprocessing=PREPROCESSING, embedding="fc2", layers=[
            {"type": "linear", "name": "fc1", "out_features": 5, "activation": "relu"},
            {"type": "convolution", "name": "conv", "out_channels": 4, "kernel": 3, "padding": 1},
            {"type": "linear", "name": "fc2", "out_features": 6},
            {"type": "max_pool", "name": "pool", "kernel": 1, "stride": 1},
        ],
    ),
}


def loops(layers, weights, x):
    """Every layer's output for x [C, H, W], by the definition, one value at a time: {name: [C, H, W] or [n]}."""
    result = {}
    pair = lambda value: value if isinstance(value, list) else [value, value]
    for layer in layers:
        name = layer["name"]
        if layer["type"] == "linear":
            weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            y = np.array([sum(a * b for a, b in zip(row, x.ravel())) + c for row, c in zip(weight, bias)])
        else:
            x = x.reshape(len(x), 1, 1) if x.ndim == 1 else x
            kernel, stride, padding = (pair(layer.get(key, default)) for key, default in
                                       (("kernel", 1), ("stride", 1), ("padding", 0)))
            sides = []
            for size, k, s, p in zip(x.shape[1:], kernel, stride, padding):
                starts = range(-p, size + p + s, s)
                if layer.get("rounding") == "ceil":
                    # Windows start inside the input or its left padding, and as many as it takes to reach the end.
                    needed = next(i for i, start in enumerate(starts) if start + k >= size + p) + 1
                    sides.append([start for start in starts[:needed] if start < size])
                else:
                    sides.append([start for start in starts if start + k <= size + p])
            channels = layer.get("out_channels", x.shape[0])
            y = np.zeros((channels, len(sides[0]), len(sides[1])))
            for (channel, row, column), _ in np.ndenumerate(y):
                window = [
                    (i, j, sides[0][row] + i, sides[1][column] + j) for i in range(kernel[0]) for j in range(kernel[1])
                ]
                window = [(i, j, r, c) for i, j, r, c in window if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]]
                if layer["type"] == "max_pool":
                    y[channel, row, column] = max(x[channel, r, c] for _, _, r, c in window)
                else:
                    weight = weights[f"{name}.weight"][channel]
                    y[channel, row, column] = weights[f"{name}.bias"][channel] + sum(
                        weight[d, i, j] * x[d, r, c] for d in range(x.shape[0]) for i, j, r, c in window
                    )
        x = np.maximum(y, 0) if layer.get("activation") == "relu" else y
        result[name] = x
    return result


def state(network, random):
    """Random weights of the shapes that the layers ask for: a dict of float32 arrays."""
    x = np.zeros((network["input_shape"][2], *network["input_shape"][:2]))
    result = {}
    for index, layer in enumerate(network["layers"]):
        name = layer["name"]
        if layer["type"] == "convolution":
            kernel = layer["kernel"] if isinstance(layer["kernel"], list) else [layer["kernel"]] * 2
            shape = (layer["out_channels"], x.shape[0], *kernel)
        elif layer["type"] == "linear":
            shape = (layer["out_features"], x.size)
        if layer["type"] != "max_pool":
            result[f"{name}.weight"] = random.normal(0, 0.3, shape).astype(np.float32)
            result[f"{name}.bias"] = random.normal(0, 0.3, shape[0]).astype(np.float32)
        x = loops(network["layers"][index : index + 1], {k: v * 0 for k, v in result.items()}, x)[name]
    return result


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS.keys())
def network(request):
    return request.param


@pytest.fixture
def folder(network, tmp_path):
    return export(state(network, np.random.default_rng(SEED)), folder=tmp_path / "model", name="odd", **network)


def decoded(path):
    """model.safetensors in float64, BF16 widened by its definition: the upper half of a float32."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, result = json.loads(content[8 : 8 + length]), {}
    for name, entry in header.items():
        data = content[8 + length + entry["data_offsets"][0] : 8 + length + entry["data_offsets"][1]]
        if entry["dtype"] == "BF16":
            data, kind = b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2)), "<f4"
        else:
            kind = {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]
        result[name] = (entry["dtype"], np.frombuffer(data, kind).reshape(entry["shape"]).astype(float))
    return result


def test_weights_are_rounded_to_the_types_asked_for(network, folder):
    given = state(network, np.random.default_rng(SEED))
    steps = {"F32": 0, "F16": 2**-11, "BF16": 2**-8}  # Half a unit in the last place, relative.
    found = decoded(folder / "model.safetensors")
    assert set(found) == set(given)
    for key, (dtype, values) in found.items():
        assert dtype == network.get("dtype", {}).get(key.partition(".")[0], "F32")
        assert np.all(np.abs(values - given[key]) <= steps[dtype] * np.abs(given[key]) + 2**-25)
        assert (steps[dtype] == 0) == np.array_equal(values, given[key])


def test_golden_outputs_are_those_of_loops(network, folder):
    weights = {key: values for key, (_, values) in decoded(folder / "model.safetensors").items()}
    golden = read_safetensors(folder / "golden.safetensors")
    patches, preprocessing = golden.pop("patches"), network["preprocessing"]
    assert patches.shape == (3, *network["input_shape"])
    x = (patches * preprocessing["scale"] - preprocessing["mean"]) / preprocessing["std"]
    for index in range(3):
        expected = loops(network["layers"], weights, x[index].transpose(2, 0, 1))
        assert list(expected) == list(golden)
        for name, output in expected.items():
            np.testing.assert_allclose(golden[name][index], output, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rounding", ["floor", "ceil"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_windows_of_max_pooling_are_those_of_loops(kernel, rounding):
    """Of every small size; a refusal where ⌊(size + 2 · padding − kernel) / stride⌋ + 1, or ⌈…⌉ + 1, are none."""
    for size, stride, padding in itertools.product(range(1, 8), range(1, 5), range(kernel // 2 + 1)):
        x = np.random.default_rng(21).normal(size=(1, 1, size, size))
        layers = [{"type": "max_pool", "name": "pool", "kernel": kernel, "stride": stride, "padding": padding,
                   "rounding": rounding}]
        if size + 2 * padding - kernel <= (-stride if rounding == "ceil" else -1):
            with pytest.raises(ValueError, match="pool: its kernel"):
                outputs(layers, {}, x)
        else:
            wanted = loops(layers, {}, x[0])["pool"]
            np.testing.assert_array_equal(outputs(layers, {}, x)["pool"][0], wanted, f"{size=} {stride=} {padding=}")


def test_the_server_loads_it_and_passes_the_self_test(binary, network, folder, tmp_path):
    done = subprocess.run(
        [binary, "model", "--model", folder, "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout)
    assert (model["name"], model["self_test"], model["embedding"]) == ("odd", "passed", network["embedding"])
    if network["input_shape"][2] in (1, 3):
        golden = read_safetensors(folder / "golden.safetensors")
        pixels = golden["patches"][..., 0] if network["input_shape"][2] == 1 else golden["patches"]
        files = [write_png(tmp_path / f"{index}.png", patch) for index, patch in enumerate(pixels)]
        expected = golden[network["embedding"]].reshape(3, -1)
        difference = embed(binary, folder, files) - expected
        assert np.sqrt(np.mean(difference**2)) <= 2e-5 * np.sqrt(np.mean(expected**2))


def test_the_config_and_the_card(tmp_path):
    network = NETWORKS["with a head, padded ceil pooling, bfloat16"]
    weights = state(network, np.random.default_rng(SEED))
    golden = np.full((1, *network["input_shape"]), 7, np.uint8)
    folder = export(weights, folder=tmp_path / "a" / "b", name="odd", golden_patches=golden, **network)
    config = json.loads((folder / "config.json").read_text())
    assert config["head"] == "head" and config["feature_scales"] == {"conv1": 0.5, "fc": 2}
    assert "transformations" not in config and config["input"] == {"channels": 3, "height": 17, "width": 15}
    np.testing.assert_array_equal(read_safetensors(folder / "golden.safetensors")["patches"], golden)
    card = (folder / "README.md").read_text()
    assert card.startswith("# odd\n") and "17×15×3" in card and "BF16" in card
    (folder / "README.md").write_text("mine")
    export(weights, folder=folder, name="odd", **network)
    assert (folder / "README.md").read_text() == "mine"


def changed(**differences):
    """Arguments of `export` that differ from good ones."""
    network = NETWORKS["with a head, padded ceil pooling, bfloat16"]
    return {"state_dict": state(network, np.random.default_rng(SEED)), "name": "odd", **network, **differences}


def with_weight(key, value):
    weights = changed()["state_dict"]
    weights[key] = value
    return {"state_dict": {key: value for key, value in weights.items() if value is not None}}


def with_layer(index=0, **differences):
    layers = changed()["layers"]
    return {"layers": [*layers[:index], {**layers[index], **differences}, *layers[index + 1 :]]}


@pytest.mark.parametrize(
    "differences, words",
    [
        (with_weight("conv2.bias", None), r"lacks conv2\.bias"),
        (with_weight("bn.weight", np.zeros(3)), r"has bn\.weight"),
        (with_weight("fc.weight", np.zeros((6, 5), np.float32)), r"fc\.weight has shape \(6, 5\)"),
        (with_weight("conv1.bias", np.zeros(8, np.float32)), r"conv1\.bias has shape \(8,\)"),
        (with_weight("head.bias", np.full(21, 1e6, np.float32)), r"head\.bias holds values that are not finite in F16"),
        (with_weight("conv1.bias", np.full(9, np.nan, np.float32)), r"conv1\.bias holds"),
        (with_weight("conv1.bias", FULL_NAN), r"conv1\.bias holds"),
        ({**with_weight("conv1.bias", FULL_NAN), "dtype": {"conv1": "BF16"}}, r"conv1\.bias holds .* BF16"),
        (with_layer(type="batch_norm"), "layer 0"),
        (with_layer(dilation=2), "conv1: .* dilation"),
        (with_layer(name="fc"), "two layers"),
        (with_layer(1, stride=0), "pool1: stride must be .* 1 on, or two, not 0"),
        (with_layer(2, stride=[1, -1]), r"conv2: stride .* not \[1, -1\]"),
        (with_layer(2, kernel=[2, 2, 2]), "conv2: kernel must be"),
        (with_layer(2, padding=-1), "conv2: padding must be .* 0 on"),
        ({"embedding": "pool1"}, "embedding names pool1"),
        ({"head": "nonesuch"}, "head names nonesuch"),
        ({"dtype": {"fc": "F8"}}, r"dtype of fc\.weight"),
        ({"dtype": {"fc2": "F16"}}, "dtype names fc2"),
        ({"input_shape": (1, 15, 3)}, "conv2: its kernel"),
        ({"input_shape": (7, 15, 3), **with_layer(1, kernel=[11, 2])}, "pool1: its kernel"),
        ({"preprocessing": PREPROCESSING}, "mean and std must have 3"),
        ({"preprocessing": {"scale": 1}}, "preprocessing lacks mean, std"),
        ({"preprocessing": {"mean": COLOUR["mean"], "std": COLOUR["std"]}}, "preprocessing lacks scale"),
        ({"golden_patches": np.zeros((2, 17, 15, 1), np.uint8)}, "golden_patches"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, differences, words):
    with pytest.raises(ValueError, match=words):
        export(folder=tmp_path / "model", **changed(**differences))
    assert not (tmp_path / "model").exists()


class Tensor:
    """As much of a PyTorch tensor as `export` touches."""

    def __init__(self, values):
        self._values = values

    def detach(self):
        return self

    cpu = double = detach

    def numpy(self):
        return self._values.astype(np.float64)


def test_tensors_are_taken_as_arrays_are(tmp_path):
    arguments = changed()
    arrays = export(folder=tmp_path / "arrays", **arguments)
    arguments["state_dict"] = {key: Tensor(value) for key, value in arguments["state_dict"].items()}
    tensors = export(folder=tmp_path / "tensors", **arguments)
    for name in ("model.safetensors", "golden.safetensors"):
        assert (arrays / name).read_bytes() == (tensors / name).read_bytes()


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="PyTorch is not installed")
def test_a_module_of_pytorch(binary, tmp_path):
    import torch

    torch.manual_seed(SEED)
    module = torch.nn.Sequential()
    module.add_module("conv", torch.nn.Conv2d(1, 5, 3, stride=2))
    module.add_module("fc", torch.nn.Linear(5 * 5 * 5, 4))
    layers = [
        {"type": "convolution", "name": "conv", "out_channels": 5, "kernel": 3, "stride": 2},
        {"type": "linear", "name": "fc", "out_features": 4},
    ]
    for dtype in (torch.float32, torch.bfloat16):
        export(module.to(dtype).state_dict(), layers, tmp_path, name="torch", input_shape=(11, 11, 1),
               preprocessing=PREPROCESSING, embedding="fc")
        command = [binary, "model", "--model", tmp_path, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert json.loads(done.stdout)["self_test"] == "passed", done.stderr

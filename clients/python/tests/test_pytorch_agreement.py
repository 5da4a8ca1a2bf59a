"""The shipped model gives the embeddings that PyTorch's forward pass of the same weights gives."""

import itertools
import json

import numpy as np
import pytest
from conftest import REPOSITORY
from exemplar_client import Client
from exemplar_client._reference import outputs
from local_embedding import embed, write_png
from test_model_format import read_safetensors

torch = pytest.importorskip("torch", reason="PyTorch is not installed, so that nothing can be compared with it")

MODEL = REPOSITORY / "models" / "small"
TOLERANCE = 1e-5  # Relative RMS: rounding of float32 sums in another order.


@pytest.fixture(scope="module")
def patches():
    """Photographs' patches and noise: uint8 [n, H, W, C]."""
    photographs = read_safetensors(MODEL / "golden.safetensors")["patches"]
    noise = np.random.default_rng(4).integers(0, 256, (13, *photographs.shape[1:]), dtype=np.uint8)
    return np.concatenate([photographs, noise])


@pytest.fixture(scope="module")
def expected(patches):
    """PyTorch's outputs, by layer, [n, values]."""
    config = json.loads((MODEL / "config.json").read_text())
    weights = {
        name: torch.tensor(array.astype(np.float32))
        for name, array in read_safetensors(MODEL / "model.safetensors").items()
    }
    preprocessing = config["preprocessing"]
    mean, std = (torch.tensor(preprocessing[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    x = (torch.tensor(patches).permute(0, 3, 1, 2) * preprocessing["scale"] - mean) / std
    outputs = {}
    for layer in config["layers"]:
        kind, name = layer["type"], layer["name"]
        if kind == "max_pool":
            ceil = layer.get("rounding") == "ceil"
            x = torch.nn.functional.max_pool2d(x, layer["kernel"], layer["stride"], layer.get("padding", 0), 1, ceil)
        elif kind == "convolution":
            x = torch.nn.functional.conv2d(
                x, weights[f"{name}.weight"], weights[f"{name}.bias"], layer.get("stride", 1), layer.get("padding", 0)
            )
        else:
            x = torch.nn.functional.linear(x.flatten(1), weights[f"{name}.weight"], weights[f"{name}.bias"])
        if layer.get("activation") == "relu":
            x = torch.relu(x)
        outputs[name] = x.flatten(1).double().numpy()
    return {"embedding": outputs[config["embedding"]], **outputs}


@pytest.mark.parametrize("rounding", ["floor", "ceil"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_windows_of_max_pooling(kernel, rounding):
    """Of every small size: as many windows as PyTorch has, or a refusal where it has none."""
    for size, stride, padding in itertools.product(range(1, 8), range(1, 5), range(kernel // 2 + 1)):
        x = np.random.default_rng(21).normal(size=(1, 1, size, size))
        layer = {"type": "max_pool", "name": "pool", "kernel": kernel, "stride": stride, "padding": padding,
                 "rounding": rounding}
        try:
            wanted = torch.nn.functional.max_pool2d(
                torch.from_numpy(x), kernel, stride, padding, 1, rounding == "ceil").numpy()
        except RuntimeError:
            with pytest.raises(ValueError, match="pool: its kernel"):
                outputs([layer], {}, x)
        else:
            np.testing.assert_array_equal(outputs([layer], {}, x)["pool"], wanted, f"{size=} {stride=} {padding=}")


def relative_error(found, expected):
    return np.sqrt(np.mean((found - expected) ** 2)) / np.sqrt(np.mean(expected**2))


@pytest.mark.parametrize("isa", ["auto", "portable"])
@pytest.mark.parametrize("layer", ["embedding", "conv1", "conv2", "head"])
def test_without_a_server(binary, patches, expected, layer, isa, tmp_path):
    files = [write_png(tmp_path / f"{index}.png", patch) for index, patch in enumerate(patches)]
    choice = [] if layer == "embedding" else ["--layers", layer]
    found = embed(binary, MODEL, files, "--isa", isa, *choice)
    error = relative_error(found, expected[layer])
    print(f"{layer} on {isa}: relative RMS difference {error:.1e}")
    assert error <= TOLERANCE


def test_the_server(real_server, patches, expected):
    with Client(*real_server, timeout=60) as client:
        error = relative_error(client.embed(patches, model="small"), expected["embedding"])
    print(f"server: relative RMS difference {error:.1e}")
    assert error <= TOLERANCE

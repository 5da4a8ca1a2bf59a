"""Tests of the recipe: ``python -m pytest training`` from the folder ``models``. Seconds, no shipped weights needed."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from . import card, evaluate, exemplars, export, photographs, reference, train, transformations
from .__main__ import main

TINY = train.Configuration(exemplars=12, steps=5, batch=8, warm_up=2, seed=3)
MEAN = torch.tensor([0.5, 0.45, 0.4], dtype=torch.float64)


@pytest.fixture(autouse=True)
def two_photographs(monkeypatch):
    """The larger photographs take most of the time, and add nothing to a test."""
    monkeypatch.setattr(photographs, "TRAINING", photographs.TRAINING[:2])


def components() -> torch.Tensor:
    pixels = torch.rand((400, 3), generator=torch.Generator().manual_seed(1)) @ torch.tensor(
        [[0.6, 0.5, 0.5], [0.3, 0.0, -0.2], [0.0, 0.1, -0.1]])
    return transformations.principal_components(pixels)[1]


def parameters(alphas: list[dict]) -> transformations.Parameters:
    def tensor(read):
        return torch.tensor([read(alpha) for alpha in alphas], dtype=torch.float64)

    return transformations.Parameters(
        translation=tensor(lambda a: a["translation"]), scale=tensor(lambda a: a["scale"]),
        rotation=torch.deg2rad(tensor(lambda a: a["rotation_degrees"])), contrast=tensor(lambda a: a["contrast"]),
        power=tensor(lambda a: a["color"]["power"]), factor=tensor(lambda a: a["color"]["factor"]),
        offset=tensor(lambda a: a["color"]["offset"]), hue=tensor(lambda a: a["hue"]),
    )


def contexts(count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, 74, 74, 3), dtype=np.uint8)


def explicit(alpha: transformations.Parameters, index: int) -> dict:
    return {
        "translation": alpha.translation[index].tolist(), "scale": alpha.scale[index].item(),
        "rotation_degrees": float(np.rad2deg(alpha.rotation[index].item())), "contrast": alpha.contrast[index].tolist(),
        "color": {key: getattr(alpha, key)[index].tolist() for key in ("power", "factor", "offset")},
        "hue": alpha.hue[index].item(),
    }


def test_torch_agrees_with_the_reference():
    drawn = transformations.draw(6, transformations.Ranges(), torch.Generator().manual_seed(2))
    alphas = [explicit(drawn, index) for index in range(6)]
    sources = contexts(6)
    batch = torch.from_numpy(sources).permute(0, 3, 1, 2).double() / 255
    found = transformations.transform(batch, parameters(alphas), MEAN, components()).permute(0, 2, 3, 1).numpy()
    for index, alpha in enumerate(alphas):
        wanted = reference.transform(sources[index], alpha, MEAN.numpy(), components().numpy())
        # Both are of double precision, values in [0, 1]: roundings of a few hundred operations, no more.
        assert np.abs(found[index] - wanted).max() < 1e-10


def test_identity_returns_the_pixels():
    sources = contexts(2)
    batch = torch.from_numpy(sources).permute(0, 3, 1, 2).float() / 255
    alpha = parameters([reference.IDENTITY] * 2)
    alpha = transformations.Parameters(**{name: value.float() for name, value in vars(alpha).items()})
    found = transformations.transform(batch, alpha, MEAN.float(), components().float())
    found = torch.round(found * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(found, sources[:, 21:53, 21:53])
    exact = reference.transform(sources[0], reference.IDENTITY, MEAN.numpy(), components().numpy())
    assert np.array_equal(np.rint(exact * 255).astype(np.uint8), sources[0, 21:53, 21:53])


def test_translation_moves_by_patch_sides_along_x_and_y():
    source = contexts(1)[0]
    alpha = {**reference.IDENTITY, "translation": [0.25, -0.125]}
    found = np.rint(reference.geometry(source.astype(float), alpha, "reflect"))
    assert np.array_equal(found, source[21 - 4 : 53 - 4, 21 + 8 : 53 + 8])


@pytest.mark.parametrize("border, column", [("reflect", 30), ("replicate", 31), ("zero", None)])
def test_borders_of_a_bare_patch(border: str, column: int | None):
    patch = contexts(1)[0, :32, :32].astype(float)
    found = reference.geometry(patch, {**reference.IDENTITY, "translation": [1 / 32, 0.0]}, border)
    assert np.allclose(found[:, 31], 0 if column is None else patch[:, column])


def test_components_are_orthonormal_with_grey_last():
    rows = components()
    assert torch.allclose(rows @ rows.T, torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert rows[2].sum() == rows.sum(1).abs().max()


def test_exemplars_keep_their_distance_and_draws_stay_in_the_context():
    chosen = exemplars.select(photographs.TRAINING[:1], 40, 0.5, seed=1)
    assert chosen.contexts.shape == (40, 74, 74, 3)
    for i, (_, x, y, side) in enumerate(chosen.origin):
        for _, u, v, other in chosen.origin[:i]:
            if max(side, other) <= 1.5 * min(side, other):
                assert max(abs(x - u), abs(y - v)) >= 0.5 * max(side, other)
    with pytest.raises(photographs.PhotographError, match="smaller --distance"):
        exemplars.select(photographs.TRAINING[:1], 60, 20.0, seed=1)


def test_photographs_are_split():
    assert not {p.name for p in photographs.TRAINING} & {p.name for p in photographs.HELD_OUT}
    with pytest.raises(photographs.PhotographError, match="unicorn"):
        photographs.load(photographs.Photograph("unicorn", "skimage", ""))


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    whole = train.run(TINY, tmp_path / "whole").state_dict()
    save = train.save

    def interrupted(configuration, folder, network, optimiser, step, *rest):
        save(configuration, folder, network, optimiser, step, *rest)
        if step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.run(TINY, tmp_path / "cut", checkpoint_seconds=0)
    monkeypatch.setattr(train, "save", save)
    resumed = train.run(TINY, tmp_path / "cut").state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_another_configurations_checkpoint_is_refused(tmp_path, capsys):
    network = train.ExemplarNetwork("small", 12, 0.5)
    train.save(TINY, tmp_path, network, torch.optim.SGD(network.parameters(), lr=0.1), 1, 1.0, ["a machine", "another"])
    assert main(["export", "--exemplars", "13", "--folder", str(tmp_path), "--output", str(tmp_path / "m")]) == 1
    assert "another configuration" in capsys.readouterr().err
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged")
    with pytest.raises(train.CheckpointError, match="cannot be read"):
        train.read_checkpoint(TINY, tmp_path)


@pytest.fixture
def figures(monkeypatch):
    """Figures of the card, made up."""
    monkeypatch.setattr(evaluate, "surrogate", lambda *_, **__: {
        "bound": 0.1, "bound_half_width": 0.1, "top1": 0.1, "top1_half_width": 0.1, "maximum": 2.5, "draws": 1,
        "seed": 1, "mean_of_samples": {}})


@pytest.mark.parametrize("model, dimensions", [("small", 128), ("medium", 512)])
def test_the_exported_folder_loads_back(tmp_path, figures, model, dimensions):
    configuration = train.Configuration(model=model, exemplars=12, steps=5, seed=3)
    network = train.ExemplarNetwork(model, 12, 0.5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    train.save(configuration, tmp_path, network, optimizer, 1, 1.0, ["a machine", "another"])
    (tmp_path / model).mkdir()
    (tmp_path / model / "mine").touch(0o600)
    export.write(configuration, tmp_path, tmp_path / model, "eyes")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / model).iterdir()}
    assert modes == {name: 0o644 for name in export.FILES} | {"mine": 0o600}
    config = json.loads((tmp_path / model / "config.json").read_text())
    weights, golden = (load_file(tmp_path / model / f"{name}.safetensors") for name in ("model", "golden"))
    assert config["name"] == "eyes"
    layers = [layer["name"] for layer in config["layers"]]
    assert set(weights) == {f"{n}.{k}" for n in layers if not n.startswith("pool") for k in ("weight", "bias")}
    assert weights["fc.weight"].dtype == (torch.float16 if model == "medium" else torch.float32)
    assert set(golden) == {"patches", *layers} and golden["fc"].shape == (3, dimensions)
    inputs = (golden["patches"].permute(0, 3, 1, 2).float() * config["preprocessing"]["scale"]
              - torch.tensor(config["preprocessing"]["mean"])[:, None, None])
    inputs = inputs / torch.tensor(config["preprocessing"]["std"])[:, None, None]
    outputs = export.load(configuration, tmp_path / model / "model.safetensors").outputs(inputs)
    for name in layers:
        error = (outputs[name] - golden[name]).square().mean().sqrt()
        assert error <= 2e-5 * golden[name].square().mean().sqrt()
    kept = load_file(tmp_path / model / "exemplars.safetensors")
    assert kept["patches"].shape == (12, 74, 74, 3) and kept["index"].dtype == torch.int32
    export.check_exemplars(train.Data.load(configuration), tmp_path / model)
    for other in ({"seed": 4}, {"exemplars": 11}):
        with pytest.raises(train.CheckpointError, match="other exemplars"):
            export.check_exemplars(
                train.Data.load(dataclasses.replace(configuration, **other)), tmp_path / model)
    written = (tmp_path / model / "README.md").read_text()
    assert all(len(line) <= 120 for line in written.splitlines() if not line.startswith("|"))
    assert written.startswith("# eyes: an Exemplar-CNN trained on 2 photographs\n")
    written = " ".join(written.split())
    assert f"The {model} network of" in written and "bundled in scikit-image" in written and "held out |" in written
    assert "Half-trained: step 1 of 5" in written and "on a machine and another." in written


def test_every_layer_weighs_the_same_as_it_is_served():
    network = train.ExemplarNetwork("small", 12, 0.5).eval()
    inputs = torch.rand((20, 3, 32, 32), generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        outputs = network.outputs(inputs)
    scales = export.feature_scales(network, inputs)
    assert set(scales) == {"conv1", "conv2", "fc"}
    for name, scale in scales.items():
        maps = outputs[name].double().numpy()
        if maps.ndim == 2:
            maps = maps[:, :, np.newaxis, np.newaxis]
        # Quadrants as docs/protocol.md has them: a 1 × 1 map gives its value four times.
        bounds = [(a * maps.shape[2] // 2, -(-(a + 1) * maps.shape[2] // 2)) for a in (0, 1)]
        served = scale * np.stack(
            [maps[:, :, top:bottom, left:right].max(axis=(2, 3)) for top, bottom in bounds for left, right in bounds])
        assert np.sqrt((served**2).sum(axis=(0, 2)).mean()) == pytest.approx(1, rel=1e-6)


def test_a_device_that_is_not_there_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train.choose_device("auto").type == "cpu"
    assert main(["train", "--device", "cuda"]) == 1
    assert "--device cpu" in capsys.readouterr().err


def test_a_loss_that_is_no_number_leaves_no_checkpoint(tmp_path):
    with pytest.raises(train.CheckpointError, match="lower --learning-rate"):
        train.run(dataclasses.replace(TINY, learning_rate=1e30), tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_card_keeps_what_an_evaluation_wrote_about_the_same_weights():
    new = "# m\nsha d1\n\n## Figures\nnew\n\n## Limits\nfew\n"
    old = "# m\nsha d1\n\n## Figures\nold\n\n## Retrieval\n0.6\n\n## Limits\nmany\n"
    assert card.merged(new, old, "d1") == (
        "# m\nsha d1\n\n## Figures\nnew\n\n## Retrieval\n0.6\n\n## Limits\nmany\n", [])
    assert card.merged(new, old, "d2") == (new, ["Retrieval"])

"""Tests of the command line, and of photographs of one's own: ``python -m pytest training`` from ``models``."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from skimage import io

from . import evaluate, export, photographs, train
from .__main__ import main

SEED = 3
TINY = ["--exemplars", "6", "--steps", "2", "--batch", "4", "--seed", str(SEED)]


@pytest.fixture
def folder(tmp_path):
    """Two photographs and what is none."""
    random = np.random.default_rng(SEED)
    result = tmp_path / "photographs"
    result.mkdir()
    io.imsave(result / "grey.png", random.integers(0, 256, (80, 90), dtype=np.uint8), check_contrast=False)
    io.imsave(result / "colour.JPG", random.integers(0, 256, (90, 80, 3), dtype=np.uint8), check_contrast=False)
    (result / "notes.txt").write_text("none")
    return result


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--steps", "0"], "'0' is not a whole number from 1 on"),
        (["--batch", "-1"], "from 1 on"),
        (["--exemplars", "1"], "from 2 on"),
        (["--exemplars", "many"], "from 2 on"),
        (["--threads", "-1"], "from 0 on"),
        (["--seed", str(1 << 31)], "from 0 to"),
        (["--distance", "nan"], "not a number from 0 on"),
        (["--learning-rate", "0"], "not a number above 0"),
        (["--learning-rate", "inf"], "not a number above 0"),
        (["--name", ""], "1 to 128 characters"),
        (["--name", "a\tb"], "1 to 128 characters"),
        (["--photographs", "p"], "wants --output"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_begins(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", *arguments])
    assert caught.value.code == 2 and words in capsys.readouterr().err


def test_only_training_chooses_a_device():
    for command in ("export", "evaluate"):
        with pytest.raises(SystemExit) as caught:
            main([command, "--device", "cpu"])
        assert caught.value.code == 2


def test_only_training_goes_on_where_it_was_interrupted(monkeypatch, tmp_path, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "run", interrupted)
    monkeypatch.setattr(export, "write", interrupted)
    for command in ("train", "export"):
        assert main([command, "--output", str(tmp_path)]) == 130
        assert ("goes on from the last checkpoint, if there is one" in capsys.readouterr().err) == (command == "train")


def test_files_are_photographs(folder):
    found = photographs.of_folder(folder)
    assert [photograph.name for photograph in found] == ["colour.JPG", "grey.png"]
    assert [photographs.load(photograph).shape for photograph in found] == [(90, 80, 3), (80, 90, 3)]
    grey = photographs.load(found[1])
    assert np.array_equal(grey, io.imread(folder / "grey.png")[:, :, np.newaxis].repeat(3, axis=2))


def test_files_that_are_none_are_named(folder, tmp_path, capsys):
    io.imsave(folder / "tiny.png", np.zeros((63, 80, 3), np.uint8), check_contrast=False)
    (folder / "broken.png").write_bytes(b"none")
    found = {photograph.name: photograph for photograph in photographs.of_folder(folder)}
    for name, words in (("tiny.png", "64 pixels"), ("broken.png", "cannot be read")):
        with pytest.raises(photographs.PhotographError, match=f"{name} .*{words}"):
            photographs.load(found[name])
    assert main(["train", "--photographs", str(tmp_path), "--output", str(tmp_path / "m")]) == 1
    assert "has no file that ends in .png" in capsys.readouterr().err


def test_a_model_of_one_s_own_photographs(folder, tmp_path, monkeypatch, capsys):
    surrogate = evaluate.surrogate
    monkeypatch.setattr(evaluate, "surrogate", lambda *given, **_: surrogate(*given, draws=2))
    output = tmp_path / "cats"
    paths = ["--folder", str(tmp_path / "run"), "--output", str(output)]
    assert main(["train", *TINY, "--photographs", str(folder), "--device", "cpu", *paths]) == 0
    config = json.loads((output / "config.json").read_text())
    assert config["name"] == "cats"
    card = (output / "README.md").read_text()
    assert card.startswith("# cats: an Exemplar-CNN trained on 2 photographs\n") and "The small network" in card
    assert "| colour.JPG | to be stated | own | 3 |" in card
    assert not any(word in card for word in ("scikit", "china", "held-out", "Six", "retina"))
    # It is the files that count, not where they lie.
    moved = folder.rename(tmp_path / "moved")
    assert main(["export", *TINY, "--photographs", str(moved), "--name", "felines", *paths]) == 0
    assert json.loads((output / "config.json").read_text())["name"] == "felines"
    assert main(["evaluate", *TINY, "--photographs", str(moved), "--output", str(output)]) == 0
    capsys.readouterr()
    (moved / "grey.png").unlink()
    assert main(["train", *TINY, "--photographs", str(moved), *paths]) == 1
    assert "another configuration (photographs_sha256" in capsys.readouterr().err
    assert main(["evaluate", *TINY, "--photographs", str(moved), "--output", str(output)]) == 1
    assert "--photographs of its training" in capsys.readouterr().err


def test_a_checkpoint_from_before_there_were_photographs_of_one_s_own(tmp_path):
    configuration = train.Configuration(exemplars=12)
    known = dataclasses.asdict(configuration)
    del known["photographs"], known["photographs_sha256"]
    network = train.ExemplarNetwork("small", 12, 0.5)
    train.save(configuration, tmp_path, network, torch.optim.SGD(network.parameters(), lr=0.1), 1, 1.0, [])
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    torch.save({**checkpoint, "configuration": known}, tmp_path / "checkpoint.pt")
    assert train.read_checkpoint(configuration, tmp_path)["step"] == 1

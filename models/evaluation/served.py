"""What running servers compute: the model's features and those of the same network with random weights."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from exemplar_client import Client, export
from safetensors import safe_open

START_TIMEOUT = 120
"""Seconds that a server may take until it listens."""

STOP_TIMEOUT = 60
"""Seconds that a server may take to answer what it has when it is to end; then it is killed."""


class ServerError(Exception):
    """A server did not start."""


def write_random(folder: Path, output: Path, seed: int) -> Path:
    """Exports the network of a model folder with random weights, uniform in ± 1/√(fan-in) as in PyTorch, no head."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    generator = np.random.default_rng(seed)
    layers = [layer for layer in config["layers"] if layer["name"] != config.get("head")]
    sides = config["input"]
    shape, weights = _shapes(folder), {}
    for layer in layers:
        if layer["type"] == "max_pool":
            continue
        name = layer["name"]
        bound = np.prod(shape[f"{name}.weight"][1:]) ** -0.5
        for tensor in (f"{name}.weight", f"{name}.bias"):
            weights[tensor] = generator.uniform(-bound, bound, shape[tensor]).astype(np.float32)
    return export(
        weights, layers, output, name=f"{config['name']}-random", embedding=config["embedding"],
        input_shape=(sides["height"], sides["width"], sides["channels"]), preprocessing=config["preprocessing"],
        transformations=config.get("transformations"),
    )


def _shapes(folder: Path) -> dict[str, list[int]]:
    """The shapes of the tensors of model.safetensors."""
    with safe_open(folder / "model.safetensors", "numpy") as tensors:
        return {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}


def weighted_layers(client: Client, model: str) -> list[str]:
    """The names of the convolutions and linear layers, in order."""
    return [layer["name"] for layer in client.model(model)["layers"] if "pool" not in layer["type"]]


def layer_scales(client: Client, patches: np.ndarray, model: str) -> dict[str, float]:
    """1 / RMS of the norm of each layer's pooled features, as the training recipe scales those of a trained network."""
    scales = {}
    for name in weighted_layers(client, model):
        features = client.embed(patches, layers=name, pool="quadrant", model=model).astype(np.float64)
        scales[name] = float(np.mean((features**2).sum(axis=1)) ** -0.5)
    return scales


def pooled(client: Client, patches: np.ndarray, model: str, scales: dict[str, float]) -> np.ndarray:
    """Quadrant features of every layer, each times its scale."""
    parts = [client.embed(patches, layers=name, pool="quadrant", model=model) * s for name, s in scales.items()]
    return np.concatenate(parts, axis=1)


@contextlib.contextmanager
def running(binary: Path, folder: Path) -> Iterator[Client]:
    """A client of a server of one model folder, on a free port, for as long as the block runs."""
    command = [str(binary), "serve", "--model", str(folder), "--port", "0"]
    # By its defaults, whatever this shell has set for other servers.
    own = {name: value for name, value in os.environ.items() if not name.startswith("EXEMPLAR_")}
    process = subprocess.Popen(command, env=own, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    watchdog = threading.Timer(START_TIMEOUT, process.kill)
    watchdog.start()
    try:
        log, address = [], None
        for line in process.stderr:
            log.append(line)
            address = re.search(r"listening on (\S+):(\d+)", line)
            if address:
                break
        watchdog.cancel()
        if not address:
            raise ServerError(f"{' '.join(command)} ended without listening:\n{''.join(log)}")
        # Its log has to be read on, or it would one day wait for room in the pipe.
        threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()
        with Client(address[1], int(address[2]), timeout=300) as client:
            yield client
    finally:
        watchdog.cancel()
        process.terminate()
        try:
            process.wait(timeout=STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

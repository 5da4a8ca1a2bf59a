"""The training loop: the surrogate task of Dosovitskiy et al. 2014, resumable to the bit."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from . import exemplars, photographs, transformations
from .network import ExemplarNetwork


@dataclass(frozen=True)
class Configuration:
    """Everything that the result depends on."""

    model: str = "small"
    exemplars: int = 2000
    distance: float = 0.5
    seed: int = 1406
    steps: int = 40000
    batch: int = 128
    learning_rate: float = 0.05
    warm_up: int = 500
    momentum: float = 0.9
    weight_decay: float = 5e-4
    dropout: float = 0.5
    clip: float = 5.0
    bfloat16: bool = True
    ranges: transformations.Ranges = transformations.Ranges()


class CheckpointError(Exception):
    """A checkpoint that is damaged or belongs to another configuration."""


@dataclass
class Data:
    """What training draws from: contexts uint8 [N, 3, 74, 74]; the statistics of their pixels in [0, 1]."""

    contexts: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    colour_mean: torch.Tensor
    components: torch.Tensor
    origin: list

    @staticmethod
    def load(configuration: Configuration) -> "Data":
        chosen = exemplars.select(
            photographs.TRAINING, configuration.exemplars, configuration.distance, configuration.seed
        )
        contexts = torch.from_numpy(chosen.contexts).permute(0, 3, 1, 2).contiguous()
        margin = (exemplars.CONTEXT - exemplars.PATCH) // 2
        centre = contexts[:, :, margin:-margin, margin:-margin].double() / 255
        pixels = centre.permute(0, 2, 3, 1).reshape(-1, 3)
        mean, components = transformations.principal_components(pixels)
        return Data(contexts, pixels.mean(0), pixels.std(0), mean, components, chosen.origin)

    def patches(self, index: torch.Tensor, alpha: transformations.Parameters) -> torch.Tensor:
        """T_α of the exemplars ``index``, normalised for the network, rounded to 8 bits as the server sees them."""
        raw = transformations.transform(
            self.contexts[index].float() / 255, alpha, self.colour_mean.float(), self.components.float()
        )
        raw = torch.round(raw * 255) / 255
        return (raw - self.mean.float()[:, None, None]) / self.std.float()[:, None, None]


def learning_rate(configuration: Configuration, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < configuration.warm_up:
        return configuration.learning_rate * (step + 1) / configuration.warm_up
    progress = (step - configuration.warm_up) / max(configuration.steps - configuration.warm_up, 1)
    return configuration.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))


def step_generator(configuration: Configuration, step: int) -> torch.Generator:
    """Draws depend on the step alone, so that a resumed run sees what an uninterrupted one sees.

    torch's generator on the CPU keeps the low 32 bits of a seed: another ``seed`` changes the exemplars and the first
    weights, not α, the order of the exemplars' numbers or dropout. Left so, because the shipped weights came from it.
    """
    return torch.Generator().manual_seed((configuration.seed << 32) + step)


def run(configuration: Configuration, folder: Path, checkpoint_seconds: float = 60) -> ExemplarNetwork:
    """Trains to the end of the schedule, from ``folder``'s checkpoint if it holds one."""
    print(f"seed {configuration.seed}, {json.dumps(dataclasses.asdict(configuration))}", file=sys.stderr)
    data = Data.load(configuration)
    torch.manual_seed(configuration.seed)
    network = ExemplarNetwork(configuration.model, configuration.exemplars, configuration.dropout)
    network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        network.parameters(), lr=configuration.learning_rate, momentum=configuration.momentum, nesterov=True,
        weight_decay=configuration.weight_decay,
    )
    start, seconds = restore(configuration, folder, network, optimiser)
    network.train()
    began = reported = saved = time.monotonic()
    loss_mean, correct, seen = 0.0, 0, 0
    for step in range(start, configuration.steps):
        generator = step_generator(configuration, step)
        torch.manual_seed((configuration.seed << 32) + step + (1 << 20))  # Dropout draws from the global generator.
        index = torch.randint(configuration.exemplars, (configuration.batch,), generator=generator)
        alpha = transformations.draw(configuration.batch, configuration.ranges, generator)
        patches = data.patches(index, alpha).contiguous(memory_format=torch.channels_last)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(configuration, step)
        with torch.autocast("cpu", torch.bfloat16, enabled=configuration.bfloat16):
            logits = network(patches)
        loss = torch.nn.functional.cross_entropy(logits.float(), index)
        if not torch.isfinite(loss):
            raise CheckpointError(f"the loss is {loss.item()} at step {step}: lower --learning-rate")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), configuration.clip)
        optimiser.step()
        loss_mean += loss.item() * len(index)
        correct += (logits.argmax(1) == index).sum().item()
        seen += len(index)
        now = time.monotonic()
        if now - reported >= 10 or step + 1 == configuration.steps:
            rate = (step + 1 - start) * configuration.batch / (now - began)
            left = (configuration.steps - step - 1) * configuration.batch / rate
            print(
                f"step {step + 1}/{configuration.steps}  loss {loss_mean / seen:.3f}  top-1 {correct / seen:.1%}  "
                f"bound {math.log(configuration.exemplars) - loss_mean / seen:.2f} of "
                f"{math.log(configuration.exemplars):.2f} nats (with dropout)  {rate:.0f} samples/s  "
                f"{left / 60:.1f} min left",
                file=sys.stderr, flush=True,
            )
            reported, loss_mean, correct, seen = now, 0.0, 0, 0
        if now - saved >= checkpoint_seconds or step + 1 == configuration.steps:
            save(configuration, folder, network, optimiser, step + 1, seconds + now - began)
            saved = now
    return network


def save(configuration, folder: Path, network, optimiser, step: int, seconds: float) -> None:
    """Writes the checkpoint beside the old one and renames it, so that a killed run leaves a whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "checkpoint.partial"
    torch.save(
        {"configuration": dataclasses.asdict(configuration), "step": step, "seconds": seconds,
         "network": network.state_dict(), "optimiser": optimiser.state_dict()},
        partial,
    )
    os.replace(partial, folder / "checkpoint.pt")


def read_checkpoint(configuration: Configuration, folder: Path) -> dict | None:
    """The checkpoint of ``configuration`` in ``folder``, None without one."""
    path = folder / "checkpoint.pt"
    if not path.exists():
        return None
    try:
        checkpoint = torch.load(path, weights_only=True)
        found = checkpoint["configuration"]
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read ({error}): delete it to start afresh") from error
    wanted = json.loads(json.dumps(dataclasses.asdict(configuration)))
    found = json.loads(json.dumps(found))
    different = sorted(key for key in wanted if wanted[key] != found.get(key))
    if different:
        raise CheckpointError(
            f"{path} belongs to another configuration ("
            + ", ".join(f"{key}: {found.get(key)} there, {wanted[key]} here" for key in different)
            + "): use another --folder, or the same options"
        )
    return checkpoint


def restore(configuration, folder: Path, network, optimiser) -> tuple[int, float]:
    """The step to go on from and the seconds spent before it."""
    checkpoint = read_checkpoint(configuration, folder)
    if checkpoint is None:
        return 0, 0.0
    network.load_state_dict(checkpoint["network"])
    optimiser.load_state_dict(checkpoint["optimiser"])
    return checkpoint["step"], checkpoint["seconds"]

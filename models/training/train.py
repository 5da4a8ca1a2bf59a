"""The training loop: the surrogate task of Dosovitskiy et al. 2014, resumable; on a processor to the bit."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from . import exemplars, photographs, transformations
from .extent import CENTRE
from .network import ExemplarNetwork


@dataclass(frozen=True)
class Configuration:
    """Everything that the result depends on. ``photographs`` is a folder of one's own in place of the bundled ones,
    wherever it lies; ``photographs_sha256`` is what its files are."""

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
    photographs: str | None = None
    photographs_sha256: str | None = None


class DeviceError(Exception):
    """A device that is not there."""


class CheckpointError(Exception):
    """A checkpoint that is damaged or belongs to another configuration."""


@dataclass
class Data:
    """What training draws from: contexts uint8 [N, 3, 74, 74]; the statistics of their pixels in [0, 1]; where each and
    all of them come from."""

    contexts: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    colour_mean: torch.Tensor
    components: torch.Tensor
    origin: list
    photographs: tuple[photographs.Photograph, ...]

    @staticmethod
    def load(configuration: Configuration, device: torch.device = torch.device("cpu")) -> "Data":
        folder = configuration.photographs
        used = photographs.TRAINING if folder is None else photographs.of_folder(Path(folder))
        chosen = exemplars.select(used, configuration.exemplars, configuration.distance, configuration.seed)
        contexts = torch.from_numpy(chosen.contexts).permute(0, 3, 1, 2).contiguous()
        centre = contexts[:, :, CENTRE, CENTRE].double() / 255
        pixels = centre.permute(0, 2, 3, 1).reshape(-1, 3)
        mean, components = transformations.principal_components(pixels)
        tensors = (contexts, pixels.mean(0), pixels.std(0), mean, components)
        return Data(*(tensor.to(device) for tensor in tensors), chosen.origin, used)

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


def choose_device(name: str) -> torch.device:
    """``auto`` is the CUDA device where torch sees one, else the processor.

    :raises DeviceError: torch does not see what was asked for.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("torch sees no CUDA device here: use --device cpu, or a torch that was built for it")
    return torch.device(name)


def machine(device: torch.device) -> str:
    """Where a run took place, for the model's card."""
    if device.type == "cuda":
        return f"one {torch.cuda.get_device_name(device)}"
    vectors = torch.backends.cpu.get_cpu_capability()
    return f"a processor ({platform.machine()}, {vectors}, {torch.get_num_threads()} threads)"


def run(
    configuration: Configuration, folder: Path, device: torch.device = torch.device("cpu"),
    checkpoint_seconds: float = 60,
) -> ExemplarNetwork:
    """Trains to the end of the schedule, from ``folder``'s checkpoint if it holds one.

    α and the exemplars' numbers are drawn on the processor, so that a step sees the same of them on every device.
    """
    settings = json.dumps(dataclasses.asdict(configuration))
    print(f"seed {configuration.seed}, on {machine(device)}, {settings}", file=sys.stderr)
    data = Data.load(configuration, device)
    torch.manual_seed(configuration.seed)
    network = ExemplarNetwork(configuration.model, configuration.exemplars, configuration.dropout)
    network = network.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        network.parameters(), lr=configuration.learning_rate, momentum=configuration.momentum, nesterov=True,
        weight_decay=configuration.weight_decay,
    )
    start, seconds, machines = restore(configuration, folder, network, optimiser)
    machines = list(dict.fromkeys([*machines, machine(device)]))
    network.train()
    began = reported = saved = time.monotonic()
    # Sums stay on the device: to read one is to wait for it.
    loss_sum, correct, seen = torch.zeros((), device=device), torch.zeros((), device=device), 0
    for step in range(start, configuration.steps):
        generator = step_generator(configuration, step)
        torch.manual_seed((configuration.seed << 32) + step + (1 << 20))  # Dropout draws from the global generator.
        index = torch.randint(configuration.exemplars, (configuration.batch,), generator=generator).to(device)
        alpha = transformations.draw(configuration.batch, configuration.ranges, generator).to(device)
        patches = data.patches(index, alpha).contiguous(memory_format=torch.channels_last)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(configuration, step)
        with torch.autocast(device.type, torch.bfloat16, enabled=configuration.bfloat16):
            logits = network(patches)
        loss = torch.nn.functional.cross_entropy(logits.float(), index)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), configuration.clip)
        optimiser.step()
        loss_sum += loss.detach() * len(index)
        correct += (logits.argmax(1) == index).sum()
        seen += len(index)
        now = time.monotonic()
        is_last = step + 1 == configuration.steps
        if now - reported >= 10 or now - saved >= checkpoint_seconds or is_last:
            # Not a number once is not a number for ever: a check now and then, before a checkpoint, loses nothing.
            loss_mean = loss_sum.item() / seen
            if not math.isfinite(loss_mean) or not torch.isfinite(norm):
                raise CheckpointError(
                    f"the loss is {loss_mean} at step {step}, the gradient's norm {norm.item()}: start afresh in "
                    "another --folder with a lower --learning-rate"
                )
            rate = (step + 1 - start) * configuration.batch / (now - began)
            left = (configuration.steps - step - 1) * configuration.batch / rate
            print(
                f"step {step + 1}/{configuration.steps}  loss {loss_mean:.3f}  top-1 {correct.item() / seen:.1%}  "
                f"bound {math.log(configuration.exemplars) - loss_mean:.2f} of "
                f"{math.log(configuration.exemplars):.2f} nats (with dropout)  {rate:.0f} samples/s  "
                f"{left / 60:.1f} min left",
                file=sys.stderr, flush=True,
            )
            loss_sum, correct, seen, reported = torch.zeros_like(loss_sum), torch.zeros_like(correct), 0, now
        if now - saved >= checkpoint_seconds or is_last:
            elapsed = seconds + time.monotonic() - began
            save(configuration, folder, network, optimiser, step + 1, elapsed, machines)
            saved = now
    return network


def save(configuration, folder: Path, network, optimiser, step: int, seconds: float, machines: list[str]) -> None:
    """Writes the checkpoint beside the old one and renames it, so that a killed run leaves a whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "checkpoint.partial"
    torch.save(
        {"configuration": dataclasses.asdict(configuration), "step": step, "seconds": seconds, "machines": machines,
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
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        found = checkpoint["configuration"]
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read ({error}): delete it to start afresh") from error
    wanted = json.loads(json.dumps(dataclasses.asdict(configuration)))
    del wanted["photographs"]  # Which files they are counts, not where they lie.
    found = json.loads(json.dumps(found))
    different = sorted(key for key in wanted if wanted[key] != found.get(key))
    if different:
        raise CheckpointError(
            f"{path} belongs to another configuration ("
            + ", ".join(f"{key}: {found.get(key)} there, {wanted[key]} here" for key in different)
            + "): use another --folder, or the same options"
        )
    return checkpoint


def restore(configuration, folder: Path, network, optimiser) -> tuple[int, float, list[str]]:
    """The step to go on from, the seconds spent before it, and the machines that spent them."""
    checkpoint = read_checkpoint(configuration, folder)
    if checkpoint is None:
        return 0, 0.0, []
    network.load_state_dict(checkpoint["network"])
    optimiser.load_state_dict(checkpoint["optimiser"])
    return checkpoint["step"], checkpoint["seconds"], checkpoint.get("machines", [])

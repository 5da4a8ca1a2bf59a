"""The surrogate task on fresh transformations: top-1 and the information bound ln N + E ln π, with its interval."""

from __future__ import annotations

import math

import torch

from . import train, transformations
from .network import ExemplarNetwork


@torch.no_grad()
def surrogate(network: ExemplarNetwork, configuration: train.Configuration, data: train.Data, draws: int) -> dict:
    """Every exemplar under ``draws`` transformations that training never drew (seeds beyond its last step)."""
    network.eval()
    bounds, correct, seen = [], 0, 0
    for k in range(draws):
        generator = train.step_generator(configuration, configuration.steps + 1_000_000 + k)
        alpha = transformations.draw(configuration.exemplars, configuration.ranges, generator)
        losses = []
        for index in torch.arange(configuration.exemplars).split(500):
            part = transformations.Parameters(**{name: value[index] for name, value in vars(alpha).items()})
            logits = network(data.patches(index, part))
            losses.append(torch.nn.functional.cross_entropy(logits, index, reduction="none"))
            correct += (logits.argmax(1) == index).sum().item()
            seen += len(index)
        bounds.append(math.log(configuration.exemplars) - torch.cat(losses).double().mean().item())
    mean = sum(bounds) / draws
    error = math.sqrt(sum((b - mean) ** 2 for b in bounds) / (draws * (draws - 1)))
    return {"top1": correct / seen, "bound": mean, "interval": 1.96 * error, "limit": math.log(configuration.exemplars)}

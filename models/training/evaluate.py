"""How much of the surrogate task a network has learned, on transformations that training never drew."""

from __future__ import annotations

import math

import torch

from . import transformations
from .network import ExemplarNetwork
from .train import Configuration, Data

# torch's generator on the CPU keeps the low 32 bits of a seed, which in training are the step's number for the draws
# and the number + 2^20 for dropout. These stand above both.
FRESH = 0x5EED0000
DRAWS = 16


@torch.inference_mode()
def surrogate(
    network: ExemplarNetwork, data: Data, configuration: Configuration, draws: int = DRAWS, seed: int = 1
) -> dict:
    """Top-1 and the lower bound on the mutual information in nats, for g and for the mean ĝ_K of K draws.

    Every exemplar is transformed ``draws`` times. The bound is ln N − E[cross entropy], never more than ln N. The
    half-width of the 95 % interval counts the chance of the draws alone, each exemplar its own stratum: the N
    exemplars are the whole population that the bound speaks of.
    """
    network.eval()
    count = configuration.exemplars
    generator = torch.Generator().manual_seed(FRESH + seed)
    entropies = torch.empty(draws, count)
    correct = torch.empty(draws, count)
    total = torch.zeros(count, network.head.in_features)
    averaged = {}
    for draw in range(draws):
        for index in torch.arange(count).split(500):
            alpha = transformations.draw(len(index), configuration.ranges, generator)
            outputs = network.outputs(data.patches(index, alpha).contiguous(memory_format=torch.channels_last))
            logits = outputs["head"]
            entropies[draw, index] = torch.nn.functional.cross_entropy(logits, index, reduction="none")
            correct[draw, index] = (logits.argmax(1) == index).float()
            total[index] += outputs["fc"]
        samples = draw + 1
        if samples & draw == 0:
            logits = network.head(total / samples)
            labels = torch.arange(count)
            averaged[samples] = {
                "bound": math.log(count) - torch.nn.functional.cross_entropy(logits, labels).item(),
                "top1": (logits.argmax(1) == labels).float().mean().item(),
            }

    def half_width(values: torch.Tensor) -> float:
        return 1.96 * math.sqrt(values.var(0).mean().item() / values.numel()) if draws > 1 else math.nan

    return {
        "exemplars": count,
        "draws": draws,
        "seed": seed,
        "maximum": math.log(count),
        "bound": math.log(count) - entropies.mean().item(),
        "bound_half_width": half_width(entropies),
        "top1": correct.mean().item(),
        "top1_half_width": half_width(correct),
        "mean_of_samples": averaged,
    }


def untrained(configuration: Configuration) -> ExemplarNetwork:
    """The network as training starts it: random weights, its head included."""
    torch.manual_seed(configuration.seed)
    return ExemplarNetwork(configuration.model, configuration.exemplars, configuration.dropout)

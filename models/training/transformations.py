"""T_α for a batch of contexts, in torch: one bilinear resampling, contrast, colour and hue, then a clip to [0, 1].

The order, the ranges and the formulas are those of Dosovitskiy et al. 2014 (section 3.1) in their published
configuration. ``reference.py`` says the same in double precision, one patch at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .extent import PATCH


@dataclass(frozen=True)
class Ranges:
    """The ranges of α: members as in config.json's ``transformations``."""

    translation: float = 0.25
    scale: tuple[float, float] = (2**-0.5, 2**0.5)
    rotation_degrees: float = 20.0
    contrast_sigma: tuple[float, float, float] = (0.5, 0.5, 0.25)
    power: tuple[float, float] = (0.25, 4.0)
    factor: tuple[float, float] = (2**-0.5, 2**0.5)
    offset: tuple[float, float] = (-0.1, 0.1)
    hue: tuple[float, float] = (-0.1, 0.1)


@dataclass
class Parameters:
    """α for B patches: translation [B, 2] (x, y in patch sides), scale [B], rotation [B] in radians, contrast [B, 3],
    power, factor and offset [B, 2] (saturation, value), hue [B]."""

    translation: torch.Tensor
    scale: torch.Tensor
    rotation: torch.Tensor
    contrast: torch.Tensor
    power: torch.Tensor
    factor: torch.Tensor
    offset: torch.Tensor
    hue: torch.Tensor

    def to(self, device: torch.device) -> "Parameters":
        """The same α on another device."""
        return Parameters(**{name: value.to(device, non_blocking=True) for name, value in vars(self).items()})


def draw(count: int, ranges: Ranges, generator: torch.Generator) -> Parameters:
    """α for ``count`` patches: offsets, angles and translations uniform, factors and powers log-uniform."""

    def uniform(shape, low, high):
        return low + (high - low) * torch.rand(shape, generator=generator)

    def log_uniform(shape, low, high):
        return torch.exp(uniform(shape, math.log(low), math.log(high)))

    angle = math.radians(ranges.rotation_degrees)
    sigma = torch.tensor(ranges.contrast_sigma)
    return Parameters(
        translation=uniform((count, 2), -ranges.translation, ranges.translation),
        scale=log_uniform((count,), *ranges.scale),
        rotation=uniform((count,), -angle, angle),
        contrast=torch.exp2(sigma * torch.randn((count, 3), generator=generator)),
        power=log_uniform((count, 2), *ranges.power),
        factor=log_uniform((count, 2), *ranges.factor),
        offset=uniform((count, 2), *ranges.offset),
        hue=uniform((count,), *ranges.hue),
    )


def geometry(contexts: torch.Tensor, alpha: Parameters, side: int = PATCH) -> torch.Tensor:
    """[B, 3, H, W] in [0, 1] to [B, 3, side, side]:
    source(p) = c_source + side · t + R(θ)(p − c_patch) / s, pixel centres, x right, y down."""
    height, width = contexts.shape[-2:]
    axis = torch.arange(side, dtype=contexts.dtype, device=contexts.device) - (side - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cosine = (torch.cos(alpha.rotation) / alpha.scale)[:, None, None]
    sine = (torch.sin(alpha.rotation) / alpha.scale)[:, None, None]
    shift = side * alpha.translation[:, :, None, None]
    u = shift[:, 0] + cosine * x - sine * y
    v = shift[:, 1] + sine * x + cosine * y
    # grid_sample's corners are −1 and 1 at the first and the last pixel's centre.
    grid = torch.stack((u * 2 / (width - 1), v * 2 / (height - 1)), dim=-1)
    return torch.nn.functional.grid_sample(
        contexts, grid, mode="bilinear", padding_mode="reflection", align_corners=True
    )


def contrast(
    patches: torch.Tensor, factors: torch.Tensor, mean: torch.Tensor, components: torch.Tensor
) -> torch.Tensor:
    """x' = m + Σ_k f_k ⟨x − m, c_k⟩ c_k with orthonormal rows c_k."""
    matrix = torch.einsum("kc,bk,kd->bcd", components, factors, components)
    shift = mean - torch.einsum("bcd,d->bc", matrix, mean)
    return torch.einsum("bcd,bdhw->bchw", matrix, patches) + shift[:, :, None, None]


def colour(patches: torch.Tensor, alpha: Parameters) -> torch.Tensor:
    """HSV: saturation and value become clip(f · v^p + o), then the hue turns; input and output in [0, 1]."""
    red, green, blue = patches.unbind(1)
    value, _ = patches.max(1)
    low, _ = patches.min(1)
    span = value - low
    safe = span.clamp_min(1e-12)
    saturation = span / value.clamp_min(1e-12)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = torch.where(span > 0, hue / 6, torch.zeros_like(hue))

    def adjust(channel, index):
        power, factor, offset = (p[:, index, None, None] for p in (alpha.power, alpha.factor, alpha.offset))
        # x^p as exp(p · log x), with 0 going to 0: torch's pow is several times slower.
        return (factor * torch.exp(power * torch.log(channel.clamp_min(1e-30))) + offset).clamp(0, 1)

    saturation = adjust(saturation, 0)
    value = adjust(value, 1)
    hue = hue + alpha.hue[:, None, None]
    # Each channel is value · (1 − saturation · w), w a trapezoid in the hue.
    channels = []
    for turn in (5.0, 3.0, 1.0):
        k = torch.remainder(turn + 6 * hue, 6)
        weight = torch.minimum(k, 4 - k).clamp(0, 1)
        channels.append(value * (1 - saturation * weight))
    return torch.stack(channels, 1)


def transform(
    contexts: torch.Tensor, alpha: Parameters, mean: torch.Tensor, components: torch.Tensor
) -> torch.Tensor:
    """T_α of contexts [B, 3, 74, 74] in [0, 1]: patches [B, 3, 32, 32] in [0, 1]."""
    patches = geometry(contexts, alpha)
    patches = contrast(patches, alpha.contrast, mean, components).clamp(0, 1)
    return colour(patches, alpha).clamp(0, 1)


def principal_components(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean [3] and orthonormal components [3, 3] of RGB pixels [n, 3], the grey axis (the one nearest to r = g = b)
    last, each with a positive sum so that the result does not depend on the solver's signs."""
    pixels = pixels.double()
    mean = pixels.mean(0)
    _, vectors = torch.linalg.eigh(torch.cov((pixels - mean).T))
    rows = vectors.T
    order = torch.argsort(rows.sum(1).abs())
    rows = rows[order]
    return mean, rows * torch.where(rows.sum(1) < 0, -1.0, 1.0)[:, None]

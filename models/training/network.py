"""The networks of Dosovitskiy et al. 2014 (section 4.1), as the layers of config.json and as torch modules."""

from __future__ import annotations

import torch
from torch import nn

CHANNELS = {"small": ((64, 64), 128), "medium": ((64, 128, 256), 512), "large": ((92, 256, 512), 1024)}


def layers(model: str, exemplars: int) -> list[dict]:
    """config.json's ``layers``: 5×5 convolutions with ReLU, 2×2 max-pooling after the first two, one fully connected
    layer with ReLU, the head."""
    channels, features = CHANNELS[model]
    result = []
    for index, out in enumerate(channels, 1):
        result.append(
            {"type": "convolution", "name": f"conv{index}", "out_channels": out, "kernel": 5, "stride": 1,
             "padding": 2, "activation": "relu"}
        )
        if index <= 2:
            result.append(
                {"type": "max_pool", "name": f"pool{index}", "kernel": 2, "stride": 2, "padding": 0,
                 "rounding": "floor"}
            )
    result.append({"type": "linear", "name": "fc", "out_features": features, "activation": "relu"})
    result.append({"type": "linear", "name": "head", "out_features": exemplars})
    return result


class ExemplarNetwork(nn.Module):
    """g and its linear head; state dict names are the tensor names of model.safetensors."""

    def __init__(self, model: str, exemplars: int, dropout: float):
        super().__init__()
        self.specification = layers(model, exemplars)
        self.dropout = dropout
        channels, side = 3, 32
        for layer in self.specification:
            if layer["type"] == "convolution":
                self.add_module(layer["name"], nn.Conv2d(channels, layer["out_channels"], 5, padding=2))
                channels = layer["out_channels"]
            elif layer["type"] == "max_pool":
                side //= 2
            else:
                inputs = channels * side * side if side else channels
                self.add_module(layer["name"], nn.Linear(inputs, layer["out_features"]))
                channels, side = layer["out_features"], 0
        for module in self.children():
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
        nn.init.normal_(self.head.weight, std=0.01)

    def outputs(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every layer's output for normalised patches [B, 3, 32, 32], without dropout."""
        result = {}
        for layer in self.specification:
            x = self.layer_output(layer, x)
            result[layer["name"]] = x
        return result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, N]."""
        for layer in self.specification:
            if layer["name"] == "head":
                x = nn.functional.dropout(x, self.dropout, self.training)
            x = self.layer_output(layer, x)
        return x

    def layer_output(self, layer: dict, x: torch.Tensor) -> torch.Tensor:
        """One layer of the specification."""
        if layer["type"] == "max_pool":
            return nn.functional.max_pool2d(x, layer["kernel"], layer["stride"])
        if layer["type"] == "linear":
            x = x.flatten(1)
        x = getattr(self, layer["name"])(x)
        return nn.functional.relu(x) if layer.get("activation") == "relu" else x

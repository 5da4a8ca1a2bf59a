"""The networks as ONNX files, float32 and quantised, for the peers that read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.networks import Convolution, Network, Pool, normalised, random_parameters, random_patches

FLOAT32 = "network.onnx"
QUANTISED = "network.int8.onnx"


def write(network: Network, folder: Path) -> None:
    """Input `patches` [N, C, H, W], output `embeddings` [N, features]; nothing if the file is there."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    if (folder / FLOAT32).exists():
        return
    nodes, flow, linear = [], "patches", False
    for layer in network.layers:
        tensors = [f"{layer.name}.weight", f"{layer.name}.bias"]
        if isinstance(layer, Pool):
            sides = [layer.side] * 2
            nodes.append(helper.make_node("MaxPool", [flow], [layer.name], kernel_shape=sides, strides=sides))
        else:
            product = layer.name + ".product"
            if isinstance(layer, Convolution):
                pads = [layer.kernel // 2] * 4
                nodes.append(
                    helper.make_node("Conv", [flow, *tensors], [product], kernel_shape=[layer.kernel] * 2, pads=pads)
                )
            else:
                if not linear:
                    nodes.append(helper.make_node("Flatten", [flow], ["flat"]))
                    flow, linear = "flat", True
                nodes.append(helper.make_node("Gemm", [flow, *tensors], [product], transB=1))
            nodes.append(helper.make_node("Relu", [product], [layer.name]))
        flow = layer.name
    nodes[-1].output[0] = "embeddings"
    features = network.shapes()[-1][0].features
    shape = ["N", network.channels, network.side, network.side]
    graph = helper.make_graph(
        nodes,
        network.name,
        [helper.make_tensor_value_info("patches", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", features])],
        [numpy_helper.from_array(value, key) for key, value in random_parameters(network).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, folder / FLOAT32)


def write_quantised(network: Network, folder: Path) -> None:
    """Static quantisation with ONNX Runtime's tool: int8 weights for each channel, uint8 activations, ranges from 32
    patches."""
    from onnxruntime import quantization

    if (folder / QUANTISED).exists():
        return
    write(network, folder)

    class Calibration(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(np.split(normalised(random_patches(network, 32, seed=1)), 4))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"patches": batch}

    quantization.quantize_static(
        folder / FLOAT32,
        folder / QUANTISED,
        Calibration(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )

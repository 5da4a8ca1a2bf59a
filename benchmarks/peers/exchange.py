"""The networks as ONNX files, float32 and quantised, for the peers that read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.model_folder import Preprocessing
from harness.networks import Convolution, Network, Pool, normalised, random_parameters, random_patches

FLOAT32 = "network.onnx"
QUANTISED = "network.int8.onnx"


def write(network: Network, folder: Path) -> None:
    """Input `patches` [N, C, H, W], output `embeddings` [N, features]; nothing if the file is there."""
    if not (folder / FLOAT32).exists():
        save(network, random_parameters(network), folder / FLOAT32)


def save(
    network: Network, parameters: dict[str, np.ndarray], file: Path, preprocessing: Preprocessing | None = None
) -> None:
    """As `write`, with these parameters; with a preprocessing the input is `patches` [N, H, W, C] of uint8 pixels."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, flow, linear = [], "patches", False
    values = dict(parameters)
    shape, kind = ["N", network.channels, network.side, network.side], TensorProto.FLOAT
    if preprocessing is not None:
        shape, kind = ["N", network.side, network.side, network.channels], TensorProto.UINT8
        values["pixel.factor"], values["pixel.offset"] = preprocessing.factor, preprocessing.offset
        nodes += [
            helper.make_node("Cast", ["patches"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["pixels", "pixel.factor"], ["scaled"]),
            helper.make_node("Add", ["scaled", "pixel.offset"], ["normalised"]),
            helper.make_node("Transpose", ["normalised"], ["maps"], perm=[0, 3, 1, 2]),
        ]
        flow = "maps"
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
    graph = helper.make_graph(
        nodes,
        network.name,
        [helper.make_tensor_value_info("patches", kind, shape)],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", features])],
        [numpy_helper.from_array(np.asarray(value, np.float32), key) for key, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, file)


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

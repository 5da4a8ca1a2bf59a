"""ONNX Runtime on the quantised network."""

from __future__ import annotations

from pathlib import Path

from harness.networks import Network

from . import exchange, onnx_runtime


class Peer(onnx_runtime.Peer):
    file = exchange.QUANTISED

    def __init__(self, network: Network, folder: Path, batch: int, threads: int) -> None:
        exchange.write_quantised(network, folder)
        super().__init__(network, folder, batch, threads)

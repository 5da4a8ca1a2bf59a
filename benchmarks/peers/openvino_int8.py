"""OpenVINO on the quantised network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.networks import Network

from . import exchange, openvino_runtime


def make(network: Network, folder: Path, batch: int, threads: int) -> Any:
    exchange.write_quantised(network, folder)
    return openvino_runtime.fastest(folder / exchange.QUANTISED, network, batch, threads)

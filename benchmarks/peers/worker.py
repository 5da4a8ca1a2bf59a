"""python -m peers.worker MODULE: does for a peer what `bench worker` does for ours, by the same commands.

A peer's module has a function `make(network, folder, batch, threads)`, which returns the network ready in the library's
best configuration, as an object with

    configuration    which that is, in words; empty where there is but one
    bind(inputs)     takes [batch, channels, height, width] float32, not timed
    run()            one forward pass, timed
    outputs()        [batch, features] of the last pass

`choose` finds the best of several.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness import networks


def main() -> None:
    # Libraries print to standard output; replies go to what it was.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    session = Session(sys.argv[1])
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply = getattr(session, command.pop("command"))(**command)
        except Exception as error:  # Whatever a library throws is a sentence in the report.
            reply = {"error": f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0][:300]}
        replies.write(json.dumps(reply) + "\n")


class Session:
    def __init__(self, module: str) -> None:
        self.module = module
        self.peer: Any = None

    def load(self, network: str, folder: str, batch: int, threads: int) -> dict:
        self.peer = None
        module = importlib.import_module(f"peers.{self.module}")
        shape = networks.exemplar_network(network)
        self.peer = module.make(shape, Path(folder), batch, threads)
        self.peer.bind(networks.normalised(networks.random_patches(shape, batch)))
        return {"configuration": self.peer.configuration}

    def outputs(self, output: str) -> dict:
        self.peer.run()
        np.asarray(self.peer.outputs(), dtype=np.float32).tofile(output)
        return {}

    def run(self, seconds: float) -> dict:
        return {"median": statistics.median(time_passes(self.peer, seconds))}


def time_passes(peer: Any, seconds: float) -> list[float]:
    """Seconds of each pass; at least three, after one to warm up."""
    peer.run()
    passes = []
    start = time.perf_counter()
    end = start + seconds
    while start < end or len(passes) < 3:
        peer.run()
        now = time.perf_counter()
        passes.append(now - start)
        start = now
    return passes


def choose(peers: list[Any], network: networks.Network, batch: int) -> Any:
    """Of several configurations of one library, the one with the shortest median pass in 0.1 s."""
    if len(peers) == 1:
        return peers[0]
    inputs = networks.normalised(networks.random_patches(network, batch))
    for peer in peers:
        peer.bind(inputs)
    return min(peers, key=lambda peer: statistics.median(time_passes(peer, 0.1)))


if __name__ == "__main__":
    main()

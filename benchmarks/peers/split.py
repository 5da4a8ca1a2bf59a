"""A batch in equal parts, each through an instance of its own on one thread: what several workers of a server do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


class Split:
    """Instances that compute their parts side by side; their libraries let go of Python's lock while they do."""

    def __init__(self, parts: list[Any], initialize: Callable[[], None] | None) -> None:
        self._pool = ThreadPoolExecutor(len(parts), initializer=initialize)
        self._parts = parts
        words = [parts[0].configuration, f"{len(parts)} instances of one thread"]
        self.configuration = ", ".join(word for word in words if word)

    def bind(self, inputs: np.ndarray) -> None:
        for part, own in zip(self._parts, np.split(inputs, len(self._parts))):
            part.bind(np.ascontiguousarray(own))

    def run(self) -> None:
        for pending in [self._pool.submit(part.run) for part in self._parts]:
            pending.result()

    def outputs(self) -> np.ndarray:
        return np.concatenate([part.outputs() for part in self._parts])


def is_possible(batch: int, threads: int) -> bool:
    return threads > 1 and batch % threads == 0


def instances(
    make: Callable[[int, int], Any], batch: int, threads: int, initialize: Callable[[], None] | None = None
) -> list[Any]:
    """One instance on all threads and, where the batch can be split, one of a thread for each.

    :param make: an instance for so many patches on so many threads.
    :param initialize: called first on each thread that runs an instance of its own.
    """
    found = [make(batch, threads)]
    if is_possible(batch, threads):
        found.append(Split([make(batch // threads, 1) for _ in range(threads)], initialize))
    return found

"""A batch in equal parts, each through an instance of its own on one thread: what several workers of a server do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


class Split:
    """Instances that compute their parts side by side; their libraries let go of Python's lock while they do."""

    def __init__(
        self, make: Callable[[int], Any], batch: int, threads: int, initialize: Callable[[], None] | None = None
    ) -> None:
        """
        :param make: an instance for so many patches, which runs on the thread that calls it.
        :param initialize: called on each thread first.
        """
        self._pool = ThreadPoolExecutor(threads, initializer=initialize)
        self._parts = [make(batch // threads) for _ in range(threads)]
        self.configuration = f"{threads} instances of one thread"

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

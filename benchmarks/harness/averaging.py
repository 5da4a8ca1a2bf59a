"""What a draw T_α of ĝ costs beside a plain patch: the shipped networks, whole batches, one core."""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from .contender import Worker
from .environment import BENCHMARKS

BATCH = 64
"""Rows of a pass: two patches of K = 32 draws each, every row a fresh draw of all steps."""


def folders(names: list[str]) -> list[Path]:
    """The shipped models among the networks that were asked for."""
    models = [BENCHMARKS.parent / "models" / name for name in names]
    return [folder for folder in models if (folder / "config.json").exists()]


def measure(folder: Path, plain: Worker, drawn: Worker, cores: list[int], arguments: argparse.Namespace) -> dict:
    """Medians over rounds; the ratio is taken within each."""
    for worker, draws in ((plain, False), (drawn, True)):
        worker.ask("load", folder=str(folder), batch=BATCH, draws=draws, cores=cores)
    rounds = []
    for round_ in range(arguments.rounds):
        pair = [plain, drawn] if round_ % 2 == 0 else [drawn, plain]
        seconds = {worker: worker.ask("run", seconds=arguments.seconds)["median"] / BATCH for worker in pair}
        rounds.append((seconds[plain], seconds[drawn]))
    return {
        "network": folder.name,
        "plain": statistics.median(a for a, _ in rounds) * 1e6,
        "drawn": statistics.median(b for _, b in rounds) * 1e6,
        "ratio": statistics.median(b / a for a, b in rounds),
    }

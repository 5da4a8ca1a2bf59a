"""One session: build, measure, report."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from . import averaging, beginning, comparison, ending, kernels, machine, report
from .contender import our_worker
from .environment import BENCHMARKS
from .progress import Progress


def run(arguments: argparse.Namespace) -> int:
    """The exit status; --help says what each means."""
    if arguments.source is not None:
        return ENDING.again(arguments)
    if not beginning.build_worker():
        return 1
    cores = machine.physical_cores()
    for threads in [count for count in arguments.threads if count > len(cores)]:
        print(f"{threads} threads are left out: there are {len(cores)} cores.", file=sys.stderr)
    arguments.threads = [count for count in arguments.threads if count <= len(cores)] or [len(cores)]
    results = {"quick": arguments.quick, "kernels": [], "averaging": [], "cells": [], "bounds": [], "notes": []}
    results["settings"] = {"rounds": arguments.rounds, "seconds": arguments.seconds}

    def measure() -> None:
        with tempfile.TemporaryDirectory(prefix="exemplar-bench-") as folder:
            _measure(arguments, results, cores, Path(folder))

    status = ending.status_of(measure)
    if any(contender.get("wrong") for cell in results["cells"] for contender in cell["contenders"]):
        print("A result of ours is wrong: see the report.", file=sys.stderr)
        status = status or 1
    return ENDING.write(results, arguments, status)


def _measure(arguments: argparse.Namespace, results: dict, cores: list[int], folder: Path) -> None:
    prober = our_worker(cores)
    try:
        sets = prober.ask("machine")["instruction_sets"]
        results["machine"] = machine.card(sets)
        results["bandwidth"] = {}
        for threads in arguments.threads:
            reply = prober.ask("read", cores=cores[:threads], bytes=1 << 28, seconds=arguments.seconds)
            results["bandwidth"][str(threads)] = reply["bytes_per_second"]
        with_kernels = arguments.only in (None, "kernels")
        with_cells = arguments.only != "kernels"
        cells = [
            comparison.Cell(network, batch, threads)
            for network in arguments.networks
            for batch in arguments.batches
            for threads in arguments.threads
            if with_cells
        ]
        cases = kernels.cases(sets) if with_kernels else []
        averaged = averaging.folders(arguments.networks) if arguments.only in (None, "networks") else []
        progress = Progress(len(cases) + len(averaged) + 4 * len(cells))
        for case in cases:
            progress.show(case.title)
            results["kernels"].append(kernels.measure(case, prober, cores[:1], folder, arguments))
            progress.advance(1)
        if averaged:
            second = our_worker(cores)
            try:
                for model in averaged:
                    progress.show(f"averaging, {model.name}")
                    results["averaging"].append(averaging.measure(model, prober, second, cores[:1], arguments))
                    progress.advance(1)
            finally:
                second.close()
        if cells:
            contest = comparison.Comparison(arguments, prober, cores, folder, results["notes"])
            try:
                for cell in cells:
                    results["cells"].append(contest.measure(cell, progress))
                    if cell.batch == 1:
                        results["bounds"] += contest.bounds(cell, results["cells"][-1])
                    progress.advance(4)
            finally:
                contest.close()
        progress.end()
    finally:
        prober.close()


def _report(results: dict, folder: Path) -> None:
    report.write(results, folder)
    print(f"{(folder / 'report.html').relative_to(BENCHMARKS.parent)} and report.md are written.")


ENDING = ending.Ending("results.json", ("kernels", "averaging", "cells"), _report, report.write_summary)

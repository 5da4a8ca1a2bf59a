"""What the server promises, and whether a session's figures reach it: a row each, computed from `results` alone."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from .measurements import BATCH, OVERLOAD


@dataclass(frozen=True)
class Promise:
    text: str
    measured: str
    is_reached: bool | None
    """None where a figure is told and nothing promised of it."""


def median(runs: list[dict], *path: str) -> float:
    """Of one figure over the rounds."""
    values = []
    for run in runs:
        for key in path:
            run = run[key]
        values.append(run)
    return statistics.median(values)


def ratio(above: list[dict], below: list[dict], *path: str) -> float:
    """The median of the ratios within a round: what slows the machine for a while slows both."""
    return statistics.median(median([a], *path) / median([b], *path) for a, b in zip(above, below))


def promises(results: dict) -> list[Promise]:
    rounds = results.get("rounds", {})
    found = []
    if "mosec, 32" in rounds and "exemplar, 32" in rounds:
        found += _against_peer(rounds)
    if "batch load" in rounds and f"network, {BATCH}" in rounds:
        found += _beside_network(rounds)
    if "idle" in results:
        found.append(_idle(results["idle"]))
    for patches, pairs in results.get("overload", {}).items():
        found += _overload(int(patches), pairs)
    if "restarts" in results:
        times = results["restarts"]["seconds"]
        middle = statistics.median(times)
        text = "After kill −9 and a restart the first answer comes within 1 s"
        measured = f"{middle:.2f} s, the latest of {len(times)} after {max(times):.2f} s"
        found.append(Promise(text, measured, middle <= 1))
    if "allocations" in results:
        figures = results["allocations"]
        measured = f"{figures['total_bytes']:,.0f} bytes in {figures['total_allocations']:.1f} allocations"
        found.append(Promise("Allocated for a request of one patch, by the whole process", measured, None))
    return found


def _against_peer(rounds: dict) -> list[Promise]:
    rate = ratio(rounds["exemplar, 32"], rounds["mosec, 32"], "patches_per_second")
    p99 = median(rounds["exemplar, 32"], "latency_ms", "p99")
    p50 = median(rounds["mosec, 32"], "latency_ms", "p50")
    found = [
        Promise("At 32 connections at least 4 times mosec's patches/s", f"{rate:.2f} times", rate >= 4),
        Promise("At 32 connections the p99 is at most mosec's p50", f"{p99:.1f} ms, {p50:.1f} ms", p99 <= p50),
    ]
    for name, part, words in (("exemplar, F32 weights", 1 / 2, "half"), ("exemplar", 1 / 3, "a third")):
        if "mosec, no batching, 1" in rounds and f"{name}, 1" in rounds:
            share = ratio(rounds[f"{name}, 1"], rounds["mosec, no batching, 1"], "latency_ms", "p50")
            weights = "float32" if "F32" in name else "float16 as shipped"
            text = f"One connection's p50 is at most {words} of mosec's without batching, linear weights in {weights}"
            found.append(Promise(text, f"{share:.2f} of it", share <= part))
    return found


def _beside_network(rounds: dict) -> list[Promise]:
    shares, overheads = [], []
    for load, network in zip(rounds["batch load"], rounds[f"network, {BATCH}"]):
        # The cores' time that the pass had, where others took some.
        alone = network["median"] * network["cores"] * network["share"] / BATCH
        shares.append(load["server_seconds_per_patch"] / alone - 1)
    for load, network in zip(rounds["exemplar, 1"], rounds["network, 1"]):
        overheads.append(load["latency_ms"]["p50"] * 1e3 - network["median"] * 1e6)
    share, overhead = statistics.median(shares), statistics.median(overheads)
    return [
        Promise(
            "At batch load the server adds at most 10 % to the network's own time (the processor's time of a patch)",
            f"{share:+.1%}",
            share <= 0.1,
        ),
        Promise(
            "To a single patch's latency it adds at most 60 µs (p50 of one connection, less the network alone)",
            f"{overhead:+.0f} µs",
            overhead <= 60,
        ),
    ]


def _idle(idle: dict) -> Promise:
    change = statistics.median(
        pair["beside"]["patches_per_second"] / pair["alone"]["patches_per_second"] - 1 for pair in idle["pairs"]
    )
    text = f"With {idle['connections']:,} connections, 32 of them busy, patches/s are those of 32 alone, within 5 %"
    return Promise(text, f"{change:+.1%}", abs(change) <= 0.05)


def _overload(patches: int, pairs: list[dict]) -> list[Promise]:
    words = f"{patches} patch{'es' * (patches > 1)} a request"
    kept = statistics.median(
        pair["flooded"]["patches_per_second"] / pair["capacity"]["patches_per_second"] for pair in pairs
    )
    client = statistics.median(pair["flooded"]["client"] for pair in pairs)
    refusals = [pair["flooded"].get("refusal_ms") or {} for pair in pairs]
    p50, p99 = (statistics.median(r.get(key) or float("inf") for r in refusals) for key in ("p50", "p99"))
    return [
        Promise(
            f"At {OVERLOAD} times its capacity goodput is at least 95 % of capacity, {words}",
            f"{kept:.0%}, while the client takes {client:.0%} of a core",
            kept >= 0.95,
        ),
        Promise(f"The surplus is refused in less than 5 ms, {words}", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms", p99 < 5),
    ]

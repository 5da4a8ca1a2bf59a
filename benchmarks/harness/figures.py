"""What is made of the rounds of a cell: rates, ratios to the peers, and how well threads scale. Needs no NumPy."""

from __future__ import annotations

import statistics

AS_ACCURATE = 5e-6
"""What our default keeps to of the relative RMS difference from the reference: a peer beyond it buys speed with
accuracy."""

SCALING, SCALED_BATCH = 0.93, 8
"""What two threads are to reach of the gain that the multiply-add probe has from the second core, from such a batch on:
with fewer patches a batch is no even share for each."""


def of_rounds(measured: list[tuple[dict, list[float]]], peaks: list[float], batch: int, operations: int) -> list[dict]:
    """The contenders with their figures, those of medians over the rounds.

    :param measured: contenders with the seconds of their pass in each round.
    :param peaks: GFLOP/s of the multiply-add probe in each round.
    :param operations: of one patch.
    """
    for contender, passes in measured:
        seconds = statistics.median(passes)
        rates = [operations * batch / duration * 1e-9 for duration in passes]
        contender["ms"] = seconds * 1e3
        contender["patches_per_second"] = batch / seconds
        contender["gflops"] = statistics.median(rates)
        contender["percent"] = statistics.median(100 * rate / peak for rate, peak in zip(rates, peaks))
    peers = [(c, passes) for c, passes in measured if c["kind"] == "float32" and not c["is_ours"]]
    accurate = [(c, passes) for c, passes in peers if c["difference"] <= AS_ACCURATE]
    for key, others in (("ratio", peers), ("accurate_ratio", accurate)):
        if others:
            # One peer for all rounds, the fastest of all: the fastest of each would be whom the round favoured.
            _, best = min(others, key=lambda other: other[0]["ms"])
            for contender, passes in measured:
                contender[key] = statistics.median(theirs / own for theirs, own in zip(best, passes))
    return [contender for contender, _ in measured]


def scaling(cells: list[dict], name: str = "exemplar") -> list[dict]:
    """How many times the patches/s of one thread a contender has with more, beside what the probe gains.

    The part of the probe's gain is of the rounds' own shares of the peak, so that a machine that was slower while one
    of the cells was measured changes nothing.
    """
    found = {(cell["network"], cell["batch"], cell["threads"]): cell for cell in cells}
    rows = []
    for (network, batch, threads), cell in found.items():
        single = found.get((network, batch, 1))
        if threads == 1 or single is None or batch < SCALED_BATCH:
            continue
        both = [next((c for c in each["contenders"] if c["name"] == name), None) for each in (single, cell)]
        if None in both:
            continue
        one, more = both
        rows.append({
            "network": network,
            "batch": batch,
            "threads": threads,
            "gain": more["gflops"] / one["gflops"],
            "probe": cell["peak"] / single["peak"],
            "part": more["percent"] / one["percent"],
        })
    return rows

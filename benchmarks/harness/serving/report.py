"""serving.json as Markdown with one plot beside it."""

from __future__ import annotations

from pathlib import Path

from .. import plots
from ..report import document, markdown_table, number
from .measurements import BATCH
from .promises import median, promises, ratio


def write(results: dict, file: Path) -> None:
    """`file`, and its plot as an SVG of the same name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    parts = ["# Serving benchmarks", _method(results), *_promises(results), *_rounds(results)]
    if results.get("offered"):
        file.with_suffix(".svg").write_text(plots.offered_load(results["offered"]))
        parts += _offered(results, file.with_suffix(".svg").name)
    parts += _tried(results)
    if "machine" in results:
        parts += ["## The machine", markdown_table(["", ""], [list(row) for row in results["machine"].items()])]
    parts += [f"- {note}" for note in results["notes"]]
    parts.append("`make bench-serving` measures again; [benchmarks/README.md](../benchmarks/README.md) says how.")
    file.write_text(document(parts))


def _method(results: dict) -> str:
    settings = results["settings"]
    rounds = f"{settings['rounds']} interleaved round{'s' * (settings['rounds'] > 1)}"
    text = (
        f"`exemplar serve` with models/{results['model']} and its defaults, beside ONNX Runtime behind mosec with the "
        "same weights in float32; one patch a request unless said, the same patches for both, and each server's client "
        f"on the same cores. Medians of {rounds}, {settings['seconds']:g} s of each server in each; ratios are taken "
        "within a round. One server runs at a time, the others are stopped. Their embeddings are compared first."
    )
    runs = results.get("rounds", {}).get(f"network, {BATCH}", [])
    if runs and min(run["share"] for run in runs) < 0.9:
        share = min(run["share"] for run in runs)
        text += f" **The machine was busy: others left the network down to {share:.0%} of its cores. Measure again.**"
    if results["quick"]:
        text += " **A quick run: it shows that everything works, and its figures are rough.**"
    return text


def _promises(results: dict) -> list[str]:
    words = {True: "reached", False: "**not reached**", None: ""}
    rows = [[promise.text, promise.measured, words[promise.is_reached]] for promise in promises(results)]
    return ["## What it promises", markdown_table(["promise", "measured", ""], rows)] if rows else []


def _rounds(results: dict) -> list[str]:
    runs = results.get("rounds", {})
    rows = []
    for name, found in runs.items():
        contender, _, connections = name.rpartition(", ")
        if not connections.isdecimal() or contender == "network":
            continue
        peers = [runs[key] for key in (f"mosec, {connections}", f"mosec, no batching, {connections}") if key in runs]
        peer = max(peers, key=lambda runs: median(runs, "patches_per_second"), default=None)
        times = f"{ratio(found, peer, 'patches_per_second'):.2f}" if peer and contender.startswith("exemplar") else ""
        row = [contender, connections, number(median(found, "patches_per_second"))]
        row += [f"{median(found, 'latency_ms', quantile):.2f}" for quantile in ("p50", "p99")]
        rows.append([*row, times, f"{median(found, 'client'):.0%}", f"{median(found, 'server'):.0%}"])
    if not rows:
        return []
    rows.sort(key=lambda row: -int(row[1]))
    header = ["server", "connections", "patches/s", "p50 ms", "p99 ms", "× the faster mosec"]
    header += ["client's cores", "server's cores"]
    text = (
        "A closed loop: each connection waits for its reply and asks again. What the clients take of the cores is in "
        "the table, in % of one: with a client that took nothing, no server could gain more."
    )
    return ["## Throughput and latency", text, markdown_table(header, rows), _network(runs)]


def _network(runs: dict) -> str:
    rows = []
    for name, found in runs.items():
        kind, _, batch = name.rpartition(", ")
        if kind == "network":
            seconds = median(found, "median")
            rows.append([f"the network alone, batch {batch}", number(int(batch) / seconds), f"{seconds * 1e3:.2f}"])
    if "batch load" in runs:
        found = runs["batch load"]
        row = ["exemplar at batch load", number(median(found, "patches_per_second"))]
        rows.append([*row, f"{median(found, 'latency_ms', 'p50'):.2f}"])
    return markdown_table(["on all cores", "patches/s", "ms"], rows)


def _offered(results: dict, plot: str) -> list[str]:
    rows = []
    for name, curve in results["offered"].items():
        for point in curve["points"]:
            latency = [f"{point['latency_ms'][key]:.2f}" if point["latency_ms"][key] else "" for key in ("p50", "p99")]
            refused = point["overloaded"] + point["other_errors"] + point["unsent"] + point["unanswered"]
            row = [name, f"{point['part']:.0%}", number(point["rate"]), number(point["patches_per_second"])]
            rows.append([*row, *latency, number(refused) if refused else ""])
    capacities = ", ".join(f"{name} {number(curve['capacity'])}" for name, curve in results["offered"].items())
    text = (
        "An open loop, once for each point: requests come as those of independent clients (exponential gaps), and "
        "latency counts from the time at which each was due. The load is a part of what each server reaches in a "
        f"closed loop behind which requests always wait, in patches/s: {capacities}. Beyond it latencies grow as long "
        "as the measurement goes on."
    )
    header = ["server", "offered", "requests/s", "answered/s", "p50 ms", "p99 ms", "not answered"]
    return ["## Latency against offered load", text, f"![p50 and p99 against offered load]({plot})"] + [
        markdown_table(header, rows)
    ]


def _tried(results: dict) -> list[str]:
    chosen = results.get("configurations", {})
    rows = [
        [
            run["settings"],
            str(run["connections"]),
            number(run["patches_per_second"]),
            f"{run['latency_ms']['p50']:.2f}",
            f"{run['latency_ms']['p99']:.2f}",
            f"{run['difference']:.1e}",
        ]
        for run in results.get("tried", [])
    ]
    if not rows:
        return []
    text = "; ".join(f"*{name}*: {settings}" for name, settings in chosen.items())
    header = ["configuration", "connections", "patches/s", "p50 ms", "p99 ms", "difference"]
    return ["## mosec's configurations", f"Chosen were {text}.", markdown_table(header, rows)]

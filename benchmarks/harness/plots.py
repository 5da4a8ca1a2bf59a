"""The report's plots, as SVG."""

from __future__ import annotations

import io

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "exemplar", "font.size": 9})
matplotlib.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})

from matplotlib import pyplot  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

# Ours in blues, peers in warm colours and greys, by their order in the results.
OURS = ("#08519c", "#3182bd", "#6baed6", "#9ecae1")
PEERS = ("#e6550d", "#fdae6b", "#31a354", "#756bb1", "#636363", "#bdbdbd")
SETS = {"portable": "#9ecae1", "avx2": "#4292c6", "avx512": "#08519c"}


def contender_names(cells: list[dict]) -> list[str]:
    return list(dict.fromkeys(c["name"] for cell in cells for c in cell["contenders"]))


def percent_of_peak(kernels: list[dict]) -> str:
    """Bars for each layer and instruction set."""
    layers = list(dict.fromkeys((k["kind"], k["layer"]) for k in kernels))
    sets = list(dict.fromkeys(k["instruction_set"] for k in kernels))
    figure, axes = pyplot.subplots(figsize=(9, 0.42 * len(layers) + 1.4))
    height = 0.8 / len(sets)
    for index, name in enumerate(sets):
        found = {(k["kind"], k["layer"]): k["percent"] for k in kernels if k["instruction_set"] == name}
        places = [place for place, layer in enumerate(layers) if layer in found]
        widths = [found[layers[place]] for place in places]
        offsets = [place + (index - (len(sets) - 1) / 2) * height for place in places]
        axes.barh(offsets, widths, height, color=SETS.get(name, "#999999"), label=name)
    axes.axvline(75, color="#999999", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(layers)), [_layer_label(*layer) for layer in layers])
    axes.invert_yaxis()
    axes.set_xlabel("% of the multiply-add peak")
    axes.legend(frameon=False)
    return _svg(figure)


def _layer_label(kind: str, layer: str) -> str:
    return f"tuple multiplication {layer}" if kind == "winograd" else f"{kind} {layer}"


def patches_per_second(cells: list[dict], threads: int) -> str:
    """A panel for each network, a group of bars for each batch."""
    cells = [cell for cell in cells if cell["threads"] == threads]
    names, colours = contender_names(cells), _colours(cells)
    shown = list(dict.fromkeys(cell["network"] for cell in cells))
    figure, panels = pyplot.subplots(1, len(shown), figsize=(4.4 * len(shown), 3.6), squeeze=False)
    for axes, network in zip(panels[0], shown):
        group = [cell for cell in cells if cell["network"] == network]
        width = 0.85 / len(names)
        for index, name in enumerate(names):
            rates = [{c["name"]: c["patches_per_second"] for c in cell["contenders"]}.get(name, 0) for cell in group]
            places = [place + (index - (len(names) - 1) / 2) * width for place in range(len(group))]
            axes.bar(places, rates, width, color=colours[name], label=name)
        axes.set_xticks(range(len(group)), [str(cell["batch"]) for cell in group])
        axes.set_xlabel("batch")
        axes.set_title(f"{network}, {threads} thread{'s' * (threads > 1)}")
    panels[0][0].set_ylabel("patches/s")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=min(len(names), 5), frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.86))
    return _svg(figure, tight=False)


def cost(cells: list[dict]) -> str:
    """Milliseconds of a patch against the batch, a line for each network and number of threads."""
    figure, axes = pyplot.subplots(figsize=(6.5, 3.8))
    markers = "os^Dv"
    for index, threads in enumerate(sorted({cell["threads"] for cell in cells})):
        for place, network in enumerate(dict.fromkeys(cell["network"] for cell in cells)):
            points = [
                (cell["batch"], c["ms"] / cell["batch"])
                for cell in cells
                for c in cell["contenders"]
                if c["name"] == "exemplar" and (cell["network"], cell["threads"]) == (network, threads)
            ]
            style = {"marker": markers[index % 5], "linestyle": ("-", "--", ":", "-.")[index % 4]}
            label = f"{network}, {threads} thread{'s' * (threads > 1)}"
            axes.plot(*zip(*sorted(points)), color=f"C{place}", label=label, **style) if points else None
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    batches = sorted({cell["batch"] for cell in cells})
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.set_xlabel("batch")
    axes.set_ylabel("ms a patch")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _svg(figure)


def offered_load(curves: dict[str, dict]) -> str:
    """p50 and p99 of each server against the load that it is offered, in patches/s; its capacity as a line."""
    figure, axes = pyplot.subplots(figsize=(7.5, 4.2))
    colours = dict(zip(curves, (OURS[0], PEERS[0], *PEERS[2:])))
    for name, curve in curves.items():
        for key, style in (("p50", {"marker": "o"}), ("p99", {"marker": "^", "linestyle": "--"})):
            points = [(point["rate"], point["latency_ms"][key]) for point in curve["points"]]
            points = [point for point in points if point[1]]
            if points:
                axes.plot(*zip(*points), color=colours[name], markersize=4, label=f"{name}, {key}", **style)
        axes.axvline(curve["capacity"], color=colours[name], linewidth=0.8, linestyle=":")
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.set_xlabel("patches/s offered (dotted: capacity)")
    axes.set_ylabel("latency, ms")
    axes.legend(frameon=False)
    return _svg(figure)


def _colours(cells: list[dict]) -> dict[str, str]:
    contenders = {c["name"]: c["is_ours"] for cell in cells for c in cell["contenders"]}
    ours = [name for name, is_ours in contenders.items() if is_ours]
    peers = [name for name, is_ours in contenders.items() if not is_ours]
    colours = {name: OURS[index % len(OURS)] for index, name in enumerate(ours)}
    return colours | {name: PEERS[index % len(PEERS)] for index, name in enumerate(peers)}


def _svg(figure: Figure, tight: bool = True) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight" if tight else None, metadata={"Date": None})
    pyplot.close(figure)
    return text.getvalue()

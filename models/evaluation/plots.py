"""The results as SVG."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

matplotlib.use("agg")
# The same figures make the same file.
matplotlib.rcParams.update({"svg.hashsalt": "exemplar", "font.size": 9})
from matplotlib import pyplot  # noqa: E402

AVERAGED = re.compile(r"(ĝ.*), K = (\d+)$")
COLOURS = {"raw pixels": "0.7", "HOG": "C5", "SIFT": "C1", "SIFT with surroundings": "C3", "g": "C0", "quadrants": "C4"}


def _colour(name: str) -> str:
    """Of a method, or of ĝ whatever its K."""
    return COLOURS.get(name) or ("C2" if "bare" in name else "C6" if "chosen" in name else "C9")


def _errors(scores: list) -> list:
    return [[s[0] - s[1] for s in scores], [s[2] - s[0] for s in scores]]


def _save(figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def gain(retrieval: dict, cost: dict | None, path: Path) -> None:
    """What ĝ buys: quality, displacement and time against K, one above the other."""
    rows = retrieval["tasks"]["all"]
    families: dict[str, dict[int, str]] = {}
    for name in rows:
        if found := AVERAGED.match(name):
            families.setdefault(found[1], {})[int(found[2])] = name
    height = 9 if cost else 6.5
    figure, axes = pyplot.subplots(2 + bool(cost), figsize=(7, height), sharex=True, layout="constrained")
    for family, names in families.items():
        style = {"marker": "o", "markersize": 4, "color": _colour(family), "label": family}
        scores = [rows[name]["mrr"] for name in names.values()]
        axes[0].errorbar(list(names), [s[0] for s in scores], _errors(scores), capsize=2, **style)
        axes[1].plot(list(names), [retrieval["displacement"][name] for name in names.values()], **style)
        if cost and family in cost["microseconds"]:
            times = {int(count): value for count, value in cost["microseconds"][family].items()}
            axes[2].plot(list(times), list(times.values()), **style)
    for name in ("SIFT", "SIFT with surroundings", "g"):
        line = {"linestyle": "--", "linewidth": 1, "color": COLOURS[name], "label": name}
        axes[0].axhline(rows[name]["mrr"][0], **line)
        axes[1].axhline(retrieval["displacement"][name], **line)
    axes[0].set(ylabel="mean reciprocal rank", title=f"What ĝ buys: {retrieval['model']['name']}")
    axes[1].set(ylabel="displacement by T_α\n(0 invariant, 1 lost)")
    if cost:
        axes[2].axhline(cost["microseconds"]["g"]["1"], linestyle="--", linewidth=1, color=COLOURS["g"], label="g")
        axes[2].set(ylabel="µs a patch, over the wire", yscale="log")
    axes[-1].set(xscale="log", xlabel="K, draws of α", xticks=sorted({k for names in families.values() for k in names}))
    axes[-1].get_xaxis().set_major_formatter("{x:.0f}")
    axes[-1].minorticks_off()
    axes[0].legend(fontsize="small", ncols=2)
    _save(figure, path)


def steps(retrieval: dict, path: Path) -> None:
    """Mean reciprocal rank where one step alone is applied."""
    tasks = {name: rows for name, rows in retrieval["tasks"].items() if name != "all"}
    if not tasks:
        return
    methods = [name for name in next(iter(tasks.values())) if "random" not in name]
    figure, axes = pyplot.subplots(figsize=(9, 4), layout="constrained")
    width = 0.85 / len(methods)
    for index, name in enumerate(methods):
        scores = [rows[name]["mrr"] for rows in tasks.values()]
        places = [place + (index - (len(methods) - 1) / 2) * width for place in range(len(tasks))]
        axes.bar(
            places, [s[0] for s in scores], width, yerr=_errors(scores), label=name, error_kw={"linewidth": 0.7},
            color=_colour(name),
        )
    axes.set(ylabel="mean reciprocal rank", ylim=(0, 1.3), title=f"One step alone: {retrieval['model']['name']}")
    axes.set_xticks(range(len(tasks)), list(tasks))
    axes.legend(fontsize="small", ncols=4, loc="upper center")
    _save(figure, path)


def matching(results: dict, path: Path) -> None:
    """Mean average precision against strength, one panel a kind of distortion."""
    scores = results["scores"]
    kinds = list(next(iter(scores.values()))["kinds"])
    figure, axes = pyplot.subplots(1, len(kinds), figsize=(11, 3.4), sharey=True, layout="constrained")
    for kind, panel in zip(kinds, axes):
        for name, score in scores.items():
            values = score["kinds"][kind]
            panel.plot(
                [float(strength) for strength in values], list(values.values()), marker="o", markersize=3, label=name,
                color=_colour(name),
            )
        panel.set(title=kind, ylim=(0, 1), xlabel="strength")
        if kind == "lighting":
            panel.invert_xaxis()
    axes[0].set(ylabel="mean average precision")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    _save(figure, path)

"""What a folder of results holds, as Markdown with its plots."""

from __future__ import annotations

import textwrap
from pathlib import Path

from . import labelled, plots, runs


PLOTS = {"retrieval": ("gain", "steps"), "matching": ("matching",)}
"""The plots of each part, as files of ``.svg``."""


def write(output: Path, digest: str) -> list[str]:
    """results.md and the plots of every part in ``output`` that was measured with the weights of this sha256.

    :returns: the parts of other weights, which are left out, and their plots removed.
    """
    stored = runs.stored(output)
    parts = {name: part for name, part in stored.items() if part["model"]["sha256"] == digest}
    others = [name for name in stored if name not in parts]
    for plot in (plot for name in others for plot in PLOTS.get(name, ())):
        (output / f"{plot}.svg").unlink(missing_ok=True)
    sections = {"retrieval": retrieval, "probe": probe, "matching": matching, "cost": cost}
    text = []
    for name, section in sections.items():
        if name in parts:
            text += section(parts[name])
    served = next(iter(parts.values()))["model"]
    head = [
        f"# What `{served['name']}` is worth",
        "",
        f"Computed by a server ({served['isa']}, accuracy {served['accuracy']}), weights "
        f"`{str(served['sha256'])[:12]}`; intervals hold 95 %. [README.md](../../README.md) says what was done.",
    ]
    lines = [filled for line in head + text for filled in _filled(line)]
    (output / "results.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if "retrieval" in parts:
        plots.gain(parts["retrieval"], parts.get("cost"), output / "gain.svg")
        plots.steps(parts["retrieval"], output / "steps.svg")
    if "matching" in parts:
        plots.matching(parts["matching"], output / "matching.svg")
    return others


def _filled(line: str) -> list[str]:
    """A paragraph in lines of at most 120 columns; rows of tables stay whole."""
    if line.startswith("|") or not line:
        return [line]
    return textwrap.wrap(line, 120, break_long_words=False, break_on_hyphens=False)


def cell(scores: list[float]) -> str:
    return f"{scores[0]:.3f} ({scores[1]:.3f} … {scores[2]:.3f})"


def retrieval(results: dict) -> list[str]:
    """Everything together with intervals, single steps, and the settings."""
    plan, together = results["plan"], results["tasks"]["all"]
    lines = [
        "", "## Patch retrieval", "",
        f"Which of {plan['patches']} patches of the held-out photographs is this a transformed copy of? "
        f"Seeds {', '.join(map(str, plan['seeds']))}, all steps of T_α together; bootstrap over the queries. "
        "\"With surroundings\": the descriptor may read 74 × 74 pixels of the photograph around the patch, "
        "transformed alike for queries; the other rows see 32 × 32.",
        "", "| method | mean reciprocal rank | over g's | top-1 | displacement |", "|---|---|---|---|---|",
    ]
    for name, scores in together.items():
        lines.append(
            f"| {name} | {cell(scores['mrr'])} | {cell(results['ratios'][name])} | {cell(scores['top1'])} "
            f"| {results['displacement'][name]:.2f} |"
        )
    steps = [task for task in results["tasks"] if task != "all"]
    if steps:
        lines += ["", "Mean reciprocal rank where one step alone is applied:", ""]
        lines += [f"| method | {' | '.join(steps)} |", "|---" * (len(steps) + 1) + "|"]
        for name in results["tasks"][steps[0]]:
            values = " | ".join(f"{results['tasks'][step][name]['mrr'][0]:.3f}" for step in steps)
            lines.append(f"| {name} | {values} |")
    lines += ["", "Settings, chosen on the training photographs (mean reciprocal rank there):", ""]
    for name, choice in results["settings"].items():
        told = ["steps " + ", ".join(value) if key == "steps" else f"{key} {value:.3g}"
                for key, value in choice["settings"].items()]
        lines.append(f"- {name}: {', '.join([*told, choice['metric']])} ({choice['mrr']:.3f})")
        best: dict[str, float] = {}
        for score, _, tried in choice.get("tried", []):
            best[", ".join(tried)] = max(score, best.get(", ".join(tried), 0))
        lines += [f"  - {steps}: {score:.3f}" for steps, score in best.items()]
    return lines + ["", "![What ĝ buys](gain.svg)", *(["", "![Single steps](steps.svg)"] if steps else [])]


def probe(results: dict) -> list[str]:
    """Accuracy of each representation on each task, what pooled features are above it by, and the layers' shares."""
    plan, tasks = results["plan"], results["tasks"]
    lines = [
        "", "## Linear probe", "",
        "Accuracy of a linear SVM on labelled grey images of scikit-learn and scikit-image, "
        f"{len(plan['seeds'])} splits; scaling, C and the settings of raw pixels and HOG by cross-validation on the "
        "part to learn from. The bootstrap draws images of each class that were judged, each with its scores of all "
        f"splits, in scenes tiles of {labelled.TILE} pixels; what was learnt from is not drawn anew.",
        "", f"| representation | {' | '.join(tasks)} |", "|---" * (len(tasks) + 1) + "|",
    ]
    for name in next(iter(tasks.values())):
        lines.append(f"| {name} | {' | '.join(cell(rows[name]['accuracy']) for rows in tasks.values())} |")
    lines += [
        "", "What every layer together is above the others by, on the same images:", "",
        f"| representation | {' | '.join(tasks)} |", "|---" * (len(tasks) + 1) + "|",
    ]
    for name in next(iter(tasks.values())):
        if any(rows[name]["below pooled"][0] for rows in tasks.values()):
            lines.append(f"| {name} | {' | '.join(cell(rows[name]['below pooled']) for rows in tasks.values())} |")
    layers = list(next(iter(results["shares"].values())))
    lines += [
        "", "Share of ‖w‖² that each layer gets where all are given, at the model's `feature_scales`:", "",
        f"| task | {' | '.join(layers)} |", "|---" * (len(layers) + 1) + "|",
        *(f"| {task} | {' | '.join(f'{100 * share[name]:.0f} %' for name in layers)} |"
          for task, share in results["shares"].items()),
    ]
    return lines


def matching(results: dict) -> list[str]:
    """Mean average precision over all pairs, and what is chosen."""
    kinds = list(next(iter(results["scores"].values()))["kinds"])
    lines = [
        "", "## Descriptor matching", "",
        "Average precision of greedy matching between held-out photographs and distorted copies, "
        f"{results['pairs']} pairs with {results['regions']:.0f} matchable regions on average. The bootstrap draws "
        "pairs: how much a mean hangs on which distortions were made of these photographs, nothing about others.",
        "", f"| method | mean average precision | above SIFT | {' | '.join(kinds)} |", "|---" * (len(kinds) + 3) + "|",
    ]
    for name, score in results["scores"].items():
        each = " | ".join(f"{sum(v.values()) / len(v):.3f}" for v in (score["kinds"][kind] for kind in kinds))
        lines.append(f"| {name} | {cell(score['mean'])} | {cell(score['above SIFT'])} | {each} |")
    lines += ["", "Settings, chosen on photographs of the training split (mean average precision there):", ""]
    for name, choice in results["settings"].items():
        turned = "turned by their orientation" if choice["oriented"] else "upright"
        lines.append(
            f"- {name}: {choice['multiple']:g} key point sizes, {turned}, {choice['metric']} "
            f"({choice['average_precision']:.3f})"
        )
    return lines + ["", "![Average precision by strength](matching.svg)"]


def cost(results: dict) -> list[str]:
    """Microseconds for a patch, by K."""
    times = results["microseconds"]
    counts = list(times["ĝ with surroundings"])
    lines = [
        "", "## Time", "",
        f"Microseconds a patch, through the Python client on the server's machine, {results['threads']} threads; "
        f"g takes {times['g']['1']:.0f}.",
        "", f"| K | {' | '.join(counts)} |", "|---" * (len(counts) + 1) + "|",
    ]
    return lines + [
        f"| {name} | {' | '.join(f'{values[count]:.0f}' for count in counts)} |"
        for name, values in times.items() if name != "g"
    ]

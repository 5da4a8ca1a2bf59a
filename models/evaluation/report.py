"""The results as JSON, as a Markdown table and as plots."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from .experiment import Plan, Results


def write(plan: Plan, results: Results, description: dict, output: Path) -> None:
    """results.json, results.md, and two plots in ``output``; ``description`` is the server's of the model."""
    output.mkdir(parents=True, exist_ok=True)
    served = {key: description.get(key) for key in ("name", "sha256", "isa", "accuracy")}
    everything = {"model": served, "plan": dataclasses.asdict(plan), **dataclasses.asdict(results)}
    (output / "results.json").write_text(json.dumps(everything, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (output / "results.md").write_text(markdown(plan, results, served), encoding="utf-8")
    _plot(results, output)


def markdown(plan: Plan, results: Results, served: dict) -> str:
    """Two tables: everything together with intervals, and the mean reciprocal rank of each step alone."""

    def cell(scores: list[float]) -> str:
        return f"{scores[0]:.3f} ({scores[1]:.3f} … {scores[2]:.3f})"

    together = results.tasks["all"]
    lines = [
        f"# Patch retrieval with `{served['name']}`",
        "",
        f"Which of {plan.patches} patches of the held-out photographs is this a transformed copy of? {len(plan.seeds)} seeds; "
        "95 % bootstrap intervals over the queries. "
        f"Computed by a server ({served['isa']}, accuracy {served['accuracy']}), weights `{str(served['sha256'])[:12]}`.",
        "",
        "| method | mean reciprocal rank | top-1 |",
        "|---|---|---|",
        *(f"| {name} | {cell(scores['mrr'])} | {cell(scores['top1'])} |" for name, scores in together.items()),
        "",
        "Mean reciprocal rank where one step alone is applied:",
        "",
    ]
    steps = [task for task in results.tasks if task != "all"]
    if steps:
        methods = list(results.tasks[steps[0]])
        lines += [f"| method | {' | '.join(steps)} |", "|---" * (len(steps) + 1) + "|"]
        for name in methods:
            values = " | ".join(f"{results.tasks[step][name]['mrr'][0]:.3f}" for step in steps)
            lines.append(f"| {name} | {values} |")
    lines += ["", "Settings of the baselines, chosen on the training photographs:", ""]
    for name, choice in results.settings.items():
        settings = ", ".join(f"{key} {value:.3g}" for key, value in choice["settings"].items())
        lines.append(f"- {name}: {settings}, {choice['metric']} ({choice['mrr']:.3f} there)")
    return "\n".join(lines) + "\n"


def _plot(results: Results, output: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    together = {name: scores["mrr"] for name, scores in results.tasks["all"].items()}
    fixed = {name: scores for name, scores in together.items() if not name.startswith("ĝ")}
    averaged = {int(re.search(r"\d+", name)[0]): s for name, s in together.items() if name.startswith("ĝ")}

    def errors(scores):
        return [[s[0] - s[1] for s in scores], [s[2] - s[0] for s in scores]]

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.errorbar(list(averaged), [s[0] for s in averaged.values()], errors(averaged.values()), marker="o", label="ĝ, K draws")
    for index, (name, scores) in enumerate(fixed.items()):
        axes.axhline(scores[0], linestyle="--", linewidth=1, color=f"C{index + 1}", label=name)
    axes.set(xscale="log", xlabel="K", ylabel="mean reciprocal rank", ylim=(0, 1), xticks=list(averaged))
    axes.get_xaxis().set_major_formatter("{x:.0f}")
    axes.minorticks_off()
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(output / "samples.svg")

    steps = [task for task in results.tasks if task != "all"]
    figure, axes = pyplot.subplots(figsize=(9, 4), layout="constrained")
    methods = list(results.tasks[steps[0]]) if steps else []
    for index, name in enumerate(methods):
        scores = [results.tasks[step][name]["mrr"] for step in steps]
        places = [place + (index - (len(methods) - 1) / 2) * 0.8 / len(methods) for place in range(len(steps))]
        axes.bar(places, [s[0] for s in scores], 0.8 / len(methods), yerr=errors(scores), label=name)
    axes.set(ylabel="mean reciprocal rank", ylim=(0, 1))
    axes.set_xticks(range(len(steps)), steps)
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(output / "steps.svg")
    pyplot.close("all")

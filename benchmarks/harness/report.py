"""results.json as report.md and as one self-contained report.html, and the summary for the documents."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from . import plots
from .figures import AS_ACCURATE, SCALED_BATCH, SCALING, scaling

ACCURACY = (
    "The largest difference of an embedding from a reference in double precision (relative RMS). *As "
    f"accurate* is a float32 peer within {AS_ACCURATE:.0e}, as our default is on these networks; one beyond it takes "
    "less accurate Winograd tiles, as *fast* does."
)


@dataclass
class Section:
    title: str
    text: str = ""
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    plots: dict[str, str] = field(default_factory=dict)  # SVG by file name


def write(results: dict, folder: Path) -> None:
    sections = [_machine(results), *_kernels(results), *_networks(results), _averaging(results), _notes(results)]
    sections = [section for section in sections if section.rows or section.plots or section.text]
    markdown = ["# Benchmarks", _method(results)]
    page = ["<h1>Benchmarks</h1>", f"<p>{html.escape(_method(results))}</p>"]
    for section in sections:
        for name, svg in section.plots.items():
            (folder / f"{name}.svg").write_text(svg)
        images = [f"![{section.title}]({name}.svg)" for name in section.plots]
        markdown += [f"## {section.title}", section.text, *images, markdown_table(section.header, section.rows)]
        page += [f"<h2>{html.escape(section.title)}</h2>", f"<p>{html.escape(section.text)}</p>"]
        page += [f"<figure>{svg[svg.index('<svg') :]}</figure>" for svg in section.plots.values()]
        page.append(_html_table(section.header, section.rows))
    (folder / "report.md").write_text(document(markdown))
    (folder / "report.html").write_text(_PAGE.replace("BODY", "\n".join(page)))


def write_summary(results: dict, file: Path) -> None:
    """The table of patches/s with its machine, and the plot beside it as an SVG of the same name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    plot = file.with_suffix(".svg")
    cells = results["cells"]
    parts = ["# Benchmarks", _method(results, shows_peak=False)]
    if cells:
        plot.write_text(plots.patches_per_second(cells, min(cell["threads"] for cell in cells)))
        parts.append(f"![patches/s of each network and batch, ours and the peers]({plot.name})")
        parts += ["Patches per second, the faster the better.", markdown_table(*_overview(cells))]
        parts += [ACCURACY, markdown_table(*_accuracy(cells))]
    for section in (_scaling(cells), _bounds(results), _averaging(results)):
        if section.rows:
            parts += [section.text, markdown_table(section.header, section.rows)]
    parts.append(markdown_table(["the machine", ""], _machine(results).rows))
    parts += [f"- {note}" for note in results["notes"]]
    parts.append("`make bench` measures again; [benchmarks/README.md](../benchmarks/README.md) says how.")
    file.write_text(document(parts))


def _method(results: dict, shows_peak: bool = True) -> str:
    settings = results["settings"]
    text = (
        f"Medians of {settings['rounds']} interleaved rounds, {settings['seconds']:g} s of each contender in each "
        "round, pinned to the same cores"
    )
    text += "; % of peak is against the multiply-add peak measured in the same round." if shows_peak else "."
    shares = [entry["share"] for entry in results["cells"] + results["kernels"]]
    if shares and min(shares) < 0.95:
        text += (
            f" The machine was busy: other processes left ours down to {min(shares):.0%} of its cores, so every "
            "figure is low, and % of peak more than the rest: a probe is short enough to run undisturbed, a pass is "
            "not."
        )
    if results["quick"]:
        text += " A quick run: it shows that everything works, and its figures are rough."
    return text


def _machine(results: dict) -> Section:
    rows = [[key, value] for key, value in results["machine"].items()]
    for threads, bandwidth in results.get("bandwidth", {}).items():
        rows.append([f"read bandwidth, {_threads(int(threads))}", f"{bandwidth * 1e-9:.1f} GB/s of 256 MiB"])
    return Section("The machine", header=["", ""], rows=rows)


def _kernels(results: dict) -> list[Section]:
    kernels = results["kernels"]
    if not kernels:
        return []
    products = [k for k in kernels if k["kind"] != "winograd"]
    direct = Section(
        "Direct convolutions and linear layers",
        "One core. % of the peak of the instruction set's multiply-adds; a linear layer at batch 1 is bound by reading "
        "its weights instead.",
        ["layer", "instruction set", "µs a patch", "GFLOP/s", "peak", "% of peak", "best"],
        [
            [
                f"{k['kind']} {k['layer']}",
                k["instruction_set"],
                number(k["microseconds"]["product"]),
                number(k["gflops"]),
                number(k["peak"]),
                f"{k['percent']:.0f} %",
                f"{k['best']:.0f} %",
            ]
            for k in products
        ],
        {"kernels": plots.percent_of_peak(kernels)},
    )
    winograd = Section(
        "Winograd convolutions by phase",
        "µs for one patch of each phase, in place. % of peak is that of the tuple multiplication; effective GFLOP/s "
        "count the operations of a direct convolution over all three phases. Products of one or three channels are "
        "made inside the output transform, which then has to answer for both.",
        [
            *("layer", "algorithm", "instruction set", "input", "multiplication", "output", "% of peak", "best"),
            "effective GFLOP/s",
        ],
        [
            [
                k["layer"],
                k["algorithm"],
                k["instruction_set"],
                *(number(value) for value in k["microseconds"].values()),
                f"{k['percent']:.0f} %",
                f"{k['best']:.0f} %",
                f"{k['effective']:.0f} ({100 * k['effective'] / k['peak']:.0f} %)",
            ]
            for k in kernels
            if k["kind"] == "winograd"
        ],
    )
    return [direct, winograd]


def _networks(results: dict) -> list[Section]:
    cells = results["cells"]
    if not cells:
        return []
    overview = Section("Patches per second", "", *_overview(cells))
    accuracy = Section("Accuracy", ACCURACY, *_accuracy(cells))
    for threads in sorted({cell["threads"] for cell in cells}):
        overview.plots[f"patches-{threads}"] = plots.patches_per_second(cells, threads)
    detail = Section(
        "Every measurement",
        "Effective GFLOP/s count the operations of direct convolutions, so a fast algorithm can pass 100 % of peak. "
        "The ratio is to the fastest float32 peer, taken within the rounds; the difference is that of the worst patch "
        "from a reference in double precision (relative RMS).",
        ["network", "contender", "patches/s", "ms", "GFLOP/s", "% of peak", "ratio", "difference", "configuration"],
        [
            [
                f"{cell['network']}, batch {cell['batch']}, {_threads(cell['threads'])}",
                c["name"] + (" (wrong)" if c.get("wrong") else ""),
                number(c["patches_per_second"]),
                number(c["ms"]),
                number(c["gflops"]),
                f"{c['percent']:.0f} %",
                f"{c['ratio']:.2f}" if "ratio" in c else "",
                f"{c['difference']:.1e}",
                c.get("configuration", ""),
            ]
            for cell in cells
            for c in cell["contenders"]
        ],
    )
    cost = Section(
        "Cost of a patch against batch and threads",
        "A batch is split evenly among the threads; few patches of a large network are shared within its layers.",
        plots={"cost": plots.cost(cells)},
    )
    rest = [section for section in (_scaling(cells), _bounds(results)) if section.rows]
    return [overview, accuracy, cost, *rest, detail]


def _scaling(cells: list[dict]) -> Section:
    rows = []
    for row in scaling(cells):
        words = ""
        if row["threads"] == 2:
            words = "reached" if row["part"] >= SCALING else "not reached"
        name = f"{row['network']}, batch {row['batch']}, {_threads(row['threads'])}"
        rows.append([name, f"{row['gain']:.2f}", f"{row['probe']:.2f}", f"{row['part']:.2f}", words])
    return Section(
        "Threads",
        "How many times the patches/s of one thread exemplar has with more of them, and the multiply-add probe beside "
        "it. The part of the probe's gain is taken from the rounds' own shares of the peak; at least "
        f"{SCALING} of it is wanted of two threads from batches of {SCALED_BATCH} on.",
        ["", "× one thread", "the probe's", "part of it", ""],
        rows,
    )


def _bounds(results: dict) -> Section:
    return Section(
        "What bounds batch 1",
        "A single patch takes at least what reading the linear weights once takes, at the bandwidth that as many "
        "threads had on a buffer of that size, and the convolutions, timed on one thread and shared by more as well "
        "as the multiply-add probe is.",
        ["network", "contender", "linear weights", "bandwidth", "convolutions", "bound", "measured", "÷ bound"],
        [
            [
                f"{b['network']}, {_threads(b.get('threads', 1))}",
                b["name"],
                f"{b['bytes'] / 2**20:.1f} MiB",
                f"{b['bandwidth'] * 1e-9:.1f} GB/s",
                f"{b['convolution_ms']:.3f} ms",
                f"{b['bound_ms']:.3f} ms",
                f"{b['measured_ms']:.3f} ms",
                f"{b['measured_ms'] / b['bound_ms']:.2f}",
            ]
            for b in results["bounds"]
        ],
    )


def _overview(cells: list[dict]) -> tuple[list[str], list[list[str]]]:
    names = plots.contender_names(cells)
    rows = []
    for cell in cells:
        rates = {c["name"]: c for c in cell["contenders"]}
        row = [f"{cell['network']}, batch {cell['batch']}, {_threads(cell['threads'])}"]
        for name in names:
            row.append(number(rates[name]["patches_per_second"]) if name in rates else "")
        ratios = [rates.get("exemplar", {}).get(key) for key in ("ratio", "accurate_ratio")]
        rows.append(row + [f"{ratio:.2f}" if ratio else "" for ratio in ratios])
    return ["", *names, "exemplar ÷ best float32 peer", "÷ best as accurate"], rows


def _accuracy(cells: list[dict]) -> tuple[list[str], list[list[str]]]:
    """The largest difference of each contender, network by network."""
    networks = list(dict.fromkeys(cell["network"] for cell in cells))
    rows = []
    for name in plots.contender_names(cells):
        found = {
            network: [
                c["difference"] for cell in cells if cell["network"] == network
                for c in cell["contenders"] if c["name"] == name
            ]
            for network in networks
        }
        rows.append([name, *(f"{max(values):.1e}" if values else "" for values in found.values())])
    return ["", *networks], rows


def _averaging(results: dict) -> Section:
    return Section(
        "Draws of ĝ",
        "µs of one core for a plain patch and for a draw T_α of one with all steps, α drawn anew in the time: batches "
        "of 64 rows, as of two patches averaged over K = 32 draws, with the shipped weights. The ratio is the median "
        "of the rounds' own.",
        ["network", "a plain patch", "a draw", "draw ÷ plain"],
        [
            [entry["network"], number(entry["plain"]), number(entry["drawn"]), f"{entry['ratio']:.2f}"]
            for entry in results.get("averaging", [])
        ],
    )


def _notes(results: dict) -> Section:
    return Section("Left out, and why", header=[""], rows=[[note] for note in results["notes"]])


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def number(value: float) -> str:
    """Three digits, and thousands set apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def document(parts: list[str]) -> str:
    """Headings, paragraphs, plots and tables as Markdown, paragraphs in lines of at most 120 columns; what is empty is
    left out."""
    def filled(part: str) -> str:
        if part.startswith(("#", "!", "|")):
            return part
        indent = "  " if part.startswith("- ") else ""
        return textwrap.fill(part, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

    return "\n\n".join(filled(part) for part in parts if part) + "\n"


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _html_table(header: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><tr>{head}</tr>\n{body}</table>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Benchmarks</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
</style></head><body>
BODY
</body></html>
"""

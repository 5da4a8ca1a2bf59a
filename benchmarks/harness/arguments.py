"""The command line of benchmarks/run."""

from __future__ import annotations

import argparse
from pathlib import Path

NETWORKS = ("small", "medium", "large")
PARTS = ("kernels", "networks", "peers")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks/run",
        description="Measures kernels against the machine's peak and networks against other inference libraries, in "
        "interleaved rounds, and writes benchmarks/results/report.md and report.html.",
        epilog="Exit status: 0 measured; 1 could not measure, or a result of ours is wrong; 2 bad arguments; "
        "130 interrupted (what was measured is written).",
    )
    parser.add_argument("--only", choices=PARTS, help="networks: ours alone; peers: with ours beside them")
    parser.add_argument("--networks", type=_names, metavar="NAMES", help="of small,medium,large (default: all)")
    parser.add_argument("--batches", type=_numbers, metavar="N,…", help="patches of one pass (default: 1,8,32,64)")
    parser.add_argument("--threads", type=_numbers, metavar="N,…", help="one core each (default: 1,2)")
    parser.add_argument("--rounds", type=_positive, metavar="N", help="rounds of each comparison (default: 7)")
    parser.add_argument("--seconds", type=float, metavar="S", help="of one contender in one round (default: 0.5)")
    parser.add_argument("--quick", action="store_true", help="less than two minutes: shows that everything works")
    parser.add_argument(
        "--summary", type=Path, metavar="FILE.md", help="also write a table there, and a plot as FILE.svg")
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="results.json", help="write the summary of an earlier run")
    arguments = parser.parse_args()
    quick = arguments.quick
    arguments.networks = arguments.networks or (["small", "medium"] if quick else list(NETWORKS))
    arguments.batches = arguments.batches or ([1, 32] if quick else [1, 8, 32, 64])
    arguments.threads = arguments.threads or ([1] if quick else [1, 2])
    arguments.rounds = arguments.rounds or (3 if quick else 7)
    arguments.seconds = arguments.seconds or (0.1 if quick else 0.5)
    if not 0.01 <= arguments.seconds <= 60:
        parser.error("--seconds must be 0.01 to 60")
    if arguments.summary and arguments.summary.suffix != ".md":
        parser.error("--summary wants the name of a Markdown file, FILE.md")
    if arguments.summary and arguments.only:
        parser.error("--summary is of a whole session: leave --only out")
    if arguments.source and not arguments.summary:
        parser.error("--from wants --summary, which it writes and nothing else")
    return arguments


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 4096")
    return int(text)


def _numbers(text: str) -> list[int]:
    return sorted({_positive(part) for part in text.split(",")})


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in NETWORKS:
            raise argparse.ArgumentTypeError(f"there is no network {name!r}: choose from {', '.join(NETWORKS)}")
    return [name for name in NETWORKS if name in names]

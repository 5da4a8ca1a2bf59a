"""The command line of benchmarks/serving."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..environment import REPOSITORY

PARTS = ("rounds", "offered", "promises")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks/serving",
        description="Measures `exemplar serve` beside ONNX Runtime behind mosec, on the same network, patches and "
        "machine: patches/s and latency in interleaved rounds, latency against offered load, and what the server "
        "promises under overload, with idle connections, and when it is killed.",
        epilog="Exit status: 0 measured, whatever was reached; 1 could not measure; 2 bad arguments; 130 interrupted.",
    )
    parser.add_argument("--only", choices=PARTS, help="leave the other parts out")
    parser.add_argument("--quick", action="store_true", help="less than 90 s: shows that everything works")
    parser.add_argument("--rounds", type=int, metavar="N", help="interleaved rounds (default: 5)")
    parser.add_argument("--seconds", type=float, metavar="S", help="of one measurement (default: 2)")
    parser.add_argument("--binary", type=Path, metavar="FILE", help="another server than the one built from here")
    parser.add_argument("--model", type=Path, default=REPOSITORY / "models" / "medium", metavar="FOLDER")
    parser.add_argument("--summary", type=Path, metavar="FILE.md", help="also write the report there, and FILE.svg")
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="serving.json", help="write the summary of an earlier run")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 5)
    arguments.seconds = arguments.seconds or (0.8 if arguments.quick else 2)
    if not (1 <= arguments.rounds <= 100 and 0.1 <= arguments.seconds <= 60):
        parser.error("--rounds must be 1 to 100, --seconds 0.1 to 60")
    if arguments.summary and arguments.summary.suffix != ".md":
        parser.error("--summary wants the name of a Markdown file, FILE.md")
    if arguments.summary and arguments.only:
        parser.error("--summary is of a whole session: leave --only out")
    if arguments.source and not arguments.summary:
        parser.error("--from wants --summary, which it writes and nothing else")
    if arguments.binary and not arguments.source and not arguments.binary.is_file():
        parser.error(f"there is no {arguments.binary}")
    arguments.binary = arguments.binary and arguments.binary.resolve()
    arguments.model = arguments.model.resolve()
    return arguments

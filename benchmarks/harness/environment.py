"""The Python environment of the benchmarks: .build/bench-venv, made at the first run and whenever a pin changes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BENCHMARKS = REPOSITORY / "benchmarks"
FOLDER = REPOSITORY / ".build" / "bench-venv"


def enter(arguments: argparse.Namespace) -> None:
    """Goes on in the environment's own Python, which this process becomes."""
    python = FOLDER / "bin" / "python"
    if Path(sys.prefix).resolve() == FOLDER.resolve():
        return
    files = [BENCHMARKS / "requirements.txt"]
    if arguments.source is None and arguments.only in (None, "peers"):
        files.append(BENCHMARKS / "peers" / "requirements.txt")
    for file in files:
        _install(python, file, is_needed=file == files[0])
    os.execv(python, [str(python), *sys.argv])


def _install(python: Path, requirements: Path, is_needed: bool) -> None:
    wanted = [line for line in requirements.read_text().splitlines() if line and not line.startswith("#")]
    installed = FOLDER / f"installed-{requirements.parent.name}.txt"
    if installed.exists() and installed.read_text() == requirements.read_text():
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
    size = "" if is_needed else ", about 1.4 GB"
    print(f"Installing into {FOLDER.relative_to(REPOSITORY)}, once{size}: {', '.join(wanted)}", file=sys.stderr)
    for line in wanted:
        if not any(_pip(python, choice.strip()) for choice in line.split("||")):
            if is_needed:
                sys.exit(f"{line} could not be installed, and without it there is no report. Is there a network?")
            print(f"{line} could not be installed: that peer is left out.", file=sys.stderr)
    installed.write_text(requirements.read_text())


def _pip(python: Path, requirement: str) -> bool:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

"""The Python environment of the benchmarks, .build/bench-venv: made at the first run, each pin installed once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BENCHMARKS = REPOSITORY / "benchmarks"
FOLDER = REPOSITORY / ".build" / "bench-venv"


def enter(peers: Collection[str] | None) -> None:
    """Goes on in the environment's own Python, which this process becomes, without the settings of servers and commands
    that this shell may hold: ours is measured as it is by default.

    :param peers: packages of peers/requirements.txt to have; None for all.
    """
    for name in [name for name in os.environ if name.startswith("EXEMPLAR_")]:
        del os.environ[name]
    python = FOLDER / "bin" / "python"
    if Path(sys.prefix).resolve() == FOLDER.resolve():
        return
    _install(python, _lines(BENCHMARKS / "requirements.txt"), is_needed=True)
    lines = _lines(BENCHMARKS / "peers" / "requirements.txt")
    _install(python, [line for line in lines if peers is None or _package(line) in peers], is_needed=False)
    os.execv(python, [str(python), *sys.argv])


def _lines(requirements: Path) -> list[str]:
    return [line for line in requirements.read_text().splitlines() if line and not line.startswith("#")]


def _package(line: str) -> str:
    return re.match(r"[\w.-]*\w", line)[0]


def _install(python: Path, lines: list[str], is_needed: bool) -> None:
    installed = FOLDER / "installed.txt"
    known = installed.read_text().splitlines() if installed.exists() else []
    lines = [line for line in lines if line not in known]
    if not lines:
        return
    if not (FOLDER / "bin" / "pip").exists():
        # One that was begun where there is no ensurepip has a Python and nothing else.
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(FOLDER)], check=True)
    size = ", about 1.4 GB" if any(_package(line) == "torch" for line in lines) else ""
    print(f"Installing into {FOLDER.relative_to(REPOSITORY)}, once{size}: {', '.join(lines)}", file=sys.stderr)
    for line in lines:
        if any(_pip(python, choice.strip()) for choice in line.split("||")):
            known.append(line)
            installed.write_text("\n".join(known) + "\n")
        elif is_needed:
            sys.exit(f"{line} could not be installed, and without it there is no report.")
        else:
            print(f"{line} could not be installed: that peer is left out.", file=sys.stderr)


def _pip(python: Path, requirement: str) -> bool:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    return subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0

"""What every session begins with: an earlier run to report, or our worker to build."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .environment import BENCHMARKS, REPOSITORY

SERVER = REPOSITORY / ".build" / "release" / "exemplar"


def earlier(source: Path) -> dict | None:
    """The results of an earlier run; None, with the reason on standard error, where there are none."""
    try:
        return json.loads(source.read_text())
    except (OSError, ValueError) as error:
        print(f"{source} is no file of results of an earlier run: {error}", file=sys.stderr)
        return None


def build_worker() -> bool:
    """Builds `bench`; False where that fails, as the compiler has said."""
    build = ["swift", "build", "--package-path", str(BENCHMARKS), "--configuration", "release", "--product", "bench"]
    return subprocess.run(build, stdout=sys.stderr).returncode == 0


def build_server() -> bool:
    """Builds `exemplar` as it is shipped, so that what is measured is what the report names."""
    return subprocess.run(["make", "--no-print-directory", "build"], cwd=REPOSITORY, stdout=sys.stderr).returncode == 0

"""What every session ends with: what was measured, on disk, and an exit status, however it went."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from .environment import BENCHMARKS

RESULTS = BENCHMARKS / "results"


class SessionError(Exception):
    """One sentence: why something cannot be measured."""


def status_of(measure: Callable[[], None]) -> int:
    """The exit status of a measurement: 0, or 130 where it was interrupted, or 1 where it failed, which is said. The
    processes that it has started end by its own `finally`."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        measure()
    except KeyboardInterrupt:
        print("\nInterrupted: reporting what was measured.", file=sys.stderr)
        return 130
    except Exception as error:  # Workers and servers may fail in many ways; what was measured is kept.
        kind = "" if isinstance(error, SessionError) else f"{type(error).__name__}: "
        print(f"\nNot measured to the end: {kind}{error}", file=sys.stderr)
        return 1
    return 0


def write(
    results: dict, name: str, summary: Path | None, report: Callable[[Path], None], publish: Callable[[Path], None]
) -> int:
    """Writes the results, their report and, of a whole session, the summary. The exit status: 1 where that fails.

    :param name: of the file of results, in the folder that `report` gets.
    :param publish: writes the summary to a file.
    """
    is_published = summary is not None and results.get("complete")
    if summary is not None and not is_published:
        print(f"Nothing is written to {summary}: the session was not whole, or was wrong.", file=sys.stderr)
    try:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / name).write_text(json.dumps(results, indent=1))
        report(RESULTS)
        if is_published:
            publish(summary)
    except OSError as error:
        print(f"The report could not be written: {error}", file=sys.stderr)
        return 1
    return 0

"""What every session ends with: what was measured, on disk, and an exit status, however it went."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import beginning
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
        print("\nNot measured to the end: interrupted.", file=sys.stderr)
        return 130
    except Exception as error:  # Workers and servers may fail in many ways; what was measured is kept.
        kind = "" if isinstance(error, SessionError) else f"{type(error).__name__}: "
        print(f"\nNot measured to the end: {kind}{error}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True)
class Ending:
    """What a kind of session leaves behind.

    :ivar name: of the file of its results in `RESULTS`.
    :ivar figures: the members of the results that hold what was measured.
    :ivar report: writes the report of results into a folder.
    :ivar publish: writes the summary of results to a file.
    """

    name: str
    figures: tuple[str, ...]
    report: Callable[[dict, Path], None]
    publish: Callable[[dict, Path], None]

    def write(self, results: dict, arguments: argparse.Namespace, status: int) -> int:
        """Writes the results, their report and, of a whole session, the summary. Where nothing was measured, those of
        the session before stay.

        :param status: how the measurement ended.
        :returns: the exit status: 1 where a measurement that went well could not be written.
        """
        results["complete"] = status == 0 and arguments.only is None
        if not any(results.get(figures) for figures in self.figures):
            print("Nothing was measured, so nothing is written.", file=sys.stderr)
            return status or 1
        try:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / self.name).write_text(json.dumps(results, indent=1))
            self.report(results, RESULTS)
        except OSError as error:
            print(f"The report could not be written: {error}", file=sys.stderr)
            return status or 1
        return status or self._summarise(results, arguments.summary)

    def again(self, arguments: argparse.Namespace) -> int:
        """Writes the summary of an earlier session, and nothing else. The exit status: 1 where that fails."""
        results = beginning.earlier(arguments.source)
        return 1 if results is None else self._summarise(results, arguments.summary)

    def _summarise(self, results: dict, summary: Path | None) -> int:
        if summary is None:
            return 0
        if not results.get("complete"):
            print(f"Nothing is written to {summary}: the session was not whole, or was wrong.", file=sys.stderr)
            return 1
        try:
            self.publish(results, summary)
        except OSError as error:
            print(f"{summary} could not be written: {error}", file=sys.stderr)
            return 1
        return 0

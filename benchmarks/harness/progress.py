"""A line that says what is measured and how long the rest will take."""

from __future__ import annotations

import sys
import time


class Progress:
    """On a terminal one line that is rewritten; elsewhere a line whenever something new begins."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._start = max(total, 1), 0.0, time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def show(self, text: str, detail: str = "") -> None:
        share = self._done / self._total
        if self._is_terminal:
            left = ""
            if share > 0.02:
                seconds = (time.monotonic() - self._start) * (1 - share) / share
                left = f", {seconds / 60:.0f} min left" if seconds > 90 else f", {seconds:.0f} s left"
            sys.stderr.write(f"\r\x1b[K{share:4.0%}{left}  {text}{detail and ': ' + detail}")
        elif not detail:
            sys.stderr.write(f"{share:4.0%}  {text}\n")
        sys.stderr.flush()

    def advance(self, units: int) -> None:
        self._done += units

    def end(self) -> None:
        if self._is_terminal:
            sys.stderr.write("\r\x1b[K")

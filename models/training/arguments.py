"""Arguments of command lines, for argparse's ``type``: what they may be is checked, and told with the exit code 2."""

from __future__ import annotations

import argparse
import math
import unicodedata
from collections.abc import Callable


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number from ``least`` to ``most``."""
    bounds = f"from {least} on" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or most is not None and value > most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {bounds}")
        return value

    return parse


def number(least: float, is_least_one: bool = True) -> Callable[[str], float]:
    """A finite number from ``least`` on, or, where the least itself is none, above it."""
    bounds = f"from {least:g} on" if is_least_one else f"above {least:g}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < least or value == least and not is_least_one:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {bounds}")
        return value

    return parse


def served_name(text: str) -> str:
    """The name of a model, as a server takes it."""
    if not 1 <= len(text) <= 128 or any(unicodedata.category(character) == "Cc" for character in text):
        raise argparse.ArgumentTypeError("it must have 1 to 128 characters, none of them a control character")
    return text

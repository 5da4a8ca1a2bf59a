"""JSON-RPC: a message as a line, a line as a reply, and an error as an exception."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ._errors import ExemplarError, ProtocolError


def line(message: dict[str, Any]) -> bytes:
    """A message as a line. NumPy's numbers and arrays are taken for what they hold.

    :raises TypeError: a parameter has no form in JSON.
    :raises ValueError: a parameter is an infinity or NaN.
    """
    def plain(value: Any) -> Any:
        if isinstance(value, (np.generic, np.ndarray)):
            return value.tolist()
        raise TypeError(f"a parameter of type {type(value).__name__} has no form in JSON")

    return json.dumps(message, separators=(",", ":"), allow_nan=False, default=plain).encode("utf-8") + b"\n"


def reply(text: bytes, server: str) -> dict[str, Any]:
    """The reply in a line, with either a ``result`` or an ``error``.

    :raises ProtocolError: the line holds none; ``server`` is who sent it.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ProtocolError(f"{server} sent a line that is not JSON.") from error
    if not isinstance(found, dict) or ("result" in found) == ("error" in found):
        raise ProtocolError(f"{server} sent a line that is no reply of JSON-RPC 2.0.")
    return found


def error(member: Any, kind: type[ExemplarError] = ExemplarError) -> Exception:
    """What to raise for a reply's ``error``."""
    try:
        return kind(int(member["code"]), str(member["message"]), member.get("data"))
    except (KeyError, TypeError, ValueError, AttributeError):
        return ProtocolError("The server sent an error that is not the documented one.")

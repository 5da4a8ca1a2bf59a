"""Servers that the evaluation starts, by one that is made up: a script that tells what it was given."""

import json
import os
import sys

import pytest

from . import served

SCRIPT = """#!{python}
import json, os, pathlib, signal, socket, sys, time
if {is_deaf}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
told = {{"pid": os.getpid(), "variables": [name for name in os.environ if name.startswith("EXEMPLAR_")]}}
pathlib.Path(sys.argv[3], "told.json").write_text(json.dumps(told))
listener = socket.create_server(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], file=sys.stderr, flush=True)
time.sleep(600)
"""


def served_by(tmp_path, is_deaf: bool) -> dict:
    """What a server of the folder told, which has ended since."""
    binary = tmp_path / "server"
    binary.write_text(SCRIPT.format(python=sys.executable, is_deaf=is_deaf))
    binary.chmod(0o755)
    with served.running(binary, tmp_path) as client:
        assert client is not None
    told = json.loads((tmp_path / "told.json").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(told["pid"], 0)
    return told


def test_a_server_that_does_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(served, "STOP_TIMEOUT", 0.5)
    served_by(tmp_path, is_deaf=True)


def test_a_server_has_its_defaults(tmp_path, monkeypatch):
    monkeypatch.setenv("EXEMPLAR_THREADS", "1")
    assert served_by(tmp_path, is_deaf=False)["variables"] == []

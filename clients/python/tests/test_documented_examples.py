"""The examples of docs/protocol.md, extracted and run as they stand, but for the port."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY

PROTOCOL = (REPOSITORY / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^```(\w+) example\n(.*?)^```$", PROTOCOL, re.MULTILINE | re.DOTALL))


def run(command, example, port):
    assert example.count("7350") == 1
    done = subprocess.run(
        command, input=example.replace("7350", str(port)), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_are_there_and_short():
    assert set(EXAMPLES) == {"bash", "python"}
    assert all(len(text.strip().splitlines()) <= 10 for text in EXAMPLES.values())


def test_nc(real_server):
    if not shutil.which("nc"):
        pytest.skip("nc is not installed")
    replies = {reply["id"]: reply for reply in map(json.loads, run(["bash"], EXAMPLES["bash"], real_server[1]).splitlines())}
    assert set(replies) == {1, "noise"}
    assert replies[1]["result"]["protocol"] == 1
    assert len(replies["noise"]["result"]["embeddings"]) == 1


def test_python(real_server):
    output = run([sys.executable, "-"], EXAMPLES["python"], real_server[1])
    dimension, values = output.split(maxsplit=1)
    assert int(dimension) > 0 and len(values.split(",")) == 4

"""The examples of docs/protocol.md and README.md, extracted and run as they stand, but for the port."""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from exemplar_client import Client

PROTOCOL = (REPOSITORY / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^```(\w+) example\n(.*?)^```$", PROTOCOL, re.MULTILINE | re.DOTALL))

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
[README_PYTHON] = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
README_COMMANDS = re.findall(r"^    \.build/release/exemplar (.*)$", README, re.MULTILINE)


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
    lines = run(["bash"], EXAMPLES["bash"], real_server[1]).splitlines()
    replies = {reply["id"]: reply for reply in map(json.loads, lines)}
    assert set(replies) == {1, "noise"}
    assert replies[1]["result"]["protocol"] == 1
    assert len(replies["noise"]["result"]["embeddings"]) == 1


def test_python(real_server):
    output = run([sys.executable, "-"], EXAMPLES["python"], real_server[1])
    dimension, values = output.split(maxsplit=1)
    assert int(dimension) > 0 and len(values.split(",")) == 4


def test_the_python_of_the_readme(real_server):
    output = run([sys.executable, "-"], README_PYTHON + "print(embeddings.shape)\n", real_server[1])
    rows, columns = json.loads(output.replace("(", "[").replace(")", "]"))
    assert rows == 100 and columns > 0


def exemplar(binary, command, tmp_path, port=None):
    """Runs a command line of the README, from another folder, so that what it writes goes there."""
    for name in ("docs", "models"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    environment = {**os.environ, **({"EXEMPLAR_PORT": str(port)} if port else {})}
    done = subprocess.run(
        [binary, *shlex.split(command)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_shows_both_ways():
    assert [" --model " in command for command in README_COMMANDS] == [False, True]


def test_the_command_without_a_server(binary, tmp_path):
    assert exemplar(binary, README_COMMANDS[1], tmp_path) == ""
    assert np.load(tmp_path / "eyes.npy").shape == (2, 128)


def test_the_command_with_a_server(binary, real_server, tmp_path):
    served = json.loads(exemplar(binary, README_COMMANDS[0], tmp_path, real_server[1]))
    assert served["patches"] == [{"file": "docs/sample.jpg", "x": 157, "y": 92}]
    (tmp_path / "local").mkdir()
    command = f"{README_COMMANDS[0]} --model models/{served['model']}"
    local = json.loads(exemplar(binary, command, tmp_path / "local"))
    assert served == local


def documented_results(method):
    """The words of the section on a method, from "Result" on, that stand for members."""
    [section] = re.findall(rf"^## `{method}`$(.*?)^## ", PROTOCOL, re.MULTILINE | re.DOTALL)
    [_, result] = re.split(r"^Result:", section, flags=re.MULTILINE)
    return set(re.findall(r"[`\"](\w+)[`\"]", result))


@pytest.mark.parametrize("method", ["embed", "classify", "transform"])
def test_every_member_of_a_result_is_documented(real_server, method):
    patch = base64.b64encode(bytes(3072)).decode()
    own = {"translation": [0, 0], "scale": 1, "rotation_degrees": 0, "contrast": [1, 1, 1], "hue": 0}
    own["color"] = {"power": [1, 1], "factor": [1, 1], "offset": [0, 0]}
    transforms = [{"mode": "sample"}, {"mode": "mean", "samples": 2, "standard_errors": True}, {"parameters": [own]}]
    with Client(*real_server, timeout=60) as client:
        for transform in transforms:
            result = client.call(method, patches=[patch], model="small", transform=transform)
            assert set(result) <= documented_results(method)
            # Told once, for all.
            assert set(result.get("transform", {})) <= documented_results("embed")
            drawn = result.get("transform", result)
            assert (drawn["seed"] is None) == ("parameters" in transform)

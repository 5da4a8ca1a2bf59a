"""The examples of the client's README, run as they stand but for the port."""

import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from local_embedding import write_png

README = (REPOSITORY / "clients" / "python" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
CHECKS = """
assert vectors.shape[0] == pooled.shape[0] == unit.shape[0] == 100
assert np.array_equal(same, one) and views.shape == (20, 8, 32, 32, 3)
assert [len(row) for row in best] == [3, 3] and len(files) == len(large) == 1
"""


def run(script, folder):
    done = subprocess.run(
        [sys.executable, "-"], input=script, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_its_own_network(binary, tmp_path):
    [block] = [block for block in BLOCKS if "import export" in block]
    run("import numpy as np\n" + block, tmp_path)
    command = [binary, "model", "--model", tmp_path / "odd", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and '"passed"' in done.stdout, done.stderr


def test_everything_in_order(real_server, tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    write_png(tmp_path / "eye.png", np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    run("".join(BLOCKS).replace("7350", str(real_server[1])) + CHECKS, tmp_path)

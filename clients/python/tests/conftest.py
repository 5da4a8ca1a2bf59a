"""A server in the same process, and the real one, where there is one: EXEMPLAR_BINARY names the built `exemplar`."""

import contextlib
import os
import pathlib
import re
import subprocess
import threading

import numpy as np
import pytest
from exemplar_client import Client
from fake_server import FakeServer

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
START_TIMEOUT = 60
SEED = 21

BINARY = os.environ.get("EXEMPLAR_BINARY")
# The servers and commands of the tests are set by the tests alone, whatever this shell has set for others.
for name in [name for name in os.environ if name.startswith("EXEMPLAR_")]:
    del os.environ[name]


@pytest.fixture
def server():
    """A server made up for the tests."""
    with FakeServer() as server:
        yield server


@pytest.fixture
def client(server):
    """A client of `server`."""
    with Client(port=server.port, timeout=10) as client:
        yield client


@pytest.fixture(scope="session")
def binary():
    """The path of the built `exemplar`."""
    if not BINARY:
        pytest.skip("EXEMPLAR_BINARY names no built server")
    return BINARY


@contextlib.contextmanager
def serving(binary, *options):
    """Host and port of `exemplar serve` with these options, which has to end well."""
    command = [binary, "serve", "--models", str(REPOSITORY / "models"), "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    # A server that neither listens nor ends would otherwise hold up the tests for ever.
    watchdog = threading.Timer(START_TIMEOUT, process.kill)
    watchdog.start()
    log = []
    drain = None
    try:
        address = None
        for line in process.stderr:
            log.append(line)
            address = re.search(r"listening on (\S+):(\d+)", line)
            if address:
                break
        watchdog.cancel()
        if not address:
            pytest.fail(f"{' '.join(command)} ended without listening:\n{''.join(log)}")
        # The log has to be read on, or the server would one day wait for room in the pipe.
        drain = threading.Thread(target=lambda: log.extend(process.stderr), daemon=True)
        drain.start()
        yield address[1], int(address[2])
        assert process.poll() is None, f"the server ended by itself:\n{''.join(log)}"
    finally:
        watchdog.cancel()
        process.terminate()
        try:
            status = process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        if drain:
            drain.join(timeout=10)
    assert status == 0, f"SIGTERM should end the server with status 0, not {status}:\n{''.join(log)}"


@pytest.fixture(scope="session")
def real_server(binary):
    """Host and port of a running `exemplar serve`."""
    with serving(binary) as address:
        yield address


@pytest.fixture
def real_client(real_server):
    """A client of the real server."""
    with Client(*real_server, timeout=60) as client:
        yield client


@pytest.fixture
def patches(real_client):
    """Noise in the real model's patch size, uint8 [n, H, W, C]."""
    shape = real_client.model()["patch_shape"]

    def make(count):
        return np.random.default_rng(SEED).integers(0, 256, (count, *shape), dtype=np.uint8)

    return make


@pytest.fixture
def contexts(real_client):
    """Patches with surroundings that hold every draw: smooth noise, uint8 [n, H, W, C]."""
    height, width, channels = real_client.model()["patch_shape"]

    def make(count):
        random = np.random.default_rng(SEED)
        coarse = random.integers(0, 256, (count, 10, 10, channels))
        return coarse.repeat(8, axis=1).repeat(8, axis=2)[:, : height * 37 // 16, : width * 37 // 16].astype(np.uint8)

    return make


def is_settled(client):
    """Whether a client waits for no reply, keeps none, and has none to come that nobody wants."""
    requests = client._requests
    return not (requests._awaited or requests._replies or requests._unwanted)


def assert_close(found, expected, tolerance=1e-4):
    """Relative RMS; sums in another order differ by rounding alone."""
    assert np.sqrt(np.mean((found - expected) ** 2)) <= tolerance * np.sqrt(np.mean(expected**2))

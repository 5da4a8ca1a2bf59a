"""The real server, where there is one: EXEMPLAR_BINARY names the built `exemplar`."""

import base64
import os
import pathlib
import re
import subprocess
import threading

import pytest
from exemplar_client import Client, ExemplarError

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
START_TIMEOUT = 60


@pytest.fixture(scope="session")
def binary():
    """The path of the built `exemplar`."""
    binary = os.environ.get("EXEMPLAR_BINARY")
    if not binary:
        pytest.skip("EXEMPLAR_BINARY names no built server")
    return binary


@pytest.fixture(scope="session")
def real_server(binary):
    """Host and port of a running `exemplar serve`."""
    command = [binary, "serve", "--models", str(REPOSITORY / "models"), "--port", "0"]
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


def skip_unless_served(address, method, **params):
    """Skips the test where the server at ``address`` does not know a method or parameter yet."""
    with Client(*address, timeout=60) as client:
        height, width, channels = client.model()["patch_shape"]
        try:
            client.call(method, patches=[base64.b64encode(bytes(height * width * channels)).decode()], **params)
        except ExemplarError as error:
            if error.code not in (-32004, -32601):
                raise
            pytest.skip(f"the server does not serve this yet: {error.message}")

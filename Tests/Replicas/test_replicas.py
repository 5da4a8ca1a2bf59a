"""Two servers behind HAProxy with the configuration of deploy/compose: one ends under load, clients hardly notice.

    EXEMPLAR_BINARY=.build/release/exemplar python3 -m unittest discover --start-directory Tests/Replicas

Clients connect through HAProxy, keep several requests in flight, and compare every answer with the one that a server
gave before. Where a connection ends they connect again and repeat what was not answered: requests change nothing.
"""

import base64
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("EXEMPLAR_BINARY", str(REPOSITORY / ".build" / "release" / "exemplar"))
MODEL = REPOSITORY / "models" / "small"
RETRYABLE = {-32000, -32001}
CLIENTS, PIPELINE, SEED = 12, 4, 1406


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(is_so, what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError(f"after {seconds} s not yet: {what}")


def request(number, patch):
    message = {"jsonrpc": "2.0", "id": number, "method": "embed", "params": {"patches": [patch]}}
    return json.dumps(message).encode() + b"\n"


class Replica:
    def __init__(self, folder, name):
        self.name, self.log = name, folder / f"{name}.log"
        self.port, self.metrics = free_ports(2)
        self.process = None

    def start(self):
        command = [BINARY, "serve", "--model", str(MODEL), "--threads", "1", "--port", str(self.port)]
        # Settings that this shell may hold are no part of the test.
        own = {name: value for name, value in os.environ.items() if not name.startswith("EXEMPLAR_")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*command, "--metrics-port", str(self.metrics)], stderr=log, env=own)
        wait_until(self.listens, f"{self.name} listens: {self.log.read_text()}")

    def listens(self):
        try:
            return self.call("ready") == {"status": "ok"}
        except OSError:
            return False

    def call(self, method, **params):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            message = {"jsonrpc": "2.0", "id": 0, "method": method, "params": params}
            connection.sendall(json.dumps(message).encode() + b"\n")
            return json.loads(connection.makefile("rb").readline()).get("result")

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Clients:
    """Clients in a closed loop, each a thread with a connection through HAProxy."""

    def __init__(self, port, patches, answers):
        self.port, self.patches, self.answers = port, patches, answers
        self.lock = threading.Lock()
        self.answered = self.repeated = self.connections = 0
        self.failures = []
        self.is_over = False
        self.threads = [threading.Thread(target=self.run, args=(SEED + index,)) for index in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()

    def run(self, seed):
        draw = random.Random(seed)
        pending, last = {}, 0
        while not self.failures and (pending or not self.is_over):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
                    with self.lock:
                        self.connections += 1
                        self.repeated += len(pending)
                    for number, index in pending.items():
                        connection.sendall(request(number, self.patches[index]))
                    lines = connection.makefile("rb")
                    while pending or not self.is_over:
                        while len(pending) < PIPELINE and not self.is_over:
                            last += 1
                            pending[last] = draw.randrange(len(self.patches))
                            connection.sendall(request(last, self.patches[pending[last]]))
                        if not pending:
                            break
                        line = lines.readline()
                        if not line.endswith(b"\n"):
                            break  # The connection ended, maybe within a reply: what is pending is repeated.
                        self.take(json.loads(line), pending)
            except ConnectionError:
                time.sleep(0.02)
            except Exception as error:  # A reply that is none is one of many kinds.
                self.failures.append(repr(error))

    def take(self, reply, pending):
        number = reply["id"]
        if number not in pending:
            raise AssertionError(f"a reply to a request that is not in flight: {reply}")
        index = pending.pop(number)
        if "error" in reply:
            # Refused, not admitted: it may be asked for again, and here it is not.
            if reply["error"]["code"] not in RETRYABLE:
                raise AssertionError(f"an error that is not for trying again: {reply}")
            return
        if reply["result"]["embeddings"] != self.answers[index]:
            raise AssertionError(f"a wrong answer to request {number}")
        with self.lock:
            self.answered += 1


@unittest.skipUnless(shutil.which("haproxy"), "haproxy is not installed: apt-get install haproxy")
@unittest.skipUnless(Path(BINARY).is_file(), f"there is no {BINARY}: make build, or set EXEMPLAR_BINARY")
class ReplicasTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="exemplar-replicas-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.replicas = [Replica(self.folder, f"replica-{number}") for number in (1, 2)]
        for replica in self.replicas:
            self.addCleanup(replica.close)
            replica.start()
        self.front, state = free_ports(2)
        file = self.folder / "haproxy.cfg"
        file.write_text(self.configuration(state))
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.haproxy = subprocess.Popen(["haproxy", "-f", str(file)], **quiet)
        self.addCleanup(self.haproxy.wait)
        self.addCleanup(self.haproxy.kill)
        draw = random.Random(SEED)
        self.patches = [base64.b64encode(draw.randbytes(32 * 32 * 3)).decode() for _ in range(32)]
        self.answers = [self.replicas[0].call("embed", patches=[patch])["embeddings"] for patch in self.patches]
        wait_until(lambda: self.reaches(), "HAProxy passes requests on")

    def configuration(self, state):
        """The shipped one, with addresses of this machine."""
        text = (REPOSITORY / "deploy" / "compose" / "haproxy.cfg").read_text()
        changes = [("bind :7350", f"bind 127.0.0.1:{self.front}"), ("bind :8404", f"bind 127.0.0.1:{state}")]
        for replica in self.replicas:
            changes.append(
                (
                    f"server {replica.name} {replica.name}:7350",
                    f"server {replica.name} 127.0.0.1:{replica.port} port {replica.metrics}",
                )
            )
        for shipped, here in changes:
            self.assertEqual(len(re.findall(re.escape(shipped) + r"\b", text)), 1, shipped)
            text = text.replace(shipped, here)
        return text

    def reaches(self):
        try:
            with socket.create_connection(("127.0.0.1", self.front), timeout=5) as connection:
                connection.sendall(request(1, self.patches[0]))
                return connection.makefile("rb").readline().endswith(b"\n")
        except OSError:
            return False

    def survive(self, number):
        first, second = self.replicas
        clients = Clients(self.front, self.patches, self.answers)
        self.addCleanup(clients.stop)
        wait_until(lambda: clients.answered > 200 or clients.failures, "answers")
        before = {replica.name: replica.call("stats")["patches"] for replica in self.replicas}
        for replica in self.replicas:
            self.assertGreater(before[replica.name], len(self.patches), "one replica got no load")
        status = first.end(number)
        self.assertEqual(status, 0 if number == signal.SIGTERM else -number)
        at = clients.answered
        wait_until(lambda: clients.answered > at + 1000 or clients.failures, "answers of the other replica")
        self.assertEqual(clients.failures, [])
        self.assertGreaterEqual(second.call("stats")["patches"], before[second.name] + 1000 - CLIENTS * PIPELINE)
        # Every client went on, those of the one that ended on new connections.
        self.assertGreater(clients.connections, CLIENTS)
        first.start()

        def is_back():
            self.assertTrue(self.reaches())
            return first.call("stats")["patches"] > 0

        wait_until(is_back, "the replica that came back gets connections")
        clients.stop()
        self.assertEqual(clients.failures, [])
        name = signal.Signals(number).name
        print(f"{name}: {clients.answered} answers, all right; {clients.repeated} requests repeated; seed {SEED}")

    def test_a_slow_drain_is_not_cut_off(self):
        """A replica is marked as down long before it has answered all: the proxy leaves its connections."""
        first, _ = self.replicas
        # The one with fewest connections gets the next: one each.
        clients = [socket.create_connection(("127.0.0.1", self.front), timeout=30) for _ in self.replicas]
        for client in clients:
            self.addCleanup(client.close)
            client.sendall(request(1, self.patches[0]))
            self.assertTrue(client.makefile("rb").readline().endswith(b"\n"))
        first.process.send_signal(signal.SIGSTOP)
        for client in clients:
            client.sendall(request(2, self.patches[1]))
        waiting = [client for client in clients if not select.select([client], [], [], 5)[0]]
        self.assertEqual(len(waiting), 1, "each replica has one of the connections")
        first.process.send_signal(signal.SIGTERM)
        time.sleep(5)
        self.assertTrue(self.reaches(), "the other replica serves")
        first.process.send_signal(signal.SIGCONT)
        reply = waiting[0].makefile("rb").readline()
        self.assertTrue(reply.endswith(b"\n"), "the connection was cut off")
        self.assertIn(json.loads(reply).get("error", {}).get("code"), (None, -32001))
        self.assertEqual(first.process.wait(timeout=30), 0)

    def test_killed(self):
        self.survive(signal.SIGKILL)

    def test_drained(self):
        self.survive(signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()

"""Clients of a round of the soak: some behave, some do not. Each runs on a thread of its own until the round ends."""

import base64
import json
import math
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib


class Failure(Exception):
    """The server did something that it must not."""


class Closed(Failure):
    """It closed a connection that behaved."""


class Client:
    """A plain socket with lines; it shows the token first, where there is one."""

    def __init__(self, port, token=None, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")
        if token:
            self.call("auth", token=token)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise Closed("the server closed a connection that behaved")
        return json.loads(line)

    def call(self, method, **params):
        self.send(request(0, method, **params))
        reply = self.reply()
        if "error" in reply:
            raise Failure(f"{method}: {reply['error']}")
        return reply["result"]

    def reset(self):
        """Closes so that the server gets a reset in place of an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def request(number, method, **params):
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def png(pixels, height, width):
    """8 bits, RGB, without filters."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + pixels[row * width * 3 : (row + 1) * width * 3] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Load:
    """What the clients of every round share: the server, patches with the answers that they must get, and counts."""

    # ĝ, stopped early where the patch allows; and images, the largest of which takes the network a hundred megabytes.
    MEAN = {"mode": "mean", "samples": 32, "seed": 5, "tolerance": 0.05}
    SIZES = [(40, 56), (97, 200), (300, 200), (400, 600)]

    def __init__(self, port, token=None, seed=7):
        self.port, self.token = port, token
        self.random = random.Random(seed)
        self.counts = {"replies": 0, "overloaded": 0, "connections": 0}
        self.failures = []
        self.lock = threading.Lock()
        # By model and place.
        self.answers, self.means, self.image_answers = {}, {}, {}
        self.images = [
            {"images": [base64.b64encode(png(self.random.randbytes(h * w * 3), h, w)).decode()], "pool": pool}
            for (h, w), pool in zip(self.SIZES, ["max", "mean", "quadrant", "max"])
        ]
        with Client(port, token) as client:
            shapes = {model["name"]: model["patch_shape"] for model in client.call("models")["models"]}
            self.models = list(shapes)
            self.patches = {
                name: [base64.b64encode(self.random.randbytes(math.prod(shape))).decode() for _ in range(64)]
                for name, shape in shapes.items()
            }
            for name, patches in self.patches.items():
                def answer(**params):
                    return client.call("embed", model=name, **params)["embeddings"]

                self.answers |= {(name, index): answer(patches=[patch])[0] for index, patch in enumerate(patches)}
                means = [answer(patches=[patch], transform=self.MEAN)[0] for patch in patches[:8]]
                self.means |= {(name, index): mean for index, mean in enumerate(means)}
                self.image_answers |= {(name, index): answer(**image) for index, image in enumerate(self.images)}

    def run_round(self, seconds):
        """Runs every kind of client for a while. Returns when all of them have ended."""
        end = time.monotonic() + seconds
        kinds = [self.steady, self.steady, self.churn, self.pipeline, self.average, self.picture]
        kinds += [self.break_off, self.never_read, self.talk_nonsense, self.kill_clients]
        threads = [threading.Thread(target=self.guarded, args=(kind, end, self.random.random())) for kind in kinds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def guarded(self, kind, end, seed):
        draw = random.Random(seed)
        try:
            while time.monotonic() < end and not self.failures:
                kind(draw, end)
        except Exception as error:  # A reply that is none is one of many kinds.
            self.failures.append(f"{kind.__name__}: {error!r}")

    def count(self, name, number=1):
        with self.lock:
            self.counts[name] += number

    def connect(self, **options):
        self.count("connections")
        return Client(self.port, self.token, **options)

    def embed(self, draw, number, **params):
        return self.ask(draw, number, draw.choice([1, 1, 2, 8]), self.answers, **params)

    def ask(self, draw, number, count, answers, **params):
        """Some of the patches of one model that have answers, and the request for them."""
        name = draw.choice(self.models)
        chosen = draw.choices([key for key in answers if key[0] == name], k=count)
        patches = [self.patches[name][index] for _, index in chosen]
        return chosen, request(number, "embed", model=name, patches=patches, **params)

    def check(self, reply, chosen, answers):
        """An answer is the one that the patch has always had, bit for bit, or a refusal for want of room."""
        if "error" in reply:
            if reply["error"]["code"] != -32000:
                raise Failure(f"{reply['error']}")
            self.count("overloaded")
        elif reply["result"]["embeddings"] != (chosen if answers is None else [answers[key] for key in chosen]):
            raise Failure("the same patch got another answer")
        self.count("replies")

    def steady(self, draw, end):
        """One connection with sixteen requests under way."""
        with self.connect() as client:
            waiting = {}
            number = 0
            while time.monotonic() < end or waiting:
                while len(waiting) < 16 and time.monotonic() < end:
                    waiting[number], line = self.embed(draw, number)
                    client.send(line)
                    number += 1
                if waiting:
                    reply = client.reply()
                    if reply["id"] not in waiting:
                        raise Failure(f"a reply to a request that is not in flight: {reply}")
                    self.check(reply, waiting.pop(reply["id"]), self.answers)

    def churn(self, draw, _):
        with self.connect() as client:
            client.call("ready")
            chosen, line = self.embed(draw, 1)
            client.send(line)
            self.check(self.reply_to(1, client), chosen, self.answers)

    def reply_to(self, number, client):
        reply = client.reply()
        if reply["id"] != number:
            raise Failure(f"a reply to another request than {number}: {reply}")
        return reply

    def average(self, draw, _):
        """ĝ of a few patches at a time."""
        with self.connect() as client:
            for number in range(draw.randrange(1, 6)):
                chosen, line = self.ask(draw, number, draw.choice([1, 2]), self.means, transform=self.MEAN)
                client.send(line)
                self.check(self.reply_to(number, client), chosen, self.means)

    def picture(self, draw, _):
        """Images of several sizes, some of which break off; their clients wait, or leave."""
        with self.connect() as client:
            chosen = [(draw.choice(self.models), draw.randrange(len(self.images))) for _ in range(3)]
            for number, (name, index) in enumerate(chosen):
                client.send(request(number, "embed", model=name, **self.images[index]))
            if draw.random() < 0.2:
                return
            client.send(request("bad", "embed", images=[self.images[0]["images"][0][:-400]], pool="max"))
            for _ in range(4):
                reply = client.reply()
                if reply["id"] == "bad":
                    if reply.get("error", {}).get("code") not in (-32006, -32000):
                        raise Failure(f"a broken image was answered with {reply}")
                else:
                    self.check(reply, self.image_answers[chosen[reply["id"]]], None)

    def pipeline(self, draw, _):
        count = draw.choice([10, 1000, 5000])
        with self.connect() as client:
            lines = b"".join(request(number, "ready") for number in range(count))
            writer = threading.Thread(target=client.send, args=(lines,))
            writer.start()
            seen = {client.reply()["id"] for _ in range(count)}
            writer.join()
            if seen != set(range(count)):
                raise Failure("a request was not answered exactly once")
            self.count("replies", count)

    def break_off(self, draw, _):
        """Leaves in the middle of a request or of a reply, politely or not."""
        with self.connect(receive_buffer=4096) as client:
            _, line = self.embed(draw, 1, layers="all")
            if draw.random() < 0.5:
                client.send(line[: draw.randrange(1, len(line))])
            else:
                client.send(line * draw.randrange(1, 8))
                if draw.random() < 0.5:
                    client.socket.recv(1)
            if draw.random() < 0.5:
                client.reset()

    def never_read(self, draw, end):
        with self.connect(receive_buffer=4096) as client:
            client.socket.settimeout(0.5)
            try:
                while time.monotonic() < end:
                    client.send(self.embed(draw, 1, layers="all")[1])
            except (TimeoutError, ConnectionError):
                # Nothing is taken any more, or the server has lost its patience: both are right.
                pass

    def talk_nonsense(self, draw, _):
        patch = self.patches[self.models[0]][0]
        noise = [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", draw.randbytes(3000) + b"\n", b"[" * 100 + b"\n", b"[]\n", b"{}\n",
            b"x" * (5 << 20) + b"\n", request(1, "embed", patches=["!"]),
            request(2, "embed", patches=[patch] * 300),
            request(3, "embed", patches=[patch], deadline_ms=0),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
        ]
        with self.connect() as client:
            for line in draw.sample(noise, 3):
                client.send(line)
            client.send(request("end", "live"))
            while (reply := client.reply())["id"] != "end":
                if "error" not in reply:
                    raise Failure(f"nonsense was answered with {reply}")

    def kill_clients(self, draw, _):
        """A process that asks and reads, killed in the middle."""
        _, line = self.embed(draw, 1)
        lines = request(0, "auth", token=self.token) + line if self.token else line
        program = (
            "import socket, sys\n"
            "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
            "lines = sys.stdin.buffer.read()\n"
            "while True:\n    s.sendall(lines * 4)\n    s.recv(4096)\n"
        )
        child = subprocess.Popen([sys.executable, "-c", program, str(self.port)], stdin=subprocess.PIPE)
        child.stdin.write(lines)
        child.stdin.close()
        time.sleep(draw.uniform(0.1, 0.5))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        self.count("connections")

#!/usr/bin/env python3
"""Fault injection: system calls of a server fail, and it goes on serving.

    Tests/Soak/faults.py --binary .build/release/exemplar --model models/medium

Each row makes one function fail with one error while clients work: who is connected gets right answers, or where the
fault is of a connection's own, loses it and may come again; what fails is logged; and when the fault is over everything
works. The exit status is 1 where anything else happens, or where a fault was never met.
"""

import argparse
import contextlib
import errno
import os
import pathlib
import signal
import sys
import tempfile
import time

import preload
import soak
from load import Client, Closed, Failure, Load


class Faults:
    """The folder that faults.c looks into."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    @contextlib.contextmanager
    def fail(self, function, code, every=1, least=0):
        """While in it, each `every`-th call of `function`, for mmap of `least` bytes or more, fails with `code`."""
        file = self.folder / function
        # Whole or not at all: the server reads it at any time.
        new = self.folder / "new"
        new.write_text(f"{code} {every} {least}")
        os.replace(new, file)
        try:
            yield
        finally:
            file.unlink()

    def injected(self):
        file = self.folder / "injected"
        return len(file.read_text().splitlines()) if file.exists() else 0


class Bench:
    """A server under faults, with a client that was there before them."""

    def __init__(self, server, port, log, faults):
        self.server, self.port, self.log, self.faults = server, port, log, faults
        self.load = Load(port)
        self.client = Client(port)

    def works(self, client, count=20):
        """The client's requests, each answered as always: alone, as they come here, none is too much."""
        for number in range(count):
            chosen, line = self.load.embed(self.load.random, number)
            client.send(line)
            self.load.check(client.reply(), chosen, self.load.answers)
        if self.load.counts["overloaded"]:
            raise Failure("a request was refused for want of room")

    def logged(self, text, skip):
        """Waits until the log has `text` once more than `skip` times."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if pathlib.Path(self.log).read_text().count(text) > skip:
                return
            time.sleep(0.02)
        raise Failure(f"the log has no '{text}'")

    def times(self, text):
        return pathlib.Path(self.log).read_text().count(text)

    def nothing_shows(self, function, code, every=2):
        """Calls that are repeated: nobody notices."""
        with self.faults.fail(function, code, every):
            self.works(self.client)
            with Client(self.port) as another:
                self.works(another)

    def nobody_new(self, function, code, text):
        """No connection can be taken: those that are there are served, and new ones as soon as it is over."""
        before = self.times(text)
        with self.faults.fail(function, code), Client(self.port) as waiting:
            self.works(self.client)
            self.logged(text, before)
            works_at_last = function == "accept4"
            if not works_at_last:
                self.is_closed(waiting)
            with self.faults_over(function):
                if works_at_last:
                    self.works(waiting)
                with Client(self.port) as another:
                    self.works(another)

    @contextlib.contextmanager
    def faults_over(self, function):
        file = self.faults.folder / function
        text = file.read_text()
        file.unlink()
        try:
            yield
        finally:
            file.write_text(text)

    def is_closed(self, client):
        try:
            if client.file.readline():
                raise Failure("a connection that cannot be watched got an answer")
        except ConnectionError:
            pass

    def connections_break(self, function, code):
        """A connection is lost now and then, and its client comes again."""
        lost = 0
        with self.faults.fail(function, code, 5):
            for _ in range(40):
                try:
                    with Client(self.port) as client:
                        self.works(client, 3)
                except (Closed, ConnectionError):
                    lost += 1
        if not 0 < lost < 40:
            raise Failure(f"{lost} of 40 connections were lost")
        # The old one may be among them.
        self.client = Client(self.port)

    def reload_fails(self, function, code, least=0):
        """The models cannot be loaded again: the old ones go on, and the log says why."""
        text = "the old ones go on"
        before = self.times(text)
        with self.faults.fail(function, code, 1, least):
            self.server.send_signal(signal.SIGHUP)
            self.logged(text, before)
            self.works(self.client)
        self.reload()

    def reload(self):
        """The models are loaded again."""
        before = self.times("info reloaded")
        self.server.send_signal(signal.SIGHUP)
        self.logged("info reloaded", before)

    def reload_repeats(self, function, code):
        """Every other call is repeated: the models are loaded again as ever."""
        with self.faults.fail(function, code, 2):
            self.reload()


def rows(bench, weights):
    """Name, errno, and what to do.

    weights: the size of the model's weights file.
    """
    full = "cannot accept"
    # Only the weights file and the models' weights and maps are as large in one piece.
    large = 8 << 20
    for name in ["recv", "send", "read", "write", "epoll_wait", "accept4"]:
        yield name, errno.EINTR, lambda name=name: bench.nothing_shows(name, errno.EINTR)
    yield "accept4", errno.ECONNABORTED, lambda: bench.nothing_shows("accept4", errno.ECONNABORTED)
    for code in [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS]:
        yield "accept4", code, lambda code=code: bench.nobody_new("accept4", code, full)
    for code in [errno.ENOMEM, errno.ENOSPC]:
        yield "epoll_ctl", code, lambda code=code: bench.nobody_new("epoll_ctl", code, "cannot watch")
    broken = [("recv", errno.ENOMEM), ("recv", errno.ECONNRESET), ("send", errno.EPIPE), ("send", errno.ENOBUFS)]
    for name, code in broken:
        yield name, code, lambda name=name, code=code: bench.connections_break(name, code)
    for name, code, least in [
        # First what lasts, in pieces larger than the weights file: later reloads get what earlier ones gave back,
        # without a call. Then the file.
        ("mmap-memory", errno.ENOMEM, weights + 1), ("mmap-memory", errno.ENOMEM, large),
        ("open", errno.EMFILE, 0), ("open", errno.ENOMEM, 0), ("read-file", errno.EIO, 0), ("pread", errno.EIO, 0),
        ("pthread_create", errno.EAGAIN, 0),
    ]:
        yield name, code, lambda name=name, code=code, least=least: bench.reload_fails(name, code, least)
    yield "pread", errno.EINTR, lambda: bench.reload_repeats("pread", errno.EINTR)


def run(binary, model):
    with preload.folder() as folder, tempfile.NamedTemporaryFile("w", prefix="exemplar-faults-") as log:
        library = preload.build(folder)
        environment = {**os.environ, "LD_PRELOAD": library, "FAULTS": folder}
        server, port = soak.start(binary, ["--model", model], log, environment)
        faults = Faults(folder)
        try:
            bench = Bench(server, port, log.name, faults)
            print(f"{'function':<16}{'error':<16}{'injected':>9}")
            for function, code, act in rows(bench, os.path.getsize(os.path.join(model, "model.safetensors"))):
                before = faults.injected()
                act()
                bench.works(bench.client)
                count = faults.injected() - before
                print(f"{function:<16}{errno.errorcode[code]:<16}{count:9}", flush=True)
                if not count:
                    raise Failure(f"{function} was never made to fail")
                if server.poll() is not None:
                    raise Failure(f"the server ended with status {server.returncode}")
            server.send_signal(signal.SIGTERM)
            bench.client.__exit__()
            if server.wait(60) != 0:
                raise Failure(f"after SIGTERM the server ended with status {server.returncode}")
        except (Failure, OSError) as error:
            sys.exit(f"{error!r}\n{pathlib.Path(log.name).read_text()[-4000:]}")
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make system calls of a server fail, and see that it goes on.")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--model", required=True)
    arguments = parser.parse_args()
    run(arguments.binary, arguments.model)

#!/usr/bin/env python3
"""Soak: a server under every kind of client for a long time, and whether its memory grows.

    Tests/Soak/soak.py --binary .build/release/exemplar --model models/small --minutes 30

Clients run in rounds; between two rounds all of them are gone and the server rests, so that its figures can be
compared. In every round it gets one SIGHUP. After the first third of the run, which warms up, the allocator's active
bytes may grow by 0.5 MB, or by 2 MB in one step; memory outside the allocator by 8 MB; descriptors and threads come
down to what they were. The exit status is 1 where they do not, or an answer was wrong, half of the requests were
refused, the models were not loaded again, or the server ended.

With --leak faults.c is preloaded and makes the server lose 64 bytes for each request; the run must then be judged as
leaking, and the exit status is 0 if it is.
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import judge
import preload
from load import Client, Load

# Bytes that a leaking server loses for each request.
LEAK = 64

COLUMNS = ["allocated", "active", "resident", "rss"]

# Bytes that the process may gain beside its allocator's, which the kernel gives and takes in larger pieces.
OUTSIDE = 8_000_000


def start(binary, model, log, environment=None):
    """A server on a free port, impatient, with a queue that can be filled."""
    command = [binary, "serve", "--model", model, "--port", "0", "--queue", "256"]
    server = subprocess.Popen(command + ["--read-timeout", "1", "--write-timeout", "2"], stderr=log, env=environment)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        with open(log.name) as text:
            if found := re.search(r"listening on .*:(\d+)", text.read()):
                return server, int(found[1])
        time.sleep(0.05)
    server.kill()
    sys.exit(f"The server does not start:\n{open(log.name).read()}")


def rest(client):
    """Waits until the server has nothing left to do, and returns its figures."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        stats = client.call("stats")
        if stats["connections"]["open"] == 1 and stats["queue"]["in_flight"] == 0:
            return stats
        time.sleep(0.1)
    sys.exit(f"After a round something is left behind: {stats['connections']} {stats['queue']}")


def sample(server, port):
    with Client(port) as client:
        rest(client)
        # What is kept for the next image is freed after five seconds, and what was freed last may still be on its way
        # through the allocator.
        time.sleep(6)
        stats = rest(client)
    with open(f"/proc/{server.pid}/statm") as file:
        pages = int(file.read().split()[1])
    figures = {name: len(os.listdir(f"/proc/{server.pid}/{name}")) for name in ["fd", "task"]}
    figures |= {"rss": pages * 4096, "reloads": stats["reloads"]["succeeded"]}
    # A build without jemalloc has no figures but the system's.
    if stats["allocator"]:
        figures |= stats["allocator"]
        figures["outside"] = figures["rss"] - figures["resident"]
    return figures


def soak(server, port, minutes):
    """Samples of the whole run: pairs of seconds and figures."""
    load = Load(port)
    seconds = minutes * 60
    length = min(20, max(2, seconds / 40))
    begin = time.monotonic()
    samples = []
    columns = "".join(f"{name:>11}" for name in COLUMNS)
    print(f"{'seconds':>8}{'replies':>10}{'refused':>9}{'connections':>13}{columns}")
    while (elapsed := time.monotonic() - begin) < seconds:
        server.send_signal(signal.SIGHUP)
        load.run_round(length)
        if server.poll() is not None:
            sys.exit(f"The server ended with status {server.returncode}.")
        if load.failures:
            with Client(port) as client:
                print("closed for want of patience:", client.call("stats")["connections"]["timed_out"])
            sys.exit("\n".join(load.failures))
        figures = sample(server, port)
        elapsed = time.monotonic() - begin
        samples.append((elapsed, figures))
        counts = load.counts
        print(
            f"{elapsed:8.0f}{counts['replies']:10}{counts['overloaded']:9}{counts['connections']:13}"
            + "".join(f"{figures.get(name, 0) / 1e6:9.2f}MB" for name in COLUMNS),
            flush=True,
        )
    if counts["overloaded"] * 2 > counts["replies"]:
        sys.exit(f"{counts['overloaded']} of {counts['replies']} were refused: this soaks nothing.")
    if figures["reloads"] * 2 < len(samples):
        sys.exit(f"Of {len(samples)} reloads {figures['reloads']} succeeded.")
    return samples


def main():
    parser = argparse.ArgumentParser(description="Load a server with every kind of client and judge its memory.")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--leak", action="store_true", help="make the server leak, which must be found")
    arguments = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", prefix="exemplar-soak-") as log, contextlib.ExitStack() as stack:
        environment = None
        if arguments.leak:
            library = preload.build(stack.enter_context(preload.folder()))
            environment = {**os.environ, "LD_PRELOAD": library, "LEAK": str(LEAK)}
        server, port = start(arguments.binary, arguments.model, log, environment)
        try:
            samples = soak(server, port, arguments.minutes)
            server.send_signal(signal.SIGTERM)
            if server.wait(60) != 0:
                sys.exit(f"After SIGTERM the server ended with status {server.returncode}.")
        finally:
            server.kill()
            server.wait()
    def series(name):
        return [(seconds, figures[name]) for seconds, figures in samples]

    for name in [*COLUMNS, "outside"]:
        if all(name in figures for _, figures in samples):
            grown, step = judge.growth(series(name)) / 1e6, judge.step(series(name)) / 1e6
            print(f"{name:>10} grew by {grown:.2f} MB after the warm-up, and ended {step:.2f} MB above its beginning")
    judged = "active" if "active" in samples[0][1] else "rss"
    leaks = judge.leaks(series(judged))
    print(f"{judged}: " + ("a leak" if leaks else "no leak") + f", at most {judge.TOLERANCE / 1e6} MB are allowed")
    others = {name: judge.lasts(series(name)) for name in ["fd", "task"]}
    if "outside" in samples[0][1]:
        others["outside"] = judge.leaks(series("outside"), OUTSIDE, OUTSIDE)
    for name, has_leaked in others.items():
        print(f"{name}: " + ("a leak" if has_leaked else "no leak"))
    sys.exit(any(others.values()) or leaks != arguments.leak)


if __name__ == "__main__":
    main()

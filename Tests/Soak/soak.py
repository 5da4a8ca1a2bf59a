#!/usr/bin/env python3
"""Soak: a server under every kind of client for a long time, and whether its memory grows.

    Tests/Soak/soak.py --binary .build/release/exemplar --models models --minutes 30

Clients, which show a token, ask every model of the folder in rounds; between two rounds all of them are gone and the
server rests, so that its figures can be compared. In every round it gets one SIGHUP. After the first third of the run,
which warms up, the allocator's active bytes, and what it holds beside its own data, may grow by 0.5 MB, or by 1 MB in
one step (judge.py says why); its own data by 4.2 MB, which is two of its tables; addresses outside the allocator by
8 MB; descriptors and threads come down to what they were. The exit status is 1 where they do not, or an answer was
wrong, half of the requests were refused, the models were not loaded again, or the server ended.

The allocator is told to give back soon what was freed. By default it keeps such pages until the next calls come by,
which at rest they do not: held bytes then scatter by 17 MB, and nothing can be said of what grows beside the active
ones. What is outside it is counted in addresses.

With --leak faults.c is preloaded and makes the server lose 64 bytes for each request; the run must then be judged as
leaking, and the exit status is 0 if it is.
"""

import argparse
import contextlib
import os
import re
import secrets
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

COLUMNS = ["allocated", "active", "held", "metadata", "rss", "retained", "outside"]

# Bytes that the allocator's own data may gain: for each GiB of addresses in which something is mapped for the first
# time it has a table of 2 MiB, which counts whole, though hardly any of its pages is touched. Where the system maps
# what, and when a run first comes to another GiB, is chance.
METADATA = 2 * (2 << 20)

# Bytes of addresses that the process may gain beside its allocator's: as many as a thread's stack.
OUTSIDE = 8_000_000

# What was freed goes back to the system within a second, and not ten, so that a rest shows what is held.
ALLOCATOR = "dirty_decay_ms:1000,muzzy_decay_ms:0"

# Seconds of a round, at most: half an hour has more than a hundred rests.
ROUND = 10


def start(binary, options, log, environment=None):
    """A server on a free port, impatient, with a queue that can be filled, and by the settings given alone, whatever
    this shell has set for others."""
    command = [binary, "serve", *options, "--port", "0", "--queue", "256"]
    command += ["--read-timeout", "1", "--write-timeout", "2"]
    environment = os.environ if environment is None else environment
    own = {name: value for name, value in environment.items() if not name.startswith("EXEMPLAR_")}
    server = subprocess.Popen(command, stderr=log, env=own)
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


def sample(server, load):
    with Client(load.port, load.token) as client:
        rest(client)
        # What is kept for the next image is freed after five seconds, and what was freed last may still be on its way
        # through the allocator.
        time.sleep(6)
        stats = rest(client)
    with open(f"/proc/{server.pid}/statm") as file:
        size, rss = (int(pages) * 4096 for pages in file.read().split()[:2])
    figures = {name: len(os.listdir(f"/proc/{server.pid}/{name}")) for name in ["fd", "task"]}
    figures |= {"rss": rss, "reloads": stats["reloads"]["succeeded"]}
    if stats["allocator"]:
        figures |= stats["allocator"]
        figures["held"] = figures["resident"] - figures["metadata"]
        figures["outside"] = size - figures["mapped"] - figures["retained"]
    return figures


def soak(server, port, token, minutes):
    """Samples of the whole run: pairs of seconds and figures."""
    load = Load(port, token)
    seconds = minutes * 60
    length = min(ROUND, max(2, seconds / 90))
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
            with Client(port, token) as client:
                print("closed for want of patience:", client.call("stats")["connections"]["timed_out"])
            sys.exit("\n".join(load.failures))
        figures = sample(server, load)
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


def judged(samples):
    """Prints how each figure went. Returns whether memory, and whether something else, has leaked."""
    def series(name):
        return [(seconds, figures[name]) for seconds, figures in samples]

    # A build without jemalloc has no figures but the system's.
    has_allocator = all("active" in figures for _, figures in samples)
    memory = ["active", "held"] if has_allocator else ["rss"]
    leaks = {name: judge.leaks(series(name)) for name in memory}
    others = {name: judge.lasts(series(name)) for name in ["fd", "task"]}
    if has_allocator:
        # A leak takes more of them, too: what cannot be given back is scattered over more addresses.
        leaks["metadata"] = judge.leaks(series("metadata"), METADATA, METADATA)
        others["outside"] = judge.leaks(series("outside"), OUTSIDE, OUTSIDE)
    for name in COLUMNS if has_allocator else memory:
        grown, step = judge.growth(series(name)) / 1e6, judge.step(series(name)) / 1e6
        print(f"{name:>10} grew by {grown:.2f} MB after the warm-up, and by {step:.2f} MB in one step at most")
    print(
        f"{judge.TOLERANCE / 1e6} MB and {judge.STEP / 1e6} MB are allowed, {METADATA / 1e6:.1f} MB of the allocator's "
        f"own data, {OUTSIDE / 1e6} MB outside it"
    )
    for name, has_leaked in (leaks | others).items():
        print(f"{name}: " + ("a leak" if has_leaked else "no leak"))
    return any(leaks.values()), any(others.values())


def main():
    parser = argparse.ArgumentParser(description="Load a server with every kind of client and judge its memory.")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--models", required=True, help="a folder of model folders")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--leak", action="store_true", help="make the server leak, which must be found")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        log, secret = (stack.enter_context(tempfile.NamedTemporaryFile("w", prefix="exemplar-soak-")) for _ in range(2))
        token = secrets.token_hex(16)
        secret.write(token)
        secret.flush()
        environment = {**os.environ, "MALLOC_CONF": ALLOCATOR}
        if arguments.leak:
            library = preload.build(stack.enter_context(preload.folder()))
            environment |= {"LD_PRELOAD": library, "LEAK": str(LEAK)}
        options = ["--models", arguments.models, "--token-file", secret.name]
        server, port = start(arguments.binary, options, log, environment)
        try:
            samples = soak(server, port, token, arguments.minutes)
            server.send_signal(signal.SIGTERM)
            if server.wait(60) != 0:
                sys.exit(f"After SIGTERM the server ended with status {server.returncode}.")
        finally:
            server.kill()
            server.wait()
    memory_leaks, others_leak = judged(samples)
    sys.exit(others_leak or memory_leaks != arguments.leak)


if __name__ == "__main__":
    main()

"""What is measured of the servers that stand ready; every figure goes into `results` as soon as it is there."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from ..contender import Worker
from ..progress import Progress
from .load import Loads, Stage, connections_of
from .servers import Exemplar, Mosec, Server, ServerError

CONNECTIONS = (32, 1)
BATCH = 64
"""Patches of a pass at batch load: the server's --max-batch."""
OVERLOAD = 3
OPEN_CONNECTIONS = 1000


class Measurements:
    def __init__(
        self, arguments: argparse.Namespace, results: dict, stage: Stage, loads: Loads, progress: Progress
    ) -> None:
        self._quick, self._count, self._seconds = arguments.quick, arguments.rounds, arguments.seconds
        self._results, self._stage, self._loads, self._progress = results, stage, loads, progress
        self._model = arguments.model

    def rounds(self, contenders: dict[str, Server], worker: Worker, cores: list[int]) -> None:
        """Everybody at each number of connections, exemplar at batch load, its network alone: one after the other."""
        runs: dict[str, list[dict]] = {}
        names = list(contenders)
        for index in range(self._count):
            self._progress.show(f"round {index + 1} of {self._count}")
            # Each round begins with another contender, so that no one always follows the same neighbour.
            for name in names[index % len(names) :] + names[: index % len(names)]:
                server = self._stage.only(contenders[name])
                for connections in CONNECTIONS:
                    found = self._loads.measure(server, self._seconds, connections)
                    runs.setdefault(f"{name}, {connections}", []).append(found)
                if name == "exemplar":
                    runs.setdefault("batch load", []).append(self._batch_load(server))
            self._stage.only(contenders["exemplar"]).pause()
            for batch in (BATCH, 1):
                worker.ask("load", folder=str(self._model), batch=batch, cores=cores)
                found = worker.ask("run", seconds=self._seconds / 2)
                found["cores"] = len(cores)
                runs.setdefault(f"network, {batch}", []).append(found)
            self._progress.advance(40 // self._count)
        self._results["rounds"] = runs

    def _batch_load(self, server: Server) -> dict:
        """Whole batches all the time: the processor's time of a patch, whatever the client takes beside it."""
        before = server.call("stats")["patches"]
        found = self._loads.measure(server, self._seconds, connections=4, pipeline=4, patches=BATCH // 4)
        patches = server.call("stats")["patches"] - before
        return found | {"server_seconds_per_patch": found["server_seconds"] / patches}

    def offered(self, servers: dict[str, Server]) -> None:
        """Latency and goodput in an open loop, as a part of what each server can do."""
        parts = (0.25, 0.75, 1.2) if self._quick else (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.95, 1, 1.1, 1.2)
        curves = self._results["offered"] = {}
        seconds = self._seconds if self._quick else 1.5 * self._seconds
        for name, server in servers.items():
            self._stage.only(server)
            self._progress.show(f"offered load: {name}")
            # The same load as behind a queue that is never empty.
            depth = {} if isinstance(server, Mosec) else {"pipeline": 4}
            capacity = self._loads.measure(server, seconds, 128 if isinstance(server, Mosec) else 32, **depth)
            capacity = capacity["patches_per_second"]
            points = []
            for part in parts:
                # HTTP takes one request at a time on a connection, so more of them.
                connections = 256 if isinstance(server, Mosec) else 32
                found = self._loads.measure(server, seconds, connections, rate=part * capacity)
                points.append({"part": part, "rate": part * capacity, **found})
            curves[name] = {"capacity": capacity, "points": points}
            self._progress.advance(40 // len(servers))

    def idle_connections(self, server: Exemplar) -> None:
        """32 busy connections alone, and beside so many others that rest, in turns."""
        self._stage.only(server)
        self._progress.show(f"{OPEN_CONNECTIONS} connections")
        pairs = []
        for _ in range(2 if self._quick else 5):
            alone = self._loads.measure(server, self._seconds, 32)
            idle = connections_of(server, OPEN_CONNECTIONS - 32)
            beside = self._loads.measure(server, self._seconds, 32)
            for connection in idle:
                connection.close()
            pairs.append({"alone": alone, "beside": beside})
        self._results["idle"] = {"connections": OPEN_CONNECTIONS, "pairs": pairs}
        self._progress.advance(8)

    def overload(self, server: Exemplar) -> None:
        """Capacity in a closed loop and goodput at three times that rate, in turns, by small and by larger requests."""
        self._stage.only(server)
        outcomes = self._results["overload"] = {}
        for patches in (1, 16):
            self._progress.show(f"overload, {patches} patches a request")
            pairs = []
            for _ in range(1 if self._quick else 3):
                capacity = self._loads.measure(server, self._seconds, 32, 8, patches)
                # The queue is to be full before anything is counted.
                rate = OVERLOAD * capacity["patches_per_second"] / patches
                flooded = self._loads.measure(
                    server, self._seconds, 32, patches=patches, rate=rate, warm_up=max(2.0, self._seconds)
                )
                pairs.append({"capacity": capacity, "flooded": flooded})
            outcomes[str(patches)] = pairs
            self._progress.advance(4)

    def allocations(self, server: Exemplar) -> None:
        """Bytes that the process allocates for a request of one patch, network and all."""
        self._stage.only(server)
        self._loads.measure(server, self._seconds / 2, 32)
        before = server.call("stats")
        self._loads.measure(server, self._seconds, 32)
        after = server.call("stats")
        if not after.get("allocator") or "total_bytes" not in after["allocator"]:
            self._results["notes"].append("This build's allocator does not tell what was allocated.")
            return
        requests = after["requests"]["embed"] - before["requests"]["embed"]
        self._results["allocations"] = {
            name: (after["allocator"][name] - before["allocator"][name]) / requests
            for name in ("total_bytes", "total_allocations")
        }

    def restarts(self, server: Exemplar, start: Callable[[], Exemplar]) -> None:
        """Seconds from SIGKILL, under load, to the first embedding that the next process answers with."""
        self._progress.show("kill and restart")
        times = []
        for _ in range(2 if self._quick else 5):
            self._stage.only(server)
            wanted = server.embed(self._loads.patches[:1])
            with self._loads.running(server, 32):
                time.sleep(0.3)
                begin = time.monotonic()
                self._stage.kill(server)
            server = start()
            self._stage.only(server)
            found = server.embed(self._loads.patches[:1])
            times.append(time.monotonic() - begin)
            if not (found == wanted).all():
                raise ServerError("after a restart the same patch got another embedding")
        self._results["restarts"] = {"seconds": times}
        self._progress.advance(4)

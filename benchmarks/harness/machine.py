"""The card of the machine: what a reader needs to judge the figures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from .environment import REPOSITORY

PACKAGES = ("torch", "onnxruntime", "openvino", "MNN", "mosec", "onnx", "numpy")


def card(instruction_sets: list[str]) -> dict[str, str]:
    caches = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_read(index / name) for name in ("level", "type", "size"))
        caches.append(f"L{level} {kind.lower()} {size}")
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            pass  # That peer is left out, or has no part in these benchmarks.
    governor = _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
    return {
        "CPU": _cpu_name(),
        "cores": f"{len(physical_cores())} usable, of {os.cpu_count()} logical",
        "caches of a core": ", ".join(caches) or "not known",
        "instruction sets": ", ".join(instruction_sets),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "governor": governor or "not readable",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "Swift": (_output(["swift", "--version"]).splitlines() or ["not known"])[0],
        "commit": _commit(),
        "Python": f"{platform.python_version()}; {', '.join(versions)}",
    }


def physical_cores() -> list[int]:
    """One logical CPU of each core that this process may run on: two threads of one core share its multipliers."""
    cores, seen = [], set()
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = _read(Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")) or str(cpu)
        if siblings not in seen:
            seen.add(siblings)
            cores.append(cpu)
    return cores


def _cpu_name() -> str:
    lines = _read(Path("/proc/cpuinfo")).splitlines()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = found.get("model name", platform.machine())
    if "cpu family" in found:
        name += f" (family {found['cpu family']}, model {found.get('model')}, stepping {found.get('stepping')})"
    return name + (", virtual" if "hypervisor" in found.get("flags", "") else "")


def _commit() -> str:
    commit = _output(["git", "-C", str(REPOSITORY), "rev-parse", "--short=12", "HEAD"])
    changed = _output(["git", "-C", str(REPOSITORY), "status", "--porcelain", "--untracked-files=no"])
    return (commit or "not known") + (" with changes" if changed else "")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""

"""Builds faults.c, which is preloaded into a server."""

import pathlib
import shutil
import subprocess
import sys
import tempfile


def build(folder):
    """Compiles faults.c into `folder`; returns the library's path. Swift's toolchain brings a C compiler."""
    swift = shutil.which("swiftc")
    beside = pathlib.Path(swift).resolve().parent / "clang" if swift else None
    compiler = str(beside) if beside and beside.exists() else shutil.which("cc")
    if not compiler:
        sys.exit("There is no C compiler: put Swift's toolchain on the PATH, or install gcc.")
    source = pathlib.Path(__file__).with_name("faults.c")
    library = pathlib.Path(folder) / "faults.so"
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(source), "-o", str(library), "-ldl", "-pthread"], check=True)
    return str(library)


def folder():
    """A folder for the library and what tells it when to fail; gone with its context."""
    return tempfile.TemporaryDirectory(prefix="exemplar-faults-")

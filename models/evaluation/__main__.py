"""``python -m evaluation --model small --port 7350`` from the folder ``models``."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from training.arguments import whole

from . import PARTS

HERE = Path(__file__).resolve().parent
BINARY = HERE.parents[1] / ".build" / "release" / "exemplar"


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="evaluation", description="Evaluate a network through a running server.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    result.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all when none is named")
    result.add_argument("--model", default="small", help="as the server names it; its folder lies in models/")
    result.add_argument("--host", default="127.0.0.1")
    result.add_argument("--port", type=whole(1, 65535), default=7350)
    result.add_argument("--binary", type=Path, default=BINARY, help="serves the network with random weights")
    result.add_argument("--patches", type=whole(2), default=450, help="retrieval: held-out ones, for each seed")
    result.add_argument("--seeds", type=whole(1), default=3, help="retrieval and probe: how many")
    result.add_argument("--draws", type=whole(32), default=64, help="retrieval: the largest K of ĝ, at least 32")
    result.add_argument("--together", action="store_true", help="retrieval: leave out single steps of T_α")
    result.add_argument("--output", type=Path, help="default: models/evaluation/results/MODEL")
    return result


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        print(f"error: no part is named {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    try:
        from exemplar_client import Client, ConnectionFailed, ExemplarError
        from training import photographs

        from . import report, runs, served
    except ImportError as error:
        print(f"{error}: pip install ../clients/python -r evaluation/requirements.txt", file=sys.stderr)
        return 1
    output = options.output or HERE / "results" / options.model
    try:
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(Client(options.host, options.port, timeout=300))
            untrained = None
            if options.binary.exists():
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "random"
                served.write_random(HERE.parent / options.model, folder, seed=0)
                untrained = stack.enter_context(served.running(options.binary, folder))
            else:
                print(f"{options.binary} is not there: random weights are left out", file=sys.stderr)
            for part in options.parts or PARTS:
                # Each part is stored when it is done: what is interrupted costs one part.
                runs.run(part, options, client, untrained, output)
            others = report.write(output, client.model(options.model)["sha256"])
    except (ConnectionFailed, ExemplarError, OSError, photographs.PhotographError, served.ServerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted: finished parts are in {output}, name the others to go on", file=sys.stderr)
        return 130
    if others:
        print(f"left out, since they are of other weights: {', '.join(others)}. Run them again.", file=sys.stderr)
    print((output / "results.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

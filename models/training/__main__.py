"""``python -m training COMMAND`` from the folder ``models``: train, export, evaluate; ``--help`` at each."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .arguments import number, served_name, whole


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="training", description="Train an Exemplar-CNN and write its model folder.")
    commands = result.add_subparsers(dest="command", required=True)
    for name, text in (
        ("train", "train, or go on from the checkpoint, then export"),
        ("export", "write the model folder from the checkpoint as it is"),
        ("evaluate", "print the surrogate figures of the exported weights and of random ones as JSON"),
    ):
        command = commands.add_parser(name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        command.add_argument("--model", choices=("small", "medium", "large"), default="small")
        command.add_argument("--photographs", type=Path, help="a folder of PNG and JPEG files (default: bundled ones)")
        command.add_argument("--exemplars", type=whole(2), default=2000, help="N, the surrogate classes")
        command.add_argument(
            "--distance", type=number(0), default=0.5, help="least distance between exemplars, in sides of the larger")
        command.add_argument("--steps", type=whole(1), default=40000, help="optimiser steps of the whole schedule")
        command.add_argument("--batch", type=whole(1), default=128, help="patches of a step")
        command.add_argument(
            "--learning-rate", type=number(0, is_least_one=False), default=0.05, help="the highest, after the warm-up")
        command.add_argument("--seed", type=whole(0, 2**31 - 1), default=1406, help="of exemplars and first weights")
        command.add_argument("--threads", type=whole(0), default=0, help="0: as many as torch takes")
        if name == "train":
            command.add_argument(
                "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: cuda if there is one")
        if name != "evaluate":
            command.add_argument("--name", type=served_name, help="to serve it as (default: the name of its folder)")
        command.add_argument("--folder", type=Path, help="checkpoints (default: models/training/runs/OUTPUT's name)")
        command.add_argument("--output", type=Path, help="model folder (default: models/MODEL, the shipped one)")
    return result


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.photographs and not options.output:
        parser().error("--photographs wants --output: models/MODEL holds the shipped network")
    try:
        import torch

        from . import train
    except ImportError as error:
        print(f"{error}: pip install -r models/training/requirements.txt", file=sys.stderr)
        return 1
    from . import photographs

    if options.threads:
        torch.set_num_threads(options.threads)
    here = Path(__file__).resolve().parent
    output = (options.output or here.parent / options.model).resolve()
    folder = options.folder or here / "runs" / output.name
    try:
        own = options.photographs and photographs.of_folder(options.photographs)
        configuration = train.Configuration(
            model=options.model, exemplars=options.exemplars, distance=options.distance, steps=options.steps,
            batch=options.batch, learning_rate=options.learning_rate, seed=options.seed,
            photographs=str(options.photographs) if own else None,
            photographs_sha256=photographs.digest(own) if own else None,
        )
        if options.command == "train":
            train.run(configuration, folder, train.choose_device(options.device))
        from . import evaluate, export

        if options.command == "evaluate":
            weights = output / "model.safetensors"
            if not weights.exists():
                raise train.CheckpointError(f"{weights} is missing: export first")
            data = train.Data.load(configuration)
            export.check_exemplars(data, output)
            figures = {
                "trained": evaluate.surrogate(export.load(configuration, weights), data, configuration),
                "random": evaluate.surrogate(evaluate.untrained(configuration), data, configuration, draws=4),
            }
            print(json.dumps(figures, indent=2))
            return 0
        export.write(configuration, folder, output, output.name if options.name is None else options.name)
    except (OSError, train.CheckpointError, train.DeviceError, photographs.PhotographError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = ": the same command goes on from the last checkpoint, if there is one yet"
        print("\ninterrupted" + (again if options.command == "train" else ""), file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

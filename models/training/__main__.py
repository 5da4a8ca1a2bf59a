"""``python -m training COMMAND`` from the folder ``models``: train, export, evaluate; ``--help`` at each."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


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
        command.add_argument("--exemplars", type=int, default=2000, help="N, the surrogate classes")
        command.add_argument(
            "--distance", type=float, default=0.5, help="least distance between exemplars, in sides of the larger")
        command.add_argument("--steps", type=int, default=40000, help="optimiser steps of the whole schedule")
        command.add_argument("--batch", type=int, default=128)
        command.add_argument("--learning-rate", type=float, default=0.05, help="the highest, after the warm-up")
        command.add_argument("--seed", type=int, default=1406)
        command.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
        command.add_argument(
            "--device", choices=("auto", "cpu", "cuda"), default="auto", help="to train on; auto: cuda if there is one")
        command.add_argument("--folder", type=Path, help="checkpoints (default: models/training/runs/MODEL)")
        command.add_argument("--output", type=Path, help="model folder (default: models/MODEL)")
    return result


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        import torch

        from . import train
    except ImportError as error:
        print(f"{error}: pip install -r models/training/requirements.txt", file=sys.stderr)
        return 1
    from . import photographs

    if options.threads:
        torch.set_num_threads(options.threads)
    configuration = train.Configuration(
        model=options.model, exemplars=options.exemplars, distance=options.distance, steps=options.steps,
        batch=options.batch, learning_rate=options.learning_rate, seed=options.seed,
    )
    here = Path(__file__).resolve().parent
    folder = options.folder or here / "runs" / options.model
    output = options.output or here.parent / options.model
    try:
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
        export.write(configuration, folder, output)
    except (train.CheckpointError, train.DeviceError, photographs.PhotographError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

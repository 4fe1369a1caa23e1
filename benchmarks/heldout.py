"""Held-out proof on a real potential: the shipped model fine-tuned to B3LYP ethanol.

    python benchmarks/heldout.py label --work heldout-work
    python benchmarks/heldout.py run --work heldout-work --method published --seed 0
    python benchmarks/heldout.py run --work heldout-work --method deep_ensemble --frames 1 10 50
    python benchmarks/heldout.py table --work heldout-work --json

Every command goes on where it stopped. Times: a label 7 to 9 s (160 of them), an update about a
minute (8 chains, 1,000 steps), one thread of an idle core.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from heldout_study.frames import frames
from heldout_study.labels import label_all, load
from heldout_study.methods import NAMES, build
from heldout_study.setting import Setting
from heldout_study.summary import as_json, read_runs
from heldout_study.text_table import table
from heldout_study.updates import Study

from bnnflow.errors import ConfigError
from bnnflow.records import Label
from bnnflow.units import from_kcal_per_mol

TRAIN_FRAMES, TEST_FRAMES = 100, 60
FRAMES = ("1-20", "50", "100")
ENERGY_STD_FRACTION = 0.1  # of K [R26, METHOD 1]


def label(options: argparse.Namespace) -> None:
    """Make the frames and their labels."""
    wanted = frames(options.work, train=options.train, test=options.test)
    for frame in label_all(options.work, wanted, procs=options.procs):
        print(f"labelled {frame.info['set']} {frame.info['index']}", flush=True)
    print(f"{len(wanted)} labels in {options.work}")


def run(options: argparse.Namespace) -> None:
    """Make the updates of one method with one seed."""
    torch.set_num_threads(1)
    setting = Setting(
        model=options.model,
        chains=options.chains,
        steps=options.steps,
        batch=options.batch,
        prior_std=options.prior_std,
        energy_std=ENERGY_STD_FRACTION * from_kcal_per_mol(options.threshold),
        seed=options.seed,
    )
    counts = [count for text in options.frames for count in counts_of(text)]
    study = Study(
        folder=(options.runs or options.work) / f"{options.method}-{options.seed}",
        name=options.method,
        method=build(options.method, setting),
        setting=setting,
        train=training(options, max(counts)),
        test=enough(load(options.work, "test"), options.test, "test")[: options.test],
    )
    for record in study.run(counts):
        print(line(record), flush=True)


def show(options: argparse.Namespace) -> None:
    """Print the table of all runs, or one JSON object."""
    records = read_runs(options.runs or options.work)
    if not records:
        raise ConfigError(f"no finished update in {options.runs or options.work}: run some first")
    print(as_json(records) if options.json else table(records))


def training(options: argparse.Namespace, most: int) -> list[Label]:
    """The training labels in the order of this seed.

    Seed 0 takes the order of the file, so that it can start while labels are still being made;
    every other seed shuffles all of them.
    """
    labels = load(options.work, "train")
    if options.seed == 0:
        return enough(labels, most, "training")
    every = enough(labels, options.train, "training")[: options.train]
    order = np.random.default_rng(options.seed).permutation(options.train)
    return enough([every[place] for place in order], most, "training")


def enough(labels: list[Label], wanted: int, name: str) -> list[Label]:
    """The labels, or ConfigError when there are fewer than wanted."""
    if len(labels) < wanted:
        raise ConfigError(
            f"{len(labels)} {name} labels are there, expected {wanted}: finish `heldout.py label`"
        )
    return labels


def counts_of(text: str) -> list[int]:
    """Numbers of labels: "7", or "1-20" for all from 1 to 20."""
    found = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", text)
    if found is None:
        raise ConfigError(f"--frames has {text!r}, expected a number such as 7 or a range as 1-20")
    return list(range(int(found[1]), int(found[2] or found[1]) + 1))


def line(record: dict[str, Any]) -> str:
    """What a finished update shows on screen."""
    found = record["figures"]
    return (
        f"{record['method']} seed {record['seed']} N {record['n']}: force RMSE "
        f"{found['force_rmse']:.3f}, energy {found['energy_rmse']:.3f} (mean removed "
        f"{found['energy_rmse_centred']:.3f}) kcal/mol, {record.get('wall_seconds', 0.0):.0f} s"
    )


def parser() -> argparse.ArgumentParser:
    """The command line's definition."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = result.add_subparsers(required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--work", type=Path, required=True, help="folder of labels and results")
    common.add_argument("--train", type=int, default=TRAIN_FRAMES, help="training frames")
    common.add_argument("--test", type=int, default=TEST_FRAMES, help="test frames")
    common.add_argument("--runs", type=Path, help="folder of results, if not the work folder")
    labelling = commands.add_parser("label", parents=[common], help="make frames and labels")
    labelling.add_argument("--procs", type=int, default=1, help="labels at the same time")
    labelling.set_defaults(command=label)
    _add_run(commands.add_parser("run", parents=[common], help="updates of one method"))
    summary = commands.add_parser("table", parents=[common], help="figures of all runs")
    summary.add_argument("--json", action="store_true", help="print one JSON object")
    summary.set_defaults(command=show)
    return result


def _add_run(running: argparse.ArgumentParser) -> None:
    running.add_argument("--method", choices=NAMES, required=True)
    running.add_argument("--seed", type=int, default=0, help="of frames' order and all chains")
    running.add_argument("--frames", nargs="+", default=FRAMES, help="numbers of labels: 1-20 50")
    running.add_argument("--chains", type=int, default=8, help="members of the ensemble")
    running.add_argument("--steps", type=int, default=1000, help="gradient steps per update")
    running.add_argument("--batch", type=int, default=5, help="frames per gradient step")
    running.add_argument("--prior-std", type=float, default=0.5, help="sigma_TL")
    running.add_argument("--threshold", type=float, default=2.0, help="K of the cell, kcal/mol")
    running.add_argument("--model", default="chno-small", help="name or file of the model")
    running.set_defaults(command=run)


def main() -> None:
    """Parse the command line and do what it says."""
    options = parser().parse_args()
    options.command(options)


if __name__ == "__main__":
    main()

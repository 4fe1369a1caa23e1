"""Rebuild the shipped foundation model: frames, training, conversion, errors and model card.

    python -m workflows.pretrain_foundation --work foundation-work --out bnnflow/foundation

Each step keeps its files in the work folder and is skipped when they are there already. From
nothing it takes about half an hour on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from ase.io import read

from bnnflow.potentials.mace_files import save_mace
from bnnflow.training.assess import Errors, Stability, calculator, errors, stability
from bnnflow.training.card import facts, write_card
from bnnflow.training.dft_labels import LEVEL, b3lyp_frames
from bnnflow.training.frames import Plan, gfn2, relaxed
from bnnflow.training.molecules import ETHANOL
from bnnflow.training.pretrain import NAME, Schedule, make_frames, train


def main() -> None:
    """Run the steps that are still missing, then measure and write the card."""
    options = parser().parse_args()
    torch.set_num_threads(1)
    plan, schedule = Plan(seed=options.seed), Schedule(epochs=options.epochs, seed=options.seed)
    make_frames(options.work, plan)
    weights = convert(train(options.work, schedule), options.out)
    counts = {"training": count(options.work, "train"), "validation": count(options.work, "valid")}
    found = all_errors(weights, options.work)
    write_card(weights, facts(weights, plan, schedule, counts, found, ethanol_md(weights)))


def parser() -> argparse.ArgumentParser:
    """Return the command line's definition."""
    result = argparse.ArgumentParser(description="Rebuild the shipped foundation model.")
    result.add_argument("--work", type=Path, required=True, help="folder for frames and training")
    result.add_argument("--out", type=Path, required=True, help="folder for weights and card")
    result.add_argument("--seed", type=int, default=Plan.seed, help="of frames and training")
    result.add_argument("--epochs", type=int, default=Schedule.epochs, help="of both stages")
    return result


def convert(trained: Path, out: Path) -> Path:
    """Write the trained model, a file of mace-torch, as safetensors; return the new path."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{NAME}.safetensors"
    save_mace(torch.load(trained, map_location="cpu", weights_only=False), path)
    path.chmod(0o644)
    return path


def count(work: Path, split: str) -> int:
    """Return the number of frames of a split."""
    return len(read(work / f"{split}.xyz", ":"))


def all_errors(weights: Path, work: Path) -> dict[str, Errors]:
    """Return the errors on the held-out molecules, all and one by one, and on ethanol."""
    model, held_out = calculator(weights), read(work / "held_out.xyz", ":")
    tests = {"held-out molecules against GFN2-xTB": held_out}
    for name in dict.fromkeys(frame.info["molecule"] for frame in held_out):
        tests[f"{name} against GFN2-xTB"] = [f for f in held_out if f.info["molecule"] == name]
    tests["ethanol against GFN2-xTB"] = read(work / "ethanol.xyz", ":")
    tests[f"ethanol against {LEVEL}"] = dft = b3lyp_frames(work)
    found = {name: errors(model, frames) for name, frames in tests.items()}
    # What fine-tuning to B3LYP has to bridge beyond the model's own errors.
    return found | {f"GFN2-xTB itself, ethanol against {LEVEL}": errors(gfn2(), dft)}


def ethanol_md(weights: Path) -> Stability:
    """Return how 10 ps of ethanol at 300 K went with the model alone."""
    start = relaxed(ETHANOL.build())
    return stability(calculator(weights), start, length_ps=10, temperature_k=300, seed=Plan.seed)


if __name__ == "__main__":
    main()

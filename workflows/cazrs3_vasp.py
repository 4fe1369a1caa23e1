"""Protons in CaZrS3 against PBE of VASP, as in the paper: config `cazrs3-vasp` with K = 15 and 5
kcal/mol, both over the same pools, then production runs with each frozen ensemble.

    python -m workflows.cazrs3_vasp --site NAME --folder runs/cazrs3-vasp

Run again after an interruption, it goes on from the last commit and the last stretch of production.
"""

import argparse
import sys
from pathlib import Path

from workflows.console import guarded
from workflows.presets import parser, preset, run
from workflows.production import produce

THRESHOLDS_KCAL_PER_MOL = (15, 5)


def main() -> None:
    """Fine-tune both models, then run production with each."""
    options = _parser().parse_args()
    folders = [options.folder / f"K{threshold}" for threshold in THRESHOLDS_KCAL_PER_MOL]
    configs = [
        preset("cazrs3-vasp", [f"threshold.energy_kcal_per_mol={threshold}", *options.overrides])
        for threshold in THRESHOLDS_KCAL_PER_MOL
    ]
    run(configs, folders, options)
    for folder in folders:
        for seed in range(options.productions):
            _produce(folder, seed, options)


def _produce(folder: Path, seed: int, options: argparse.Namespace) -> None:
    """One production run: velocities of its own, Langevin first, then constant energy."""
    out = folder / "production" / f"{seed:02d}"
    files = produce(
        folder,
        out=out,
        length_ps=options.production_ps,
        seed=seed,
        inline=options.inline,
        site=options.site,
    )
    print(f"{out}: {options.production_ps:g} ps in {len(files)} stretches")


def _parser() -> argparse.ArgumentParser:
    result = parser("Protons in CaZrS3 against PBE of VASP.", folder="runs/cazrs3-vasp")
    result.add_argument("--productions", type=int, default=5, help="runs per model")
    result.add_argument("--production-ps", type=float, default=31.0, help="length of each, ps")
    return result


if __name__ == "__main__":
    sys.exit(guarded(main))

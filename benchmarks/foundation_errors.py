"""Errors of the shipped foundation model on ethanol, against GFN2-xTB and against B3LYP.

    python benchmarks/foundation_errors.py --work foundation-work --json

Each figure is the root mean square of the true force components, or the standard deviation of the
true energies, over the model's RMSE: higher is better, 1 is no better than a constant. Test frames
and B3LYP labels (some minutes) are kept in the work folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.io import read

from bnnflow.potentials.registry import locate
from bnnflow.training.assess import Errors, calculator, errors
from bnnflow.training.dft_labels import LEVEL, b3lyp_frames
from bnnflow.training.frames import Plan
from bnnflow.training.pretrain import NAME, make_test_frames
from bnnflow.units import KCAL_PER_MOL

BENCHMARK = "foundation_errors"


def main() -> None:
    """Measure, and print a table or one JSON object."""
    options = parser().parse_args()
    torch.set_num_threads(1)
    tests = ethanol_tests(options.work)
    model = calculator(locate(NAME))
    found = {name: errors(model, frames) for name, frames in tests.items()}
    print(as_json(tests, found) if options.json else table(found))


def parser() -> argparse.ArgumentParser:
    """Return the command line's definition."""
    result = argparse.ArgumentParser(description="Errors of the shipped model on ethanol.")
    result.add_argument("--work", type=Path, required=True, help="folder for frames and labels")
    result.add_argument("--json", action="store_true", help="print one JSON object")
    return result


def ethanol_tests(work: Path) -> dict[str, list[Atoms]]:
    """Return the ethanol frames at 300 K by reference, made when they are not in `work`."""
    if not (work / "ethanol.xyz").exists():
        make_test_frames(work, Plan())
    return {"gfn2": read(work / "ethanol.xyz", ":"), "b3lyp": b3lyp_frames(work)}


def as_json(tests: dict[str, list[Atoms]], found: dict[str, Errors]) -> str:
    """Return the one line of the benchmark convention."""
    figures: dict[str, float] = {}
    for name, error in found.items():
        energy, force = spreads(tests[name])
        figures[f"{name}/energy"] = round(energy / error.energy_rmse, 3)
        figures[f"{name}/force"] = round(force / error.force_rmse, 3)
    settings = {"model": NAME, "molecule": "ethanol", "temperature_K": 300, "b3lyp": LEVEL}
    rmse = {name: vars(error) for name, error in found.items()}
    return json.dumps(
        {"benchmark": BENCHMARK, "figures": figures, "settings": settings | {"kcal_per_mol": rmse}}
    )


def spreads(frames: list[Atoms]) -> tuple[float, float]:
    """Return the standard deviation of the energies and the RMS force component, kcal/mol(/Å)."""
    energies = [frame.info["REF_energy"] for frame in frames]
    forces = np.concatenate([frame.arrays["REF_forces"].ravel() for frame in frames])
    return float(np.std(energies)) / KCAL_PER_MOL, float(np.sqrt((forces**2).mean())) / KCAL_PER_MOL


def table(found: dict[str, Errors]) -> str:
    """Return the RMSEs as a table."""
    head = "reference  frames  energy RMSE (kcal/mol)  force RMSE (kcal/mol/Å)"
    rows = [
        f"{name:9s}  {e.frames:6d}  {e.energy_rmse:22.3f}  {e.force_rmse:23.3f}"
        for name, e in found.items()
    ]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    main()

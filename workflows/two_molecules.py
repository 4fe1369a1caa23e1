"""Two molecules at once over shared pools, each with its own calibration and run folder.

python -m workflows.two_molecules runs/two
"""

import argparse
import sys
from pathlib import Path

from bnnflow.config import RunConfig, parse_config
from bnnflow.data import is_run
from workflows.console import guarded
from workflows.session import fine_tune, resume

MOLECULES = ("CH3OH", "CH3CHO")


def config(molecule: str) -> RunConfig:
    """GFN1-xTB as the reference: seconds per label are spared, everything else is the real loop."""
    return parse_config(
        {
            "material": {"structure": molecule},
            "threshold": {"energy_kcal_per_mol": 2.0},
            "dynamics": {"kind": "langevin", "temperature_K": 300, "timestep_fs": 0.5,
                         "length_ps": 0.1},
            "reference": {"engine": "tblite", "options": {"method": "GFN1-xTB"}},
        }
    )  # fmt: skip


def main() -> None:
    """Run both over the same pools, or go on with both, and say how they ended."""
    parser = argparse.ArgumentParser(description="Two molecules at once over shared pools.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/two"))
    folders = [parser.parse_args().folder / molecule for molecule in MOLECULES]
    if all(is_run(folder) for folder in folders):
        runs = resume(folders)
    else:
        runs = fine_tune([config(molecule) for molecule in MOLECULES], folders=folders)
    for run in runs:
        print(f"{run.folder}: {run.time_ps:g} ps with {run.labels} labels")


if __name__ == "__main__":
    sys.exit(guarded(main))

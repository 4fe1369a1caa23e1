"""Two molecules at once over shared pools, each with its own calibration and run folder.

python -m workflows.two_molecules runs/two
"""

import sys
from pathlib import Path

from bnnflow.config import RunConfig, parse_config
from workflows.console import guarded
from workflows.session import fine_tune

MOLECULES = ("CH3OH", "CH3CHO")


def config(molecule: str) -> RunConfig:
    """GFN1-xTB as the reference: seconds per label are spared, everything else is the real loop."""
    return parse_config(
        {
            "material": {"structure": molecule},
            "threshold": {"energy_kcal_per_mol": 2.0},
            "dynamics": {"kind": "langevin", "temperature_K": 300, "timestep_fs": 0.5,
                         "length_ps": 0.1},
            "sampler": {"steps": 200},
            "reference": {"engine": "tblite", "options": {"method": "GFN1-xTB"}},
        }
    )  # fmt: skip


def main() -> None:
    """Run both over the same pools."""
    parent = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/two")
    folders = [parent / molecule for molecule in MOLECULES]
    for run in fine_tune([config(molecule) for molecule in MOLECULES], folders=folders):
        print(f"{run.folder}: {run.time_ps:g} ps with {run.labels} labels")


if __name__ == "__main__":
    sys.exit(guarded(main))

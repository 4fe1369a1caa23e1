"""Fine-tune the shipped model on ethanol at 300 K against B3LYP, on the fly: `make ethanol`.

Run again after an interruption, it goes on from the last commit.
"""

import sys
from pathlib import Path

from bnnflow.analysis.report import write_report
from bnnflow.config import parse_config
from bnnflow.data import is_run
from workflows.console import guarded
from workflows.session import fine_tune, resume

FOLDER = Path("runs/ethanol")

CONFIG = parse_config(
    {
        "material": {"structure": "ethanol"},
        "potential": {"model": "chno-small"},
        "threshold": {"energy_kcal_per_mol": 2.0},
        "dynamics": {"kind": "langevin", "temperature_K": 300, "timestep_fs": 0.5,
                     "friction_per_fs": 0.01, "length_ps": 1.2},
        "sampler": {"schedule": "rto", "chains": 8},
        "reference": {"engine": "pyscf",
                      "options": {"method": "B3LYP", "basis": "def2-SVP", "density_fit": True}},
        "run": {"seed": 1},
    }
)  # fmt: skip


def main() -> None:
    """Start the run, or go on with it, and write its report."""
    runs = resume([FOLDER]) if is_run(FOLDER) else fine_tune([CONFIG], folders=[FOLDER])
    print(f"{runs[0].time_ps:g} ps with {runs[0].labels} labels: {write_report(runs[0].folder)}")


if __name__ == "__main__":
    sys.exit(guarded(main))

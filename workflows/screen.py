"""Twelve small molecules at 300 K against GFN2-xTB, over the same pools.

python -m workflows.screen                     # or: python -m workflows.screen runs/screen

Run again after an interruption, it goes on from the last commits.
"""

import argparse
import sys
from pathlib import Path

from bnnflow.config import parse_campaign
from bnnflow.data.layout import is_campaign
from workflows.campaign import resume_campaign, start_campaign
from workflows.console import DONE, INTERNAL, guarded

MOLECULES = ("H2O", "NH3", "CH4", "HCN", "C2H2", "C2H4", "H2CO", "CO2", "HCOOH", "methanol",
             "CH3CHO", "ethanol")  # fmt: skip

CAMPAIGN = parse_campaign(
    {
        "name": "small-molecules",
        "materials": [{"structure": molecule} for molecule in MOLECULES],
        "conditions": {"temperature_K": 300},
        "potential": {"model": "chno-small"},
        "threshold": {"energy_kcal_per_mol": 2.0},
        "dynamics": {"kind": "langevin", "timestep_fs": 0.5, "friction_per_fs": 0.01,
                     "length_ps": 0.1},
        "reference": {"engine": "tblite", "options": {"method": "GFN2-xTB"}},
        "run": {"seed": 1},
    }
)  # fmt: skip


def main() -> int:
    """Start the campaign, or go on with it, and say which molecules are done."""
    parser = argparse.ArgumentParser(description="Twelve small molecules against GFN2-xTB.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/small-molecules"))
    folder = parser.parse_args().folder
    ended = resume_campaign(folder) if is_campaign(folder) else start_campaign(CAMPAIGN, folder)
    print(ended.table())
    return INTERNAL if ended.unfinished else DONE


if __name__ == "__main__":
    sys.exit(guarded(main))

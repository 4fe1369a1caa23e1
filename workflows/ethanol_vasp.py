"""Ethanol against B3LYP of VASP, as in the paper: config `ethanol-vasp`.

    python -m workflows.ethanol_vasp --site NAME --folder runs/ethanol-vasp

Run again after an interruption, it goes on from the last commit.
"""

import sys

from workflows.console import guarded
from workflows.presets import parser, preset, run


def main() -> None:
    """Start the run, or go on with it, and write its report."""
    options = parser("Ethanol against B3LYP of VASP.", folder="runs/ethanol-vasp").parse_args()
    run([preset("ethanol-vasp", options.overrides)], [options.folder], options)


if __name__ == "__main__":
    sys.exit(guarded(main))

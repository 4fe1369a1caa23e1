"""LaMnO3 through its Jahn-Teller transition against PBE+U of VASP, as in the paper: config
`lamno3-vasp`, 25 ps from 300 to 800 K, 100 ps there, 25 ps back.

    python -m workflows.lamno3_vasp --site NAME --folder runs/lamno3-vasp

Run again after an interruption, it goes on from the last commit.
"""

import sys

from workflows.console import guarded
from workflows.presets import parser, preset, run


def main() -> None:
    """Start the run, or go on with it, and write its report."""
    options = parser("LaMnO3 against PBE+U of VASP.", folder="runs/lamno3-vasp").parse_args()
    run([preset("lamno3-vasp", options.overrides)], [options.folder], options)


if __name__ == "__main__":
    sys.exit(guarded(main))

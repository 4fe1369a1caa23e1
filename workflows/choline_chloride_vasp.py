"""Choline chloride and citric acid with cobalt against PBE+U of VASP, config
`choline-chloride-vasp`.

    python -m workflows.choline_chloride_vasp --structure cell.extxyz --site NAME

The cell comes from you; npt dynamics need it triangular. Run again after an interruption, it goes
on from the last commit.
"""

import sys

from workflows.console import guarded
from workflows.presets import parser, preset, run


def main() -> None:
    """Start the run, or go on with it, and write its report."""
    reader = parser("Choline chloride against PBE+U of VASP.", folder="runs/choline-chloride-vasp")
    reader.add_argument("--structure", required=True, help="file of the cell, one frame")
    options = reader.parse_args()
    structure = f"material.structure={options.structure}"
    run(
        [preset("choline-chloride-vasp", [structure, *options.overrides])],
        [options.folder],
        options,
    )


if __name__ == "__main__":
    sys.exit(guarded(main))

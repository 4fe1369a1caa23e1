"""The files through which the Python engines speak with the process that calculates.

`input.h5` holds the structure, `settings.json` the engine's options, `output.h5` the result; all
three stay behind as evidence.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnnflow import codec
from bnnflow.records import Failure, FailureCause, FloatArray, Label, Structure
from bnnflow.reference.checks import failed, verify

_INPUT, _SETTINGS, _OUTPUT = "input.h5", "settings.json", "output.h5"

STRESS_CONVENTION = "ASE: eV/Å³, xx yy zz yz xz xy, positive under tension"


@dataclass(frozen=True, eq=False)
class Output:
    """What a code reports of one calculation.

    structure: as the code had it; energy: eV; forces: (n_atoms, 3) eV/Å; stress: (6,) eV/Å³ in
    ASE's order and sign, or None; converged: None when the code does not say.
    """

    structure: Structure
    energy: float
    forces: FloatArray
    stress: FloatArray | None
    converged: bool | None
    details: Mapping[str, Any] = field(default_factory=dict)


Compute = Callable[[Structure, Mapping[str, Any], Path], Output]


def write_input(structure: Structure, settings: Mapping[str, Any], directory: Path) -> None:
    """Write the structure and the engine's options."""
    codec.save_record(directory / _INPUT, structure)
    (directory / _SETTINGS).write_text(json.dumps(dict(settings), indent=2) + "\n")


def calculate(compute: Compute, directory: Path) -> None:
    """Read a directory's input, compute and write the output, whole or not at all."""
    structure = codec.load_record(directory / _INPUT, Structure)
    settings = json.loads((directory / _SETTINGS).read_text())
    codec.save_record(directory / _OUTPUT, compute(structure, settings, directory))


def python_command(module: str, directory: Path, *, threads: int) -> list[str]:
    """Command that runs `python -m module DIRECTORY` with this interpreter."""
    python = [sys.executable, "-m", module, str(directory.resolve())]
    return ["env", f"OMP_NUM_THREADS={threads}", *python]


def parse_output(structure: Structure, directory: Path, *, level: str) -> Label | Failure:
    """Turn the output of a directory into a label.

    A missing or unconverged result, another geometry than `structure` and numbers that are not
    finite are Failures.
    """
    path = directory / _OUTPUT
    if not path.is_file():
        return failed(FailureCause.CRASHED, "the calculation ended without writing a result")
    output = codec.load_record(path, Output)
    if output.converged is False:
        iterations = output.details.get("iterations", "an unknown number of")
        message = f"the SCF did not converge in {iterations} iterations"
        return failed(FailureCause.NOT_CONVERGED, message)
    label = Label(
        structure=output.structure,
        energy=output.energy,
        forces=output.forces,
        stress=output.stress,
        level=level,
        directory=str(directory),
        seconds=0.0,
        host="",
        details=dict(output.details) | {"converged": output.converged},
    )
    return verify(structure, label)

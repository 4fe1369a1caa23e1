"""From vasprun.xml and OUTCAR of one calculation to a label, or to what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bnnflow.records import Failure, FailureCause, FloatArray, Label
from bnnflow.reference.checks import failed, verify
from bnnflow.reference.exchange import STRESS_CONVENTION
from bnnflow.reference.vasp.incar import parse_incar
from bnnflow.reference.vasp.kpoints import Mesh
from bnnflow.reference.vasp.layout import Layout
from bnnflow.reference.vasp.outcar import Outcar, OutcarStep, read_outcar
from bnnflow.reference.vasp.potcar import Potcar
from bnnflow.reference.vasp.signs import explain, species_refused, warnings_in
from bnnflow.reference.vasp.vasprun import IonicStep, Vasprun, read_vasprun

ENERGY_KIND = "free energy TOTEN, smearing's entropy included: what the forces are the gradient of"
_SAME_ELECTRONS = 1e-4


def parse_result(
    layout: Layout,
    directory: Path,
    *,
    level: str,
    mesh: Mesh,
    potcars: Sequence[Potcar],
    n_electrons: float,
) -> Label | Failure:
    """Read what VASP left in a directory for the structure laid out there.

    potcars, n_electrons: what it was given, compared with what it says it used.
    """
    try:
        vasprun, outcar = read_vasprun(directory / "vasprun.xml"), read_outcar(directory / "OUTCAR")
    except FileNotFoundError as error:
        return _broken(directory, f"VASP wrote no {Path(error.filename).name}")
    failure = _incomplete(directory, vasprun, outcar) or _other_input(
        directory, vasprun, potcars, n_electrons
    )
    if failure is not None:
        return failure
    step, printed = vasprun.steps[0], outcar.steps[0]
    if not outcar.converged(printed):
        return failed(FailureCause.NOT_CONVERGED, _unconverged(outcar, printed))
    label = Label(
        structure=layout.came_back(vasprun.elements, step.cell, step.scaled),
        energy=step.free_energy,
        forces=_unsorted(layout, step.forces),
        stress=step.stress if layout.structure.pbc.all() else None,
        level=level,
        directory=str(directory),
        seconds=0.0,
        host="",
        details={
            **_calculation(layout, step, printed, vasprun, outcar),
            "k_points": mesh.words,
            "potcars": [_potcar(potcar) for potcar in potcars],
            "incar": parse_incar((directory / "INCAR").read_text()),
            "warnings": [*_of_input(layout, vasprun, potcars), *warnings_in(directory)],
        },
    )
    return verify(layout.structure, label)


def _incomplete(directory: Path, vasprun: Vasprun, outcar: Outcar) -> Failure | None:
    """What a run that was cut short lacks."""
    if vasprun.problem:
        return _broken(directory, f"vasprun.xml is not whole: {vasprun.problem}")
    found = len(vasprun.steps), len(outcar.steps)
    if found != (1, 1):
        message = f"vasprun.xml and OUTCAR hold {found[0]} and {found[1]} ionic steps, expected 1"
        return _broken(directory, message)
    if vasprun.steps[0].forces is None or not outcar.steps[0].ended:
        return _broken(directory, "VASP ended before it had forces")
    return None


def _broken(directory: Path, message: str) -> Failure:
    """The reason that VASP gave, else what is missing."""
    return explain(directory) or failed(FailureCause.CRASHED, message)


def _other_input(
    directory: Path, vasprun: Vasprun, potcars: Sequence[Potcar], n_electrons: float
) -> Failure | None:
    """POTCARs or electrons other than those that were given."""
    given = tuple(" ".join(potcar.title.split()) for potcar in potcars)
    used = tuple(" ".join(title.split()) for title in vasprun.potcars)
    if given != used or species_refused(directory):
        message = (
            f"VASP used the POTCARs {', '.join(used)}, expected {', '.join(given)}: look at POTCAR"
        )
        return failed(FailureCause.BAD_INPUT, message)
    counted = vasprun.parameter("NELECT")
    if not abs(counted - n_electrons) < _SAME_ELECTRONS:
        message = f"VASP counted {counted:g} electrons, expected {n_electrons:g}: look at NELECT"
        return failed(FailureCause.BAD_INPUT, message)
    return None


def _unconverged(outcar: Outcar, step: OutcarStep) -> str:
    change = max(abs(step.energy_change), abs(step.band_energy_change))
    return (
        f"the SCF did not converge in {step.electronic_steps} steps (NELM {outcar.nelm}): the "
        f"energies changed by {change:.2g} eV in the last, EDIFF is {outcar.ediff:.2g}"
    )


def _unsorted(layout: Layout, forces: FloatArray | None) -> FloatArray:
    """Forces in the structure's order; what has another length is left for `verify` to refuse."""
    found = np.empty((0, 3)) if forces is None else forces
    return layout.unsorted(found) if len(found) == len(layout.order) else found


def _calculation(
    layout: Layout, step: IonicStep, printed: OutcarStep, vasprun: Vasprun, outcar: Outcar
) -> dict[str, Any]:
    """What the code reported, in eV and µB."""
    details: dict[str, Any] = {
        "code": "VASP",
        "version": vasprun.version,
        "converged": True,
        "iterations": printed.electronic_steps,
        "energy_kind": ENERGY_KIND,
        "energy_without_entropy_eV": step.energy_without_entropy,
        "energy_sigma_0_eV": step.energy_sigma_0,
        "n_electrons": outcar.n_electrons,
        "n_irreducible_k_points": vasprun.n_kpoints,
    }
    if layout.structure.pbc.all():
        details["stress_convention"] = STRESS_CONVENTION
    if np.isfinite(printed.total_moment):
        details["total_moment_muB"] = printed.total_moment
    if printed.moments is not None and len(printed.moments) == len(layout.order):
        details["moments_muB"] = layout.unsorted(printed.moments).tolist()
    return details


def _of_input(layout: Layout, vasprun: Vasprun, potcars: Sequence[Potcar]) -> list[str]:
    """What a reader of the label should know of its input."""
    notes = []
    cutoff = vasprun.parameter("ENMAX")
    for potcar in potcars:
        if cutoff < potcar.enmax:
            notes.append(f"cutoff {cutoff:g} eV is below {potcar.enmax:g} eV of {potcar.title}")
    if layout.structure.charge:
        notes.append("charged cell in a uniform background, energy not corrected for it")
    return notes


def _potcar(potcar: Potcar) -> dict[str, Any]:
    return {"name": potcar.name, "title": potcar.title, "sha256": potcar.sha256}

"""ASE's integrators as bnnflow uses them: Langevin, velocity Verlet and Melchionna's NPT.

| kind     | ASE                            | state besides positions, velocities, cell  |
|----------|--------------------------------|--------------------------------------------|
| langevin | `ase.md.langevin.Langevin`     | the noise stream                           |
| verlet   | `ase.md.verlet.VelocityVerlet` | none                                       |
| npt      | `ase.md.melchionna`            | `NPT_STATE`, two time levels and the rates |

The centre of mass stands still in all three: through ASE's FixCom in the first two (its own
remedy for Langevin's deprecated `fixcm`), through the method itself in npt. A kinetic temperature
therefore counts 3 n_atoms - 3 degrees of freedom.

NPT is the integrator of [R26] (METHOD 7), under the name ASE now gives it; ASE warns that its
thermostat and barostat can become unstable when their times are badly chosen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.melchionna import MelchionnaNPT
from ase.md.verlet import VelocityVerlet

from bnnflow.errors import ConfigError, StructureError
from bnnflow.md.schedule import check_schedule, temperature_at
from bnnflow.records import Dynamics, FloatArray, Structure
from bnnflow.units import BAR, FS, GPA, KB

KINDS = ("langevin", "verlet", "npt")

NPT_STATE = (
    "q",
    "q_past",
    "q_future",
    "h_past",
    "eta",
    "eta_past",
    "zeta",
    "zeta_past",
    "zeta_integrated",
    "pfact",
)
"""Attributes of ASE's NPT that its next step depends on, besides the atoms and the cell h.

q: (n_atoms, 3) scaled positions now, one step ago and one step ahead; h_past: (3, 3) Å, cell one
step ago; eta: (3, 3) strain rate; zeta: thermostat friction; pfact: inverse barostat mass, which
belongs to the volume of the first step and must not follow the cell.
"""

NPT_SETTINGS = ("dt", "pfactor_given")
"""Attributes that the state was made with; with others it means nothing."""


def check_dynamics(dynamics: Dynamics) -> None:
    """Raise ConfigError unless these dynamics can be integrated."""
    if dynamics.kind not in KINDS:
        raise ConfigError(
            f"dynamics of kind {dynamics.kind!r}, expected one of {', '.join(KINDS)}: choose one"
        )
    check_schedule(dynamics.temperature_schedule)
    _check_positive("timestep_fs", dynamics.timestep_fs)
    if dynamics.equilibration_fs is not None:
        _check_positive("equilibration_fs", dynamics.equilibration_fs)
    if dynamics.kind == "langevin" or dynamics.equilibration_fs is not None:
        _check_positive("friction_per_fs", dynamics.friction_per_fs)
    if dynamics.kind == "npt":
        _check_positive("thermostat_time_fs", dynamics.thermostat_time_fs)
        _check_positive("barostat_factor_GPa_fs2", dynamics.barostat_factor_GPa_fs2)


def check_structure(structure: Structure, dynamics: Dynamics) -> None:
    """Raise StructureError unless these atoms can move under these dynamics.

    NPT needs three periodic directions and a triangular cell. Such a cell is not made here, since
    turning the atoms would change what the user's other files mean.
    """
    if len(structure) < 2:
        raise StructureError(
            f"{len(structure)} atom(s), expected at least 2: with the centre of mass at rest a "
            "single atom cannot move"
        )
    if dynamics.kind == "npt":
        _check_npt_cell(structure)


def make_integrator(
    atoms: Atoms, dynamics: Dynamics, *, rng: np.random.Generator
) -> MolecularDynamics:
    """ASE's integrator for atoms whose velocities are set afterwards; not yet started."""
    atoms.set_constraint()
    if dynamics.kind == "npt":
        return _make_npt(atoms, dynamics)
    atoms.set_constraint(FixCom())
    if dynamics.kind == "langevin":
        return _make_langevin(atoms, dynamics, rng)
    return VelocityVerlet(atoms, timestep=dynamics.timestep_fs * FS)


def start_npt(integrator: MelchionnaNPT, state: Mapping[str, Any]) -> None:
    """Give NPT its state, or a first one where there is none.

    A state made with another time step or barostat factor counts as none: thermostat and barostat
    then begin at rest. The atoms must have their forces and stress already.
    """
    if any(state.get(name) != getattr(integrator, name) for name in NPT_SETTINGS):
        integrator.initialize()
        return
    integrator.h = integrator.atoms.cell.array.copy()
    integrator.inv_h = np.linalg.inv(integrator.h)
    for name in NPT_STATE:
        setattr(integrator, name, state[name])
    integrator.initialized = 1


def integrator_state(integrator: MolecularDynamics) -> dict[str, Any]:
    """What `start_npt` needs to go on exactly; empty for the other integrators."""
    if not isinstance(integrator, MelchionnaNPT):
        return {}
    return {name: _plain(getattr(integrator, name)) for name in (*NPT_SETTINGS, *NPT_STATE)}


def set_target_temperature(integrator: MolecularDynamics, dynamics: Dynamics, step: int) -> None:
    """Let the thermostat aim at the schedule's temperature where `step` begins."""
    kelvin = temperature_at(dynamics.temperature_schedule, step * dynamics.timestep_fs)
    if isinstance(integrator, Langevin):
        integrator.set_temperature(temperature_K=kelvin)
    elif isinstance(integrator, MelchionnaNPT):
        inverse_mass = integrator.pfact  # ASE derives it anew from the cell of the moment
        integrator.set_temperature(temperature_K=kelvin)
        integrator.pfact = inverse_mass


def kinetic_temperature(kinetic: FloatArray, n_atoms: int) -> FloatArray:
    """Temperatures (m,) in K of kinetic energies (m,) in eV, with the centre of mass at rest."""
    return 2.0 * kinetic / ((3 * n_atoms - 3) * KB)


def _make_langevin(atoms: Atoms, dynamics: Dynamics, rng: np.random.Generator) -> Langevin:
    return Langevin(
        atoms,
        timestep=dynamics.timestep_fs * FS,
        temperature_K=temperature_at(dynamics.temperature_schedule, 0.0),
        friction=dynamics.friction_per_fs / FS,
        fixcm=False,
        rng=rng,
    )


def _make_npt(atoms: Atoms, dynamics: Dynamics) -> MelchionnaNPT:
    return MelchionnaNPT(
        atoms,
        timestep=dynamics.timestep_fs * FS,
        temperature_K=temperature_at(dynamics.temperature_schedule, 0.0),
        externalstress=dynamics.pressure_bar * BAR,
        ttime=dynamics.thermostat_time_fs * FS,
        pfactor=dynamics.barostat_factor_GPa_fs2 * GPA * FS**2,
    )


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0.0):
        raise ConfigError(f"{name} is {value}, expected a positive number: correct it")


def _check_npt_cell(structure: Structure) -> None:
    if not np.all(structure.pbc):
        raise StructureError(
            f"pbc is {structure.pbc.tolist()}, but npt dynamics need three periodic directions: "
            "make the cell periodic or use langevin dynamics"
        )
    upper, lower = np.triu(structure.cell), np.tril(structure.cell)
    if not (np.array_equal(structure.cell, upper) or np.array_equal(structure.cell, lower)):
        raise StructureError(
            "the cell is not a triangular matrix, which npt dynamics need: turn cell and atoms "
            "with ASE's atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)"
        )


def _plain(value: Any) -> Any:
    return np.array(value) if np.ndim(value) else float(value)

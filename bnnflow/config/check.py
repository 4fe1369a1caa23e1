"""Everything that can be found wrong with a run before anything is written."""

from __future__ import annotations

from dataclasses import replace

from bnnflow.config.run import RunConfig
from bnnflow.errors import ConfigError, ModelError, ReferenceError
from bnnflow.materials import check_material
from bnnflow.records import Structure


def check_run(config: RunConfig) -> Structure:
    """Load what the config names and check that it fits together; cheap checks come first.

    Returns the structure the run starts from. Raises StructureError, ConfigError, ReferenceError
    or ModelError, each in one line.
    """
    structure = config.material.load()
    check_material(structure)
    _check_dynamics(config, structure)
    check_reference(config, structure)
    _check_model(config, structure)
    return structure


def check_reference(config: RunConfig, structure: Structure) -> None:
    """Refuse reference options that are unknown or cannot treat this structure."""
    from bnnflow.reference import build_reference

    reference = build_reference(config.reference.spec())
    reference.check(structure)
    if config.dynamics.kind == "npt" and not reference.has_stress:
        raise ReferenceError(
            f"dynamics.kind is npt, but reference {config.reference.engine} gives no stress: use "
            "langevin, or another reference"
        )


def _check_dynamics(config: RunConfig, structure: Structure) -> None:
    if config.dynamics.kind == "npt" and not structure.pbc.all():
        raise ConfigError(
            "dynamics.kind is npt, but the structure is not periodic in all three directions: "
            "use langevin, or give a periodic structure"
        )


def _check_model(config: RunConfig, structure: Structure) -> None:
    from bnnflow.potentials.registry import check_device, load_potential  # torch takes seconds

    if config.potential.family != "mace":
        raise ConfigError(f"potential.family is {config.potential.family}, expected mace: set mace")
    check_device(config.potential.device)
    potential = load_potential(replace(config.potential.record(), device="cpu"))
    check_material(structure, elements=potential.elements, cutoff=potential.cutoff)
    if config.dynamics.kind == "npt" and not potential.has_stress:
        raise ModelError(
            f"dynamics.kind is npt, but {config.potential.model} gives no stress: use langevin"
        )

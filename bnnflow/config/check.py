"""Everything that can be found wrong with a run before anything is written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bnnflow.config.run import RunConfig
from bnnflow.errors import ConfigError, ModelError, ReferenceError
from bnnflow.materials import check_material
from bnnflow.records import Structure, model_family

if TYPE_CHECKING:
    from bnnflow.potentials import Potential

FEWEST_LABELS = 20
"""Labels that an update by `rto` must have room for, besides initial data; a run needs tens."""


def check_run(config: RunConfig, structure: Structure | None = None) -> Structure:
    """Load what the config names and check that it fits together; cheap checks come first.

    structure: of the config's material, when it is at hand. Returns the structure the run starts
    from. Raises StructureError, ConfigError, ReferenceError or ModelError, each in one line.
    """
    if structure is None:
        structure = config.material.load()
    check_material(structure)
    config.threshold.regions(structure)
    config.initial.record(config.dynamics, structure, lambda _: 0)
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

    family = model_family(config.potential.model)
    if config.potential.family != family:
        raise ConfigError(
            f"potential.family is {config.potential.family}, but potential.model is "
            f"{config.potential.model}, expected {family}: remove potential.family, or name "
            "another model"
        )
    check_device(config.potential.device)
    potential = load_potential(replace(config.potential.record(), device="cpu"))
    check_material(structure, elements=potential.elements, cutoff=potential.cutoff)
    if config.dynamics.kind == "npt" and not potential.has_stress:
        raise ModelError(
            f"dynamics.kind is npt, but {config.potential.model} gives no stress: use langevin"
        )
    if config.sampler.schedule == "rto":
        _check_jacobian(potential, structure, FEWEST_LABELS + config.initial.labels)


def _check_jacobian(potential: Potential, structure: Structure, fewest: int) -> None:
    """Refuse a run whose updates would soon outgrow the memory, before it spends anything."""
    from bnnflow.training.jacobian_memory import labels_that_fit

    n_labels = labels_that_fit(potential, structure, stress=bool(structure.pbc.all()))
    if n_labels < fewest:
        raise ConfigError(
            f"sampler.schedule is rto, whose memory holds {n_labels} labels of these "
            f"{len(structure)} atoms with this model, expected at least {fewest}: set "
            "sampler.schedule to published"
        )

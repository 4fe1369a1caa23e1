"""The sections of a run's config: what is simulated, with which potential, against which reference.

A key's name carries its unit; its description is its documentation. Every default that does not
depend on the model's family or the schedule's name stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticUndefined

from bnnflow import records
from bnnflow.config.base import Section
from bnnflow.materials import load_structure
from bnnflow.units import from_kcal_per_mol


class MaterialConfig(Section):
    """The atoms to simulate, and their electronic state."""

    name: str = Field(
        default="",
        pattern=r"^[\w.+-]*$",
        description="name of the run; default: from the structure",
    )
    structure: str = Field(
        description="molecule's name (ethanol, CH3CH2OH), crystal's (bulk:Si, LaMnO3-2x2x2, "
        "CaZrS3-2H) or file (xyz, extxyz, cif, POSCAR)"
    )
    repeat: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(1, 1, 1), description="how often the structure's cell is repeated, [2, 2, 2]"
    )
    displacement_A: float = Field(
        default=0.0,
        ge=0.0,
        description="std of random displacements that the run starts from, by coordinate, Å: on "
        "the sites of a crystal forces are zero and say nothing",
    )
    structure_sha256: str = Field(
        default="", description="checksum of the structure file; filled in when the run starts"
    )
    charge: int = Field(default=0, description="total charge, e")
    multiplicity: int = Field(default=1, ge=1, description="spin multiplicity 2S+1")

    @model_validator(mode="before")
    @classmethod
    def _name_after_structure(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and not values.get("name"):
            stem = "".join(c if c.isalnum() or c in "_.+-" else "-" for c in _stem(values))
            return {**values, "name": stem}
        return values

    def load(self) -> records.Structure:
        """The atoms with their charge and multiplicity; raises StructureError."""
        return load_structure(
            self.structure,
            charge=self.charge,
            multiplicity=self.multiplicity,
            repeat=self.repeat,
        )


def _stem(values: Mapping[str, Any]) -> str:
    return Path(str(values.get("structure", ""))).stem


class PotentialConfig(Section):
    """The foundation model that is fine-tuned, and how tightly its prior holds it."""

    model: str = Field(default="chno-small", description="model's name in the registry, or a file")
    family: Literal["mace", "chgnet", "nequip"] = Field(
        default="mace",
        description="architecture; sets defaults of prior, calibration, step size; default: that "
        "of the model",
    )
    checksum: str = Field(default="", description="sha256 the model file must have; empty: any")
    prior_std: float | None = Field(
        default=None,
        gt=0,
        description="sigma_TL, std of the prior around the foundation weights (rto: its scale, "
        "times a factor of each weight, see sampler.prior_power); default: by family for schedule "
        "published; for rto found at the start, see sampler",
    )
    head_prior_std: float | None = Field(
        default=None,
        gt=0,
        description="std of the prior of the force-std head; default: prior_std for schedule "
        "published; for rto found at the start, so that the head may halve or double s0",
    )
    allow_pickle: bool = Field(
        default=False,
        description="load a whole-model pickle from elsewhere, which can run any code",
    )
    dtype: Literal["float32", "float64"] = Field(default="float32", description="of the weights")
    device: str = Field(
        default="cpu",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="cpu, cuda, cuda:N, or auto: a GPU in workers that have one, else the CPU; on "
        "a cluster, whose login node has no GPU",
    )

    def record(self) -> records.PotentialSpec:
        """What the pools need to load the model."""
        return records.PotentialSpec(
            model=self.model,
            checksum=self.checksum,
            allow_pickle=self.allow_pickle,
            dtype=self.dtype,
            device=self.device,
        )


class SamplerConfig(Section):
    """The posterior chains, and how each update moves them."""

    schedule: Literal["published", "rto"] = Field(
        default="rto",
        description="rto: condition on the new label, then HMC; published: SGHMC of METHOD 3",
    )
    chains: int = Field(default=8, ge=2, description="chains, the ensemble's members")
    trajectories: int = Field(default=20, ge=1, description="rto: of HMC per update")
    leapfrog_steps: int = Field(
        default=5, ge=1, description="rto: per trajectory, each a gradient over all labels"
    )
    max_jacobians: int = Field(
        default=10,
        ge=1,
        description="rto: row-by-row derivatives of all labels, per update, near the data",
    )
    max_steps: int = Field(default=40, ge=1, description="rto: Gauss-Newton steps per update")
    prior_force_spread_kcal_per_mol_A: float = Field(
        default=7.0,
        gt=0,
        description="rto: spread of forces that a found potential.prior_std gives, the error "
        "expected of the foundation model, kcal/mol/Å",
    )
    prior_power: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="rto: std of a weight goes with its sensitivity to the power of minus this; "
        "0: one std for all",
    )
    force_std_kcal_per_mol_A: float = Field(
        default=0.5,
        gt=0,
        description="rto: median of the force noise under its prior, the force error expected of "
        "a fine-tuned model, kcal/mol/Å",
    )
    force_std_factor: float = Field(
        default=3.0, gt=1, description="rto: one standard deviation of that prior, as a factor"
    )
    steps: int = Field(default=2000, ge=1, description="published: gradient steps per update")
    batch: int = Field(default=5, ge=2, description="published: frames per gradient step")
    step_size: float | None = Field(
        default=None, gt=0, description="published: lr0 at the first step; default by family"
    )
    friction: float = Field(
        default=0.1, gt=0, lt=1, description="published: a, momentum lost per step"
    )
    second_moment_decay: float = Field(
        default=0.999, gt=0, lt=1, description="published: beta of the mass"
    )
    epsilon: float = Field(
        default=1e-4, gt=0, description="published: added to the mass's square root"
    )
    noise_free_fraction: float = Field(
        default=398 / 2000, ge=0, le=1, description="published: share of the steps without noise"
    )
    ramp_fraction: float = Field(
        default=102 / 2000, ge=0, le=1, description="published: then, steps of rising noise"
    )
    freeze_mass_fraction: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="published: share of the steps after which the mass stays fixed",
    )

    @model_validator(mode="after")
    def _noise_comes_on(self) -> SamplerConfig:
        if self.noise_free_fraction + self.ramp_fraction > 1:
            raise ValueError(
                f"has noise_free_fraction {self.noise_free_fraction:g} and ramp_fraction "
                f"{self.ramp_fraction:g}, expected a sum of at most 1: lower one"
            )
        return self

    @model_validator(mode="after")
    def _keys_are_used(self) -> SamplerConfig:
        """A number set for another schedule would have no effect, and nobody would notice."""
        other = other_schedule(self.schedule)
        unused = sorted(_SCHEDULE_KEYS[other] & self.model_fields_set)
        if unused:
            raise ValueError(
                f"has {unused[0]}, which only schedule {other} uses, "
                f"but schedule is {self.schedule}: remove it, or set sampler.schedule to {other}"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A later change of a default must not make a number of a key without use."""
        return without_unused(serialise(self), self.schedule)

    def _changed(self) -> set[str]:
        """Keys whose value is not the default; one without a default counts as unchanged."""
        defaults = {key: field.default for key, field in type(self).model_fields.items()}
        return {
            key
            for key, default in defaults.items()
            if default is not PydanticUndefined and getattr(self, key) != default
        }

    def cost(self) -> str:
        """In words: the gradients of one update."""
        if self.schedule == "rto":
            return (
                f"{self.trajectories * self.leapfrog_steps} HMC steps per update, over all labels"
            )
        return f"{self.steps} steps per update, batch {self.batch}"

    @property
    def stationary_temperature(self) -> float:
        """Kinetic temperature that a stationary chain reports: 1, or the SGHMC integrator's."""
        return 1.0 if self.schedule == "rto" else 1.0 / (1.0 - self.friction / 2.0)

    def record(self) -> records.ScheduleSpec | records.RtoSpec:
        """The schedule with every number explicit; changes to the named one show in its name."""
        changed = sorted(_NAMED_KEYS[self.schedule] & self._changed())
        name = " ".join([self.schedule, *(f"{key}={getattr(self, key):g}" for key in changed)])
        if self.schedule == "rto":
            force_std = from_kcal_per_mol(self.force_std_kcal_per_mol_A)
            same = self.model_dump(include=_RTO_KEYS - {"force_std_kcal_per_mol_A"})
            return records.RtoSpec(name=name, force_std=force_std, **same)
        return records.ScheduleSpec(name=name, **self.model_dump(include=_PUBLISHED_KEYS))


_PUBLISHED_KEYS = {item.name for item in fields(records.ScheduleSpec)} - {"name"}
_RTO_KEYS = {
    "trajectories",
    "leapfrog_steps",
    "max_jacobians",
    "max_steps",
    "force_std_kcal_per_mol_A",
    "force_std_factor",
    "prior_power",
}
_SCHEDULE_KEYS: Mapping[str, set[str]] = {
    "published": _PUBLISHED_KEYS,
    "rto": _RTO_KEYS | {"prior_force_spread_kcal_per_mol_A"},
}
"""Keys that one schedule alone uses."""
SCHEDULES = frozenset(_SCHEDULE_KEYS)


def other_schedule(schedule: str) -> str:
    """Whose keys are of no use."""
    return "published" if schedule == "rto" else "rto"


def without_unused(sampler: Mapping[str, Any], schedule: str) -> dict[str, Any]:
    """A section `sampler` without the keys that its schedule does not use."""
    unused = _SCHEDULE_KEYS[other_schedule(schedule)]
    return {key: value for key, value in sampler.items() if key not in unused}


_NAMED_KEYS: Mapping[str, set[str]] = {
    "published": {"noise_free_fraction", "ramp_fraction", "freeze_mass_fraction"},
    "rto": _RTO_KEYS,
}
"""Keys that make a schedule another one; how long and how far it goes does not, when published."""


class ReferenceConfig(Section):
    """The calculation that is the truth of this run."""

    engine: str = Field(
        description="pyscf or another code of docs/reference-codes.md; ase: any ASE calculator"
    )
    options: Mapping[str, Any] = Field(
        default_factory=dict, description="the engine's own settings, checked before the run starts"
    )
    timeout_s: float = Field(
        default=3600.0, gt=0, description="a label that takes longer, all attempts together, fails"
    )
    failure_budget: int = Field(
        default=3,
        ge=0,
        description="failures that a run survives before its material is set aside: frames without "
        "a label and MD that a guard stopped, together; chains, in one update",
    )
    launcher: str = Field(
        default="",
        description="words before the command of an MPI code (mpirun -np 4); default: the site's",
    )
    keep_outputs: Literal["all", "compressed", "result"] = Field(
        default="all", description="raw files of good labels; those of failures are all kept"
    )
    free_disk_GB: float = Field(
        default=0.1, ge=0, description="a label is not begun with less free disk space, GB"
    )
    free_memory_GB: float = Field(
        default=0.0, ge=0, description="a label is not begun with less memory available, GB"
    )

    def handling(self) -> records.Handling:
        """How labels are calculated, which does not change them."""
        return records.Handling(
            timeout_s=self.timeout_s,
            launcher=self.launcher,
            keep=self.keep_outputs,
            free_disk_GB=self.free_disk_GB,
            free_memory_GB=self.free_memory_GB,
        )

    def spec(self) -> dict[str, Any]:
        """What `bnnflow.reference.build_reference` takes."""
        return {"engine": self.engine, **self.options}


class RunSettings(Section):
    """Where and how the run proceeds."""

    seed: int = Field(default=1, ge=0, description="every random number of the run derives from it")
    site: str = Field(default="local", description="site config, by name or path")
    continue_on: Literal["reference", "ensemble"] = Field(
        default="reference", description="forces that take the step at a labelled frame"
    )
    while_labelling: Literal["wait", "rewind"] = Field(
        default="wait",
        description="what MD does while a label or an update is under way: wait; or rewind: go on "
        "with the ensemble, and return to the frame if its error exceeded K",
    )
    folder: str | None = Field(default=None, description="run folder; default: runs/NAME")
    shared_ensemble: str = Field(
        default="",
        description="run whose ensemble it uses, from its own folder; filled in by campaigns with "
        "ensembles: per_material",
    )

    @model_serializer(mode="wrap")
    def _without_unused(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A run that waits, alone, keeps the resolved copy and digest it had before these keys."""
        values: dict[str, Any] = serialise(self)
        if self.while_labelling == "wait":
            values.pop("while_labelling", None)
        if not self.shared_ensemble:
            values.pop("shared_ensemble", None)
        return values

"""The sections on the rule: what error asks for a label, and how the estimate of errors learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from bnnflow import records
from bnnflow.config.base import Section, without_nulls
from bnnflow.config.forces import ALL, REST, ForceRegionConfig, force_regions
from bnnflow.units import from_kcal_per_mol

ENERGY_STD_FRACTION: float = 0.1
"""Fixed likelihood std of the energy as a share of the threshold K [R26, METHOD 1]."""


class ThresholdConfig(Section):
    """K, the energy error that must not be exceeded, and how surely."""

    energy_kcal_per_mol: float | None = Field(default=None, gt=0, description="K, kcal/mol")
    energy_eV: float | None = Field(default=None, gt=0, description="K, eV; instead of kcal/mol")
    per: Literal["cell", "atom"] = Field(default="cell", description="K is of the cell or per atom")
    confidence: float = Field(
        default=0.95, gt=0, lt=1, description="label when P(|error| < K) is below this"
    )
    force_kcal_per_mol_A: float | None = Field(
        default=None,
        gt=0,
        description="force criterion, off by default: label too when P(no atom's force error is "
        "longer than this) may be below confidence (method.md), kcal/mol/Å; of every atom that "
        "is not in force_regions",
    )
    force_regions: Mapping[str, ForceRegionConfig] | None = Field(
        default=None,
        description="atoms with limits of their own, {NAME: {elements: [H], kcal_per_mol_A: 5}} or "
        "{atoms: [0, 3], ...}; each region has its own calibration",
    )

    @model_validator(mode="after")
    def _regions_have_names(self) -> ThresholdConfig:
        for name in self.force_regions or {}:
            if name in (ALL, REST) or not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(
                    f"has a force region {name!r}, expected letters, digits, - and _, and not "
                    f"{ALL} or {REST}: rename it"
                )
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A run without a force criterion keeps the resolved copy and digest it had before it."""
        return without_nulls(serialise(self), "force_kcal_per_mol_A", "force_regions")

    @model_validator(mode="after")
    def _one_energy(self) -> ThresholdConfig:
        if (self.energy_kcal_per_mol is None) == (self.energy_eV is None):
            found = "neither" if self.energy_eV is None else "both"
            raise ValueError(
                f"has {found} of energy_kcal_per_mol and energy_eV, expected exactly one: "
                "set one, and null for the other"
            )
        return self

    def energy_threshold_eV(self, n_atoms: int) -> float:  # noqa: N802 - a unit
        """K of the whole cell, eV [METHOD 1]."""
        if self.energy_eV is not None:
            energy = self.energy_eV
        else:
            energy = from_kcal_per_mol(self.energy_kcal_per_mol or 0.0)
        return energy * n_atoms if self.per == "atom" else energy

    @property
    def limits_forces(self) -> bool:
        """Whether there is a force criterion."""
        return bool(self.force_regions) or self.force_kcal_per_mol_A is not None

    def regions(self, structure: records.Structure) -> tuple[records.ForceRegion, ...]:
        """The regions of the force criterion, none without one; raises ConfigError."""
        return force_regions(self.force_regions or {}, self.force_kcal_per_mol_A, structure)

    def energy_std_eV(self, n_atoms: int) -> float:  # noqa: N802 - a unit
        """Fixed likelihood std of the cell's energy, 0.1 K, eV [R26, METHOD 1]."""
        return ENERGY_STD_FRACTION * self.energy_threshold_eV(n_atoms)


class CalibrationConfig(Section):
    """Gamma prior over the precision factor of the error model (METHOD 5), and what it learns."""

    shape: float = Field(gt=0, description="a; default by family (MACE and CHGNet 1.5, NequIP 3)")
    scale: float = Field(gt=0, description="b; default by family (10)")
    moving_average_labels: float | None = Field(
        default=None,
        gt=1,
        description="exponential moving average of the squared errors over about this many labels, "
        "old ones count less; default: all count the same",
    )
    audit_every_steps: int | None = Field(
        default=None,
        ge=1,
        description="label a trusted frame too, at each step that is a multiple of this; its error "
        "enters an estimate of its own; default: none",
    )
    use: Literal["requested", "audit", "both"] = Field(
        default="requested",
        description="errors that the rule learns from, with audits: of labels it asked for, of "
        "audits (unbiased for the frames it trusts), or both",
    )
    force_shape: float | None = Field(
        default=None, gt=0, description="a of each force region; default: shape"
    )
    force_scale: float | None = Field(
        default=None, gt=0, description="b of each force region; default: scale"
    )

    @model_validator(mode="after")
    def _audits_to_use(self) -> CalibrationConfig:
        if self.use != "requested" and self.audit_every_steps is None:
            raise ValueError(
                f"has use {self.use}, but no audit_every_steps, without which there are no audits: "
                "set it, or remove use"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A run without these keeps the resolved copy and digest it had before them."""
        values = without_nulls(
            serialise(self),
            *("moving_average_labels", "audit_every_steps", "force_shape", "force_scale"),
        )
        if self.audit_every_steps is None:
            values.pop("use", None)
        return values

    def record(self) -> records.Calibration:
        """The calibration of energies before any label."""
        return records.Calibration(shape=self.shape, scale=self.scale, decay=self._decay)

    def force_record(self) -> records.Calibration:
        """The calibration of a region's forces before any label."""
        return records.Calibration(
            shape=self.force_shape or self.shape,
            scale=self.force_scale or self.scale,
            decay=self._decay,
        )

    def estimates(self, n_regions: int) -> records.Estimates:
        """Calibrations beside the first, before any label. n_regions: of the force criterion."""
        forces = (self.force_record(),) * n_regions
        if self.audit_every_steps is None:
            return records.Estimates(forces=forces)
        return records.Estimates(self.record(), forces, forces)

    @property
    def _decay(self) -> float:
        return 1.0 if self.moving_average_labels is None else 1.0 - 1.0 / self.moving_average_labels

"""The config of one run: its sections, its resolved copy and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from bnnflow import records
from bnnflow.config.base import Section
from bnnflow.config.defaults import COMPAT_FIXED, fill_defaults
from bnnflow.config.dynamics import DynamicsConfig
from bnnflow.config.guards import GuardsConfig
from bnnflow.config.initial import InitialConfig
from bnnflow.config.limits import LimitsConfig
from bnnflow.config.rule import CalibrationConfig, ThresholdConfig
from bnnflow.config.sections import (
    MaterialConfig,
    PotentialConfig,
    ReferenceConfig,
    RunSettings,
    SamplerConfig,
)
from bnnflow.config.yaml_values import dump_yaml

LAYOUT_KEYS: Mapping[str, frozenset[str]] = {
    "run": frozenset({"folder", "site"}),
    "potential": frozenset({"device"}),
    "reference": frozenset(
        {
            "timeout_s",
            "failure_budget",
            "launcher",
            "keep_outputs",
            "free_disk_GB",
            "free_memory_GB",
        }
    ),
}
"""Keys that say where and how patiently a run proceeds, not what it computes."""


class RunConfig(Section):
    """Everything that defines one run. Make it with `load_config` or `parse_config`."""

    material: MaterialConfig
    threshold: ThresholdConfig
    dynamics: DynamicsConfig
    reference: ReferenceConfig
    potential: PotentialConfig
    calibration: CalibrationConfig
    sampler: SamplerConfig
    initial: InitialConfig = Field(default_factory=InitialConfig)
    guards: GuardsConfig = Field(default_factory=GuardsConfig)
    run: RunSettings = Field(default_factory=RunSettings)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    compat: Literal["rensmeyer2026"] | None = Field(
        default=None,
        description="reproduce published code with its faults: rensmeyer2026, the code of [R26] "
        "(decisions.md); sets the keys that it needs and refuses other values of them",
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve_defaults(cls, values: Any) -> Any:
        return fill_defaults(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _nothing_contradicts_compat(self) -> RunConfig:
        for section, keys in COMPAT_FIXED.get(self.compat or "", {}).items():
            for key, expected in keys.items():
                found = getattr(getattr(self, section), key)
                if found != expected:
                    raise ValueError(
                        f"compat is {self.compat}, but {section}.{key} is {found}, expected "
                        f"{expected}: remove {section}.{key}, or compat"
                    )
        return self

    @model_validator(mode="after")
    def _forces_are_judged(self) -> RunConfig:
        """A number set without a force criterion would have no effect."""
        for key in ("force_shape", "force_scale"):
            if getattr(self.calibration, key) is not None and not self.threshold.limits_forces:
                raise ValueError(
                    f"has calibration.{key}, but no force criterion, expected "
                    f"threshold.force_kcal_per_mol_A or force_regions: set one, or remove {key}"
                )
        return self

    @model_validator(mode="after")
    def _initial_data_fit(self) -> RunConfig:
        """A batch that has begun is finished, so it must be within the limit; and the published
        prior is too wide for its draws to be potentials."""
        wanted, most = self.initial.labels, self.limits.labels
        if wanted and most is not None and wanted >= most:
            raise ValueError(
                f"has initial.labels {wanted} and limits.labels {most}, expected room for them and "
                "the first frame: lower the one or raise the other"
            )
        if self.initial.select == "uncertainty" and self.sampler.schedule != "rto":
            raise ValueError(
                f"has initial.select uncertainty, but sampler.schedule is {self.sampler.schedule}, "
                "whose prior is too wide to ask, expected rto: set initial.select to farthest"
            )
        return self

    @model_validator(mode="after")
    def _audits_are_made(self) -> RunConfig:
        """A rule about audits that are never made would wait for ever."""
        if self.limits.audits is not None and self.calibration.audit_every_steps is None:
            raise ValueError(
                "has limits.audit_error_kcal_per_mol, but no audits, expected "
                "calibration.audit_every_steps: set it, or remove the limit"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A run without a preset, initial data, guards or limits has the copy it had before these
        keys."""
        values: dict[str, Any] = serialise(self)
        for key in ("compat", "initial", "guards", "limits"):
            if not values.get(key):
                values.pop(key, None)
        return values

    @property
    def faults(self) -> records.Faults:
        """Which faults of published code this run reproduces."""
        return records.Faults.of(self.compat)

    def schedule(self) -> records.ScheduleSpec | records.RtoSpec:
        """The schedule of an update, named after the preset where there is one."""
        spec = self.sampler.record()
        return replace(spec, name=f"compat: {self.compat}") if self.compat else spec

    def to_yaml(self) -> str:
        """The resolved config, every key explicit; `load_config` reads it back equal."""
        return dump_yaml(self.model_dump(mode="json"))

    def digest(self) -> str:
        """A hash of what the run computes, the same wherever and however often it is resumed.

        Two configs that differ only in `LAYOUT_KEYS`, in their limits, or in the path of the same
        structure file, have the same digest.
        """
        values = self.model_dump(mode="json")
        values.pop("limits", None)
        for section, keys in LAYOUT_KEYS.items():
            values[section] = {k: v for k, v in values[section].items() if k not in keys}
        if self.material.structure_sha256:
            del values["material"]["structure"]
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

"""The config of one run: its sections, its resolved copy and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from bnnflow.config.base import Section
from bnnflow.config.defaults import fill_defaults
from bnnflow.config.dynamics import DynamicsConfig
from bnnflow.config.sections import (
    CalibrationConfig,
    MaterialConfig,
    PotentialConfig,
    ReferenceConfig,
    RunSettings,
    SamplerConfig,
    ThresholdConfig,
)
from bnnflow.config.yaml_values import dump_yaml

LAYOUT_KEYS: Mapping[str, frozenset[str]] = {
    "run": frozenset({"folder", "site"}),
    "potential": frozenset({"device"}),
    "reference": frozenset({"timeout_s", "failure_budget"}),
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
    run: RunSettings = Field(default_factory=RunSettings)

    @model_validator(mode="before")
    @classmethod
    def _resolve_defaults(cls, values: Any) -> Any:
        return fill_defaults(values) if isinstance(values, Mapping) else values

    def to_yaml(self) -> str:
        """The resolved config, every key explicit; `load_config` reads it back equal."""
        return dump_yaml(self.model_dump(mode="json"))

    def digest(self) -> str:
        """A hash of what the run computes, the same wherever and however often it is resumed.

        Two configs that differ only in `LAYOUT_KEYS`, or in the path of the same structure file,
        have the same digest.
        """
        values = self.model_dump(mode="json")
        for section, keys in LAYOUT_KEYS.items():
            values[section] = {k: v for k, v in values[section].items() if k not in keys}
        if self.material.structure_sha256:
            del values["material"]["structure"]
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

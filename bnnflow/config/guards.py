"""The section on what MD must never come to."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from bnnflow import records
from bnnflow.config.base import Section

_DEFAULTS = records.Guards()


class GuardsConfig(Section):
    """What stops MD before the step is taken: limits that a healthy run does not come near."""

    highest_temperature_K: float | None = Field(
        default=_DEFAULTS.temperature_K,
        gt=0,
        description="instantaneous temperature, K; default: 5 times the schedule's highest, at "
        "least 1000 K, times what chance allows for few atoms once in 1e12 steps",
    )
    shortest_distance: float = Field(
        default=_DEFAULTS.distance,
        gt=0,
        lt=1,
        description="of two atoms, as a fraction of the sum of their covalent radii",
    )
    largest_force_eV_A: float = Field(
        default=_DEFAULTS.force_eV_A,
        gt=0,
        description="that the ensemble may predict on an atom, eV/Å",
    )

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only what was changed: other runs keep the copy and digest they had before this key."""
        values: dict[str, Any] = serialise(self)
        fields = type(self).model_fields
        return {key: value for key, value in values.items() if value != fields[key].default}

    def record(self) -> records.Guards:
        """The guards as MD takes them."""
        return records.Guards(
            temperature_K=self.highest_temperature_K,
            distance=self.shortest_distance,
            force_eV_A=self.largest_force_eV_A,
        )

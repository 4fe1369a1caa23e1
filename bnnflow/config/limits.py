"""The section on when a run is left where it stands, before its MD time is over."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from bnnflow.config.base import Section


class LimitsConfig(Section):
    """When a run is left where it stands, to be resumed with other limits or not at all."""

    labels: int | None = Field(
        default=None, ge=1, description="left when one more label is wanted than so many"
    )
    node_hours: float | None = Field(
        default=None,
        gt=0,
        description="of all its tasks; a task on one of n workers of a node counts 1/n of it",
    )
    wall_hours: float | None = Field(
        default=None, gt=0, description="in which it was driven, all sessions together"
    )
    labels_per_ps: float | None = Field(
        default=None,
        ge=0,
        description="left when there were no more labels than this per ps of MD over the last "
        "quiet_ps; needs quiet_ps",
    )
    quiet_ps: float | None = Field(
        default=None, gt=0, description="MD time over which labels_per_ps is taken, ps"
    )

    @model_validator(mode="after")
    def _rate_has_a_time(self) -> LimitsConfig:
        if (self.labels_per_ps is None) != (self.quiet_ps is None):
            given = "quiet_ps" if self.labels_per_ps is None else "labels_per_ps"
            raise ValueError(
                f"has {given} alone, expected labels_per_ps and quiet_ps, or neither: give both"
            )
        return self

    @model_serializer(mode="wrap")
    def _only_given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialise(self)
        return {key: value for key, value in values.items() if value is not None}

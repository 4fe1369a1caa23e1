"""The section on when a run is left where it stands, before its MD time is over."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from bnnflow.config.base import Section

PAIRS = (("labels_per_ps", "quiet_ps"), ("audit_error_kcal_per_mol", "audits"))
"""Keys of one rule, of which none means anything without the other."""
OF_ONE_RUN = ("quiet_ps", "audits")
"""Keys of rules that judge a run, which have no meaning for several together."""


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

    audit_error_kcal_per_mol: float | None = Field(
        default=None,
        gt=0,
        description="left when the RMS of audits' energy errors is below this with 95 % "
        "confidence (method.md), kcal/mol; needs audits and calibration.audit_every_steps",
    )
    audits: int | None = Field(
        default=None, ge=2, description="audits before audit_error_kcal_per_mol is looked at"
    )

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> LimitsConfig:
        for pair in PAIRS:
            given = [key for key in pair if getattr(self, key) is not None]
            if len(given) == 1:
                raise ValueError(
                    f"has {given[0]} alone, expected {' and '.join(pair)}, or neither: give both"
                )
        return self

    @model_serializer(mode="wrap")
    def _only_given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialise(self)
        return {key: value for key, value in values.items() if value is not None}

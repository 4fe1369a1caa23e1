"""The section on molecular dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from bnnflow import records
from bnnflow.config.base import Section

FS_PER_PS: float = 1000.0


class DynamicsConfig(Section):
    """How, how long and how hot the atoms move."""

    kind: Literal["langevin", "verlet", "npt"] = Field(
        default="langevin", description="langevin (NVT), verlet (NVE) or npt"
    )
    timestep_fs: float = Field(default=0.5, gt=0, description="MD time step, fs")
    length_ps: float = Field(gt=0, description="MD time of the run, ps")
    temperature_K: float | None = Field(default=None, gt=0, description="constant temperature, K")
    temperature_schedule_ps_K: tuple[tuple[float, float], ...] | None = Field(
        default=None,
        description="instead of temperature_K: [[time in ps, K], ...] joined by straight lines",
    )
    friction_per_fs: float = Field(default=0.01, gt=0, description="of langevin, 1/fs")
    pressure_bar: float = Field(default=1.0, description="of npt, bar")
    thermostat_time_fs: float = Field(default=100.0, gt=0, description="of npt, fs")
    barostat_factor_GPa_fs2: float = Field(
        default=160.0 * 0.1 * 75.0**2, gt=0, description="of npt: bulk modulus x time^2, GPa fs^2"
    )
    equilibration_ps: float | None = Field(
        default=None,
        gt=0,
        description="langevin for this long before kind begins, ps; part of length_ps",
    )
    checkpoint_every_steps: int = Field(
        default=200, ge=1, description="longest stretch of MD between two commits, steps"
    )

    @model_validator(mode="after")
    def _one_temperature(self) -> DynamicsConfig:
        if (self.temperature_K is None) == (self.temperature_schedule_ps_K is None):
            found = "neither" if self.temperature_K is None else "both"
            raise ValueError(
                f"has {found} of temperature_K and temperature_schedule_ps_K, expected exactly "
                "one: set one, and null for the other"
            )
        _check_corners(self.temperature_schedule_ps_K or ())
        return self

    @model_validator(mode="after")
    def _consistent(self) -> DynamicsConfig:
        if self.temperature_schedule_ps_K is not None and not self.temperature_schedule_ps_K:
            raise ValueError("has an empty temperature_schedule_ps_K: give [[time in ps, K], ...]")
        if self.kind == "verlet" and self.temperature_schedule_ps_K is not None:
            raise ValueError("has kind verlet, which keeps no temperature: set temperature_K only")
        if self.n_steps < 1:
            raise ValueError("has length_ps below one timestep_fs: make the run longer")
        return self

    @model_validator(mode="after")
    def _equilibration_ends(self) -> DynamicsConfig:
        if self.equilibration_ps is not None and self.kind == "langevin":
            raise ValueError("has equilibration_ps, but kind is langevin all along: remove it")
        if self.equilibration_ps is not None and self.equilibration_ps >= self.length_ps:
            raise ValueError(
                f"has equilibration_ps {self.equilibration_ps:g} and length_ps "
                f"{self.length_ps:g}, expected less: make the run longer"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A run without it keeps the resolved copy and digest it had before this key."""
        values: dict[str, Any] = serialise(self)
        if self.equilibration_ps is None:
            values.pop("equilibration_ps", None)
        return values

    @property
    def n_steps(self) -> int:
        """MD steps of the whole run."""
        return round(self.length_ps * FS_PER_PS / self.timestep_fs)

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """Temperature schedule as (time_fs, kelvin) corners."""
        if self.temperature_schedule_ps_K is None:
            return ((0.0, float(self.temperature_K or 0.0)),)
        return tuple((time * FS_PER_PS, kelvin) for time, kelvin in self.temperature_schedule_ps_K)

    def record(self) -> records.Dynamics:
        """The dynamics in the units of the code, fs."""
        return records.Dynamics(
            kind=self.kind,
            timestep_fs=self.timestep_fs,
            temperature_schedule=self.corners,
            friction_per_fs=self.friction_per_fs,
            pressure_bar=self.pressure_bar,
            thermostat_time_fs=self.thermostat_time_fs,
            barostat_factor_GPa_fs2=self.barostat_factor_GPa_fs2,
            equilibration_fs=(
                None if self.equilibration_ps is None else self.equilibration_ps * FS_PER_PS
            ),
        )


def _check_corners(corners: Sequence[tuple[float, float]]) -> None:
    if any(time < 0 or kelvin <= 0 for time, kelvin in corners):
        raise ValueError(
            "has a corner of temperature_schedule_ps_K before time 0 or not above 0 K: "
            "give [[time in ps, K], ...]"
        )
    if any(later[0] <= earlier[0] for earlier, later in pairwise(corners)):
        raise ValueError("has corners of temperature_schedule_ps_K out of order: let time rise")

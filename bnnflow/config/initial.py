"""The section on labels that are made together before the loop starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from pydantic import (
    Field,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from bnnflow import records
from bnnflow.config.base import Section, without_nulls
from bnnflow.config.dynamics import FS_PER_PS, DynamicsConfig
from bnnflow.errors import ConfigError
from bnnflow.records import Source, SourceKind

CANDIDATES_PER_LABEL = 10
HOTTER = (1.0, 1.5, 2.0)
"""Temperatures of MD by default, in units of the run's highest."""


class InitialConfig(Section):
    """Initial data: labels made together, before the loop, of frames from the foundation model."""

    labels: int = Field(
        default=0,
        ge=0,
        description="labels besides the first frame's, made in parallel before the first update "
        "(method.md); 0: none",
    )
    candidates: int | None = Field(
        default=None,
        ge=1,
        description="frames to choose from, in equal parts from each temperature, rattled copies "
        "and strained cells; default: 10 per label",
    )
    temperatures_K: tuple[PositiveFloat, ...] | None = Field(
        default=None,
        description="of Langevin MD with the foundation model, [300, 600]; []: no MD; default: 1, "
        "1.5 and 2 times the run's highest",
    )
    md_ps: float = Field(default=1.0, gt=0, description="MD time at each temperature, ps")
    rattle_A: float = Field(
        default=0.05,
        ge=0,
        description="std of the displacements of rattled copies and in strained cells, by "
        "coordinate, Å; 0: no rattled copies",
    )
    strain: float = Field(
        default=0.03,
        ge=0,
        lt=0.5,
        description="largest principal strain of the most strained cell, of periodic structures; "
        "0: none",
    )
    select: Literal["farthest", "uncertainty"] = Field(
        default="farthest",
        description="farthest: frames that between them cover the neighbourhoods of atoms in all "
        "candidates; uncertainty: those of which draws of the prior say the most different things "
        "(schedule rto)",
    )

    @model_validator(mode="after")
    def _keys_are_used(self) -> InitialConfig:
        """A number set without any label would have no effect, and nobody would notice."""
        given = sorted(key for key in self.model_fields_set if self._changed(key))
        if not self.labels and given:
            raise ValueError(f"has {given[0]}, but labels is 0: set labels, or remove {given[0]}")
        return self

    @model_validator(mode="after")
    def _enough_candidates(self) -> InitialConfig:
        if self.candidates is not None and self.candidates < self.labels:
            raise ValueError(
                f"has {self.candidates} candidates for {self.labels} labels, expected at least as "
                f"many, better {CANDIDATES_PER_LABEL} times: raise candidates, or remove it"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A run without initial data keeps the resolved copy and digest it had before this key."""
        return without_nulls(serialise(self), *_OPTIONAL) if self.labels else {}

    def record(
        self, dynamics: DynamicsConfig, structure: records.Structure, seed_of: Callable[[str], int]
    ) -> records.Initial | None:
        """What the loop is to do for this structure; None without initial data.

        seed_of: a seed for a source's words. Raises ConfigError when nothing is left to make
        candidates from, or when MD has fewer steps than frames.
        """
        if not self.labels:
            return None
        sources = self._sources(dynamics, structure)
        if not sources:
            raise ConfigError(
                "initial leaves nothing to make candidates from, expected temperatures_K, a "
                "rattle_A above 0, or a strain above 0 of a periodic structure: set one"
            )
        share, more = divmod(self.candidates or CANDIDATES_PER_LABEL * self.labels, len(sources))
        counted = [
            replace(source, n_frames=share + (place < more), seed=seed_of(source.words))
            for place, source in enumerate(sources)
        ]
        _check_steps(counted)
        return records.Initial(
            self.labels, self.select, tuple(each for each in counted if each.n_frames)
        )

    def _sources(self, dynamics: DynamicsConfig, structure: records.Structure) -> list[Source]:
        """The sources without their shares and seeds."""
        n_steps = max(1, round(self.md_ps * FS_PER_PS / dynamics.timestep_fs))
        highest = max(kelvin for _, kelvin in dynamics.corners)
        kelvins = self.temperatures_K
        if kelvins is None:
            kelvins = tuple(factor * highest for factor in HOTTER)
        sources = [Source(SourceKind.MD, 0, 0, kelvin=each, n_steps=n_steps) for each in kelvins]
        if self.rattle_A:
            sources.append(Source(SourceKind.RATTLED, 0, 0, rattle=self.rattle_A))
        if self.strain and structure.pbc.any():
            made = Source(SourceKind.STRAINED, 0, 0, rattle=self.rattle_A, strain=self.strain)
            sources.append(made)
        return sources

    def _changed(self, key: str) -> bool:
        return bool(getattr(self, key) != type(self).model_fields[key].default)


_OPTIONAL = ("candidates", "temperatures_K")


def _check_steps(sources: list[Source]) -> None:
    for source in sources:
        if source.kind is SourceKind.MD and source.n_steps < source.n_frames:
            raise ConfigError(
                f"initial.md_ps is {source.n_steps} steps, expected at least the "
                f"{source.n_frames} frames that are taken at each temperature: make it longer, or "
                "lower initial.candidates"
            )

"""What stays fixed in the run of one material."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bnnflow.records import (
    Dynamics,
    Faults,
    Handling,
    PotentialSpec,
    RtoSpec,
    ScheduleSpec,
)


@dataclass(frozen=True)
class Plan:
    """What stays fixed in the run of one material.

    threshold: K of the cell, eV; energy_std: likelihood std of the energy, eV; n_steps: MD steps;
    segment_steps: MD steps between two commits; chains_per_task: how chains are dealt to tasks;
    continue_on: "reference" or "ensemble" forces at a labelled frame; while_labelling: what MD does
    until the new ensemble is there, "wait" or "rewind" (`workflows.ahead`); failure_budget: failed
    tasks of one kind that the run survives; folder: the run folder; faults: of published code,
    to reproduce.
    """

    folder: str
    potential: PotentialSpec
    prior_std: float
    head_prior_std: float | None
    reference: Mapping[str, Any]
    handling: Handling
    dynamics: Dynamics
    n_steps: int
    segment_steps: int
    threshold: float
    energy_std: float
    confidence: float
    schedule: ScheduleSpec | RtoSpec
    n_members: int
    chains_per_task: int
    continue_on: str
    failure_budget: int
    seed: int
    while_labelling: str = "wait"
    faults: Faults = field(default_factory=Faults)

"""What stays fixed in the run of one material."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnnflow.records import (
    Dynamics,
    Faults,
    ForceRegion,
    Guards,
    Handling,
    Initial,
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
    until the new ensemble is there, "wait" or "rewind" (`workflows.ahead`); failure_budget: how
    many failures the material survives (`requests.n_failures`), and sampling tasks of one update;
    folder: the run folder; faults: of published code, to reproduce; audit_every_steps: trusted
    frames whose step is a multiple of it are labelled too; calibration_use: the labels that the
    rule learns from, "requested", "audit" or "both"; force_regions: of the force criterion, none
    without one; guards: what MD must not come to; initial: labels made together before the first
    update, None: none; labels: folder of the labels, "" for that of the run.
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
    audit_every_steps: int | None = None
    calibration_use: str = "requested"
    force_regions: tuple[ForceRegion, ...] = ()
    guards: Guards = field(default_factory=Guards)
    initial: Initial | None = None
    labels: str = ""

    def label_folder(self, name: str) -> Path:
        """Where a label lies, by the name that the state has of it."""
        return Path(self.labels or Path(self.folder) / "labels") / name

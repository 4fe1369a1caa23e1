"""Runs whose tasks are emulated: real loops over real run folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from emulated_tasks import N_ATOMS, frame_at

from bnnflow.data import create_run
from bnnflow.records import (
    Calibration,
    Checkpoint,
    Dynamics,
    Handling,
    LoopState,
    Phase,
    PotentialSpec,
    ScheduleSpec,
)
from workflows.driver import Walker
from workflows.otf import fine_tune
from workflows.plan import Plan
from workflows.shares import Share

EVERY_STEPS = 10
"""MD steps from one label to the next."""


def emulated_walker(folder: Path, **lengths: Any) -> Walker:
    """A run in a new folder. lengths: see `emulated_plan`."""
    plan, state = emulated_plan(folder, **lengths), emulated_state()
    store = create_run(folder, config_text="", metadata={"timestep_fs": 0.5}, state=state)
    return Walker(
        folder.name,
        fine_tune(state, plan),
        store,
        on_commit=lambda _: None,
        share=Share(folder.name),
    )


def emulated_plan(
    folder: Path,
    *,
    label_s: float,
    update_s: float,
    md_s: float,
    n_labels: int,
    while_labelling: str = "wait",
) -> Plan:
    """A run that is labelled at its start and then after every so many MD steps.

    label_s: of a label; update_s: of an update of all chains (one task); md_s: of MD between
    labels.
    """
    step_s = md_s / EVERY_STEPS
    return Plan(
        folder=str(folder),
        potential=PotentialSpec(json.dumps({"step_s": step_s, "every": EVERY_STEPS})),
        prior_std=0.5,
        head_prior_std=None,
        reference={"seconds": label_s},
        handling=Handling(),
        dynamics=Dynamics("langevin", 0.5, ((0.0, 300.0),)),
        n_steps=EVERY_STEPS * n_labels - 1,
        segment_steps=EVERY_STEPS,
        threshold=1.0,
        energy_std=0.1,
        confidence=0.95,
        schedule=ScheduleSpec(str(update_s), steps=1, batch=2, step_size=1e-3),
        n_members=8,
        chains_per_task=8,
        continue_on="reference",
        failure_budget=0,
        seed=1,
        while_labelling=while_labelling,
    )


def emulated_state() -> LoopState:
    """Where such a run begins."""
    frame = frame_at(0)
    rng = np.random.PCG64(1).state
    checkpoint = Checkpoint(0, frame, np.zeros((N_ATOMS, 3)), None, {}, rng)
    return LoopState(Phase.LABEL, checkpoint, Calibration(1.5, 10.0), frame=frame)

"""Made-up but complete commits of an ethanol-sized run, the same for the same number."""

from __future__ import annotations

import os
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bnnflow import data
from bnnflow.data import RunStore, create_run
from bnnflow.records import (
    Asked,
    Calibration,
    Checkpoint,
    Commit,
    Decision,
    Driven,
    EnsembleRef,
    Event,
    Failed,
    Failure,
    FailureCause,
    Forcing,
    Label,
    Labelled,
    LoopState,
    Outcome,
    Phase,
    Prediction,
    Reason,
    SampleResult,
    Segment,
    Spent,
    Structure,
    Updated,
)

CHILD = Path(__file__).with_name("run_child.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(data.__file__).parents[2])}
N_ATOMS = 9
STEPS = 4
CONFIG = "seed: 7  # é\nsteps: 100\n"
METADATA = {"timestep_fs": 0.5, "seed": 7, "tags": ["a", "b"]}


def structure(number: int) -> Structure:
    """A random configuration of nine atoms."""
    random = np.random.default_rng(number)
    return Structure(np.array([6, 6, 8, *[1] * 6]), random.normal(size=(N_ATOMS, 3)))


def checkpoint(number: int) -> Checkpoint:
    """A walker after `number` commits, with real thermostat and generator states."""
    random = np.random.default_rng(1000 + number)
    frame = structure(number)
    forcing = Forcing(frame.positions, random.normal(), random.normal(size=(N_ATOMS, 3)))
    integrator = {"eta": random.normal(size=3), "nested": {"zeta": (random.normal(), None)}}
    velocities = random.normal(size=(N_ATOMS, 3))
    state = random.bit_generator.state
    return Checkpoint(number * STEPS, frame, velocities, forcing, integrator, state)


def state(number: int) -> LoopState:
    """The loop's state after `number` commits."""
    return LoopState(
        phase=Phase.PROPAGATE,
        checkpoint=checkpoint(number),
        calibration=Calibration(1.5, 10.0, number, 0.1 * number),
        labels=tuple(f"{index:04d}" for index in range(number)),
        n_requests=number,
        energy_shift=None if number == 0 else -1.25,
        ensemble=EnsembleRef(f"ensemble/v{number:04d}", number, 3),
        frame=structure(number),
        prediction=prediction(number),
    )


def prediction(number: int) -> Prediction:
    """A prediction of three members, without stress."""
    random = np.random.default_rng(2000 + number)
    forces, std = random.normal(size=(2, N_ATOMS, 3))
    return Prediction(random.normal(), 0.1, 0.01, random.normal(size=3), forces, std)


def driven(number: int) -> Driven:
    """The steps that lead from the state before to `state(number)`."""
    random = np.random.default_rng(3000 + number)
    scalars = random.normal(size=(4, STEPS))
    segment = Segment(
        Outcome.UNCERTAIN,
        checkpoint(number),
        np.arange((number - 1) * STEPS, number * STEPS) + 1,
        *scalars,
        positions=random.normal(size=(STEPS, N_ATOMS, 3)),
        cells=np.zeros((STEPS, 3, 3)),
    )
    return Driven(segment, 0.02, random.uniform(size=STEPS), number)


def labelled(number: int) -> Labelled:
    """A label; the first one has no prediction, every second one a stress."""
    random = np.random.default_rng(4000 + number)
    stress = random.normal(size=6) if number % 2 else None
    forces = random.normal(size=(N_ATOMS, 3))
    details = {"iterations": np.int64(12), "note": "Å"}
    label = Label(
        structure(number), -4000.5, forces, stress, "PBE", f"labels/{number:04d}", 1.5, "h", details
    )
    said = None if number == 1 else prediction(number)
    after = Calibration(1.5, 10.0, number, 0.1 * number)
    return Labelled(f"{number:04d}", number * STEPS, label, said, -4001.75, 0.01 * number, after)


def events(number: int) -> tuple[Event, ...]:
    """One event of every kind, and several of one kind."""
    step = number * STEPS
    decision = Decision(step, 0.5 * step, 0.03, 0.02, 0.9, True, Reason.UNCERTAIN)
    failure = Failure("label", FailureCause.CRASHED, "no such file", traceback="line\n" * 20000)
    results = tuple(
        SampleResult(
            number,
            chains,
            (1.0,) * len(chains),
            (0.1,) * len(chains),
            (0.2,) * len(chains),
            (0.7,) * len(chains),
            (1.1,) * len(chains),
            2.0,
            "h",
        )
        for chains in ((2,), (0, 1))
    )
    return (
        driven(number),
        Asked(decision),
        labelled(number),
        Updated(EnsembleRef(f"ensemble/v{number:04d}", number, 3), results),
        Failed(failure, "retry"),
        Spent("md", float(number), 0.5),
        Spent("idle", number + 0.5, 0.5),
    )


def commit(number: int) -> Commit:
    """The commit that leads to `state(number)`."""
    return Commit(state(number), events(number))


def run_with(folder: Path, commits: int) -> RunStore:
    """A new run, open, with this many commits after the first."""
    store = create_run(folder, config_text=CONFIG, metadata=METADATA, state=state(0))
    for number in range(1, commits + 1):
        store.commit(commit(number))
    return store


def same(found: Any, expected: Any) -> bool:
    """Whether two records, or tables, hold the same types and the same bits."""
    if is_dataclass(expected):
        names = [item.name for item in fields(expected)]
        return type(found) is type(expected) and all(
            same(getattr(found, name), getattr(expected, name)) for name in names
        )
    if isinstance(expected, np.ndarray):
        return found.dtype == expected.dtype and np.array_equal(
            found, expected, equal_nan=expected.dtype.kind == "f"
        )
    if isinstance(expected, tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(same(found[k], expected[k]) for k in expected)
    return bool(found == expected or (found != found and expected != expected))

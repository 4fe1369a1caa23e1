"""Tasks that take a known time and compute nothing: the real loop, driver, pools and run folders
around them are what is measured.

The length of a task is in the request's reference (label), schedule's name (update) or potential's
name (MD), as seconds; so is the MD step after which the next label is wanted.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import numpy as np

from bnnflow.records import (
    Label,
    LabelRequest,
    Outcome,
    Prediction,
    PredictRequest,
    PropagateRequest,
    SampleRequest,
    SampleResult,
    Segment,
    Structure,
)

N_ATOMS = 9


def label(request: LabelRequest) -> Label:
    """A label of error zero."""
    seconds = float(request.reference["seconds"])
    time.sleep(seconds)
    forces = np.zeros((N_ATOMS, 3))
    return Label(
        request.structure, -1.0, forces, None, "emulated", request.directory, seconds, "here"
    )


def predict(request: PredictRequest) -> tuple[Prediction, ...]:
    """The energy that the labels have."""
    return tuple(_prediction() for _ in request.structures)


def sample(request: SampleRequest) -> SampleResult:
    """Chains that have arrived."""
    seconds = float(request.schedule.name)
    time.sleep(seconds)
    ones = (1.0,) * len(request.chains)
    return SampleResult(
        request.version, request.chains, ones, ones, ones, ones, ones, seconds, "here"
    )


def propagate(request: PropagateRequest) -> Segment:
    """MD up to the step before the next frame that is to be labelled, or to the end."""
    times = json.loads(request.potential.model)
    begin = request.checkpoint
    known = request.substitute is not None
    due = (begin.step + 1 + known + times["every"] - 1) // times["every"] * times["every"]
    last = min(begin.step + request.n_steps, due - 1)
    uncertain = last == due - 1 and last < begin.step + request.n_steps
    m = last - begin.step
    time.sleep(m * times["step_s"])
    return Segment(
        Outcome.UNCERTAIN if uncertain else Outcome.FINISHED,
        replace(begin, step=last),
        np.arange(begin.step, last) + 1,
        *np.full((4, m), 0.05),
        positions=np.zeros((m, N_ATOMS, 3)),
        cells=np.zeros((m, 3, 3)),
        frame=frame_at(due) if uncertain else None,
        prediction=_prediction() if uncertain else None,
        seconds=m * times["step_s"],
    )


EMULATED = {task.__name__: task for task in (label, predict, sample, propagate)}


class Emulated:
    """An executor that sends the emulated task instead of the real one of the same name."""

    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    def submit(self, pool: Any, task: Any, request: Any) -> Any:
        """See `Executor.submit`."""
        return self._executor.submit(pool, EMULATED[task.__name__], request)


def frame_at(step: int) -> Structure:
    """Positions that tell the step."""
    return Structure(np.full(N_ATOMS, 6), np.full((N_ATOMS, 3), 0.001 * step))


def _prediction() -> Prediction:
    zeros = np.zeros((N_ATOMS, 3))
    return Prediction(0.0, 0.5, 0.1, np.zeros(8), zeros, zeros + 0.1)

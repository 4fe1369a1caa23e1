"""Worker entry points: what runs in the pools.

Each takes one request record and returns one record, a Failure included. Models and ensembles stay
loaded in the worker between tasks; a new ensemble version is picked up by its number.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from bnnflow.errors import NonFiniteError, RunFolderError, UserError
from bnnflow.initial import environments, farthest_frames, most_uncertain
from bnnflow.initial import explore as make_candidates
from bnnflow.md import keep_evidence
from bnnflow.md import propagate as md_propagate
from bnnflow.potentials import load_ensemble, load_foundation
from bnnflow.potentials.ensemble import Ensemble
from bnnflow.records import (
    Explored,
    ExploreRequest,
    Failure,
    FailureCause,
    GuardKind,
    Label,
    LabelRequest,
    Prediction,
    PredictRequest,
    PropagateRequest,
    SampleRequest,
    SampleResult,
    Segment,
    Selected,
    SelectRequest,
    Structure,
    Trip,
)
from bnnflow.reference import label as reference_label
from bnnflow.reference import read_label
from bnnflow.training.prior_draws import prior_ensemble
from bnnflow.training.sample import sample as run_sample
from bnnflow.uncertainty import reduce_members
from bnnflow.units import STRESS_STD

PRIOR_DRAWS = 32
"""Members that say how uncertain the prior is of the candidates for the initial data."""

Request = TypeVar("Request")
Result = TypeVar("Result")


def _recorded(
    name: str,
) -> Callable[[Callable[[Request], Result]], Callable[[Request], Result | Failure]]:
    """Turn what goes wrong in a task into a Failure; a user's mistake is raised as it is."""

    def wrap(task: Callable[[Request], Result]) -> Callable[[Request], Result | Failure]:
        @functools.wraps(task)
        def run(request: Request) -> Result | Failure:
            began = time.monotonic()
            try:
                return task(request)
            except UserError:
                raise
            except Exception as error:  # every task answers with a record, whatever went wrong
                return _failure(name, error, time.monotonic() - began)

        return run

    return wrap


@_recorded("propagate")
def propagate(request: PropagateRequest) -> Segment:
    """Drive MD with the ensemble until a frame is to be labelled, or for the steps asked.

    What a guard stopped is kept in the request's folder of evidence.
    """
    ensemble = load_ensemble(request.potential, request.ensemble)
    segment = md_propagate(
        predict=lambda structure: predict_one(
            ensemble, structure, energy_std_floor=request.energy_std_floor
        ),
        checkpoint=request.checkpoint,
        dynamics=request.dynamics,
        n_steps=request.n_steps,
        limit=request.limit,
        substitute=request.substitute,
        audit_every_steps=request.audit_every_steps,
        force_limits=request.force_limits,
        guards=request.guards,
    )
    if segment.trip is None:
        return segment
    told = replace(segment, trip=_with_members(segment.trip, ensemble))
    if request.evidence:
        with contextlib.suppress(OSError):  # a full disk must not take the record, too
            keep_evidence(told, Path(request.evidence), request.dynamics.timestep_fs)
    return told


def _with_members(trip: Trip, ensemble: Ensemble) -> Trip:
    """The same, with the members whose predictions are at fault."""
    if trip.guard is not GuardKind.PREDICTION:
        return trip
    return replace(trip, members=ensemble.members(trip.structure).not_finite())


@_recorded("label")
def label(request: LabelRequest) -> Label | Failure:
    """Label one structure with the reference."""
    return reference_label(request)


@_recorded("sample")
def sample(request: SampleRequest) -> SampleResult:
    """Advance some chains of the ensemble to its next version."""
    return run_sample(request, _labels(request))


def _labels(request: SampleRequest) -> list[Label]:
    labels = []
    for directory in request.labels:
        found = read_label(Path(directory))
        if found is None:
            raise RunFolderError(
                f"{directory} holds no finished label, expected result.h5: restore it from a copy"
            )
        labels.append(found)
    return labels


@_recorded("explore")
def explore(request: ExploreRequest) -> Explored:
    """Make the candidates of one source for the initial data, with the foundation model."""
    foundation = load_foundation(request.potential)
    return make_candidates(
        request,
        lambda structure: predict_one(
            foundation, structure, energy_std_floor=request.energy_std_floor
        ),
    )


@_recorded("select")
def select(request: SelectRequest) -> Selected:
    """Choose the candidates that are worth a label."""
    began = time.monotonic()
    choose = _farthest if request.prior is None else _most_uncertain
    return Selected(choose(request), time.monotonic() - began, platform.node())


def _farthest(request: SelectRequest) -> tuple[int, ...]:
    return farthest_frames(
        np.stack([environments(frame) for frame in request.candidates]),
        environments(request.first),
        request.first.numbers,
        request.n_frames,
    )


def _most_uncertain(request: SelectRequest) -> tuple[int, ...]:
    """Draws of the prior whose energies are not finite have no say."""
    prior = request.prior
    if prior is None:
        return ()
    members = prior_ensemble(prior, _labels(prior), n_draws=PRIOR_DRAWS)
    frames = (request.first, *request.candidates)
    energies = np.stack([members.members(frame).energy for frame in frames])
    sound = np.isfinite(energies).all(axis=0)
    if sound.sum() < 2:
        raise NonFiniteError(
            f"{sound.sum()} of {PRIOR_DRAWS} draws of the prior give finite energies, expected 2: "
            "lower potential.prior_std, or set initial.select to farthest"
        )
    first, *others = energies[:, sound]
    noise_std = float(np.mean(prior.energy_std))  # a run has one for all its labels
    return most_uncertain(np.stack(others), first, noise_std=noise_std, n_frames=request.n_frames)


@_recorded("predict")
def predict(request: PredictRequest) -> tuple[Prediction, ...]:
    """Predict some structures with an ensemble version, or with the foundation model."""
    if request.ensemble is None:
        ensemble = load_foundation(request.potential)
    else:
        ensemble = load_ensemble(request.potential, request.ensemble)
    return tuple(
        predict_one(ensemble, structure, energy_std_floor=request.energy_std_floor)
        for structure in request.structures
    )


def predict_one(ensemble: Ensemble, structure: Structure, *, energy_std_floor: float) -> Prediction:
    """Mean and variance of an ensemble for one structure (METHOD 4). energy_std_floor: eV."""
    members = ensemble.members(structure)
    return reduce_members(
        energy=members.energy,
        forces=members.forces,
        force_std=members.force_std,
        stress=members.stress,
        energy_std_floor=energy_std_floor,
        stress_std=STRESS_STD,
    )


def _failure(name: str, error: Exception, seconds: float) -> Failure:
    cause = FailureCause.NON_FINITE if isinstance(error, NonFiniteError) else FailureCause.CRASHED
    return Failure(
        task=name,
        cause=cause,
        message=str(error).splitlines()[0] if str(error) else type(error).__name__,
        traceback=traceback.format_exc(),
        seconds=seconds,
        host=platform.node(),
    )

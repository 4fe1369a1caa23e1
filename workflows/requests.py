"""What the loop asks the pools for, and the events it writes, made from its state and plan."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

from bnnflow.errors import TaskError
from bnnflow.records import (
    Asked,
    Decision,
    Driven,
    Failure,
    FailureCause,
    Forcing,
    LoopState,
    Outcome,
    Prediction,
    PropagateRequest,
    Reason,
    RtoSpec,
    SampleRequest,
    ScheduleSpec,
    Segment,
    Structure,
)
from bnnflow.uncertainty import decide, largest_trusted_std, probability_within
from workflows.learning import force_verdict, rule_calibration, trusted_force_stds
from workflows.plan import Plan

Value = TypeVar("Value")


def deal(n_members: int, per_task: int) -> list[tuple[int, ...]]:
    """Chains 0..n-1 in tasks of at most `per_task`."""
    chains = range(n_members)
    return [tuple(chains[first : first + per_task]) for first in range(0, n_members, per_task)]


def label_before(state: LoopState, plan: Plan) -> str:
    """Folder of the label that the next one may start from, "" for none: of the last frame of this
    trajectory, which no initial data belong to."""
    own = (*state.labels[:1], *state.labels[1 + state.n_initial :])
    return str(plan.label_folder(own[-1])) if own else ""


def sample_request(
    state: LoopState, plan: Plan, version: int, directory: str, chains: tuple[int, ...]
) -> SampleRequest:
    """Some chains of the next version, with everything that their samples depend on."""
    return SampleRequest(
        potential=plan.potential,
        previous=state.ensemble,
        chains=chains,
        n_members=plan.n_members,
        version=version,
        labels=tuple(str(plan.label_folder(name)) for name in state.labels),
        energy_shift=present(state.energy_shift),
        energy_std=plan.energy_std,
        prior_std=plan.prior_std,
        schedule=plan.schedule,
        seed=plan.seed,
        directory=directory,
        head_prior_std=plan.head_prior_std,
        faults=plan.faults,
        n_known=_n_known(state),
        fresh=tuple(chain for chain in chains if chain in state.fresh),
    )


def _n_known(state: LoopState) -> int:
    """Labels that the last ensemble has seen: all of them where only chains start anew."""
    if state.ensemble is None:
        return 0
    return len(state.labels) - state.n_new


def gentler(request: SampleRequest, failure: Failure) -> SampleRequest:
    """The same chains once more; if they left the finite numbers, in another way.

    With schedule rto they start anew, from other draws of the prior; else at half the step size.
    """
    if failure.cause is not FailureCause.NON_FINITE:
        return request
    if isinstance(request.schedule, RtoSpec):
        return replace(request, fresh=request.chains, attempt=request.attempt + 1)
    schedule = replace(request.schedule, step_size=request.schedule.step_size / 2)
    return replace(request, schedule=schedule)


def told_of_retry(request: SampleRequest, retry: SampleRequest) -> str:
    """What a retry does otherwise, in words."""
    if retry.attempt != request.attempt:
        return " anew from the prior"
    return " at half the step size" if retry is not request else ""


def n_failures(state: LoopState) -> int:
    """Failures that count against the material's budget: frames without a label, and stretches of
    MD that were taken back."""
    return state.n_requests - len(state.labels) + state.n_astray


def smaller(schedule: ScheduleSpec | RtoSpec) -> str:
    """The key to lower when chains diverge."""
    return "potential.prior_std" if isinstance(schedule, RtoSpec) else "sampler.step_size"


def driven(state: LoopState, plan: Plan, segment: Segment, limit: float) -> Driven:
    """A stretch of MD as an event. limit: largest trusted sigma* on it, eV."""
    probability = probability_within(
        rule_calibration(state, plan), std=segment.energy_std, threshold=plan.threshold
    )
    version = present(state.ensemble).version
    return Driven(segment, limit, probability, version)


def propagate_request(state: LoopState, plan: Plan, n_steps: int, limit: float) -> PropagateRequest:
    """MD with the ensemble from where the state is. limit: largest trusted sigma*, eV.

    What a label says of a frame on a stretch that was taken back serves no step.
    """
    return PropagateRequest(
        potential=plan.potential,
        ensemble=present(state.ensemble),
        energy_std_floor=plan.energy_std,
        checkpoint=state.checkpoint,
        dynamics=plan.dynamics,
        n_steps=n_steps,
        limit=limit,
        substitute=None if state.rewound else state.substitute,
        audit_every_steps=plan.audit_every_steps,
        force_limits=trusted_force_stds(state, plan),
        guards=plan.guards,
    )


def trusted_std(state: LoopState, plan: Plan) -> float:
    """The largest sigma* that is trusted now, eV."""
    return largest_trusted_std(
        rule_calibration(state, plan), threshold=plan.threshold, confidence=plan.confidence
    )


def asked(state: LoopState, plan: Plan, segment: Segment) -> Asked:
    """The rule, applied to the frame at which a stretch ended."""
    step = segment.checkpoint.step + 1
    audit = segment.outcome is Outcome.AUDIT
    return Asked(judged(state, plan, present(segment.prediction), step=step, audit=audit))


def judged(
    state: LoopState, plan: Plan, prediction: Prediction, *, step: int, audit: bool = False
) -> Decision:
    """The rule, applied to what an ensemble says of the frame of a step."""
    return decide(
        rule_calibration(state, plan),
        step=step,
        time_fs=step * plan.dynamics.timestep_fs,
        std=prediction.energy_std,
        threshold=plan.threshold,
        confidence=plan.confidence,
        force=force_verdict(state, plan, prediction),
        audit=audit,
    )


def asked_first(state: LoopState, plan: Plan) -> Asked:
    """The first frame is labelled whatever the rule would say; it has no prediction yet."""
    limit = trusted_std(state, plan)
    return Asked(Decision(0, 0.0, math.nan, limit, math.nan, True, Reason.FIRST_FRAME))


def forcing(frame: Structure, prediction: Prediction) -> Forcing:
    """What MD is given at a frame instead of an evaluation."""
    return Forcing(frame.positions, prediction.energy, prediction.forces, prediction.stress)


def present(value: Value | None) -> Value:
    """A part of the state that the phase needs. Raises TaskError when it is missing."""
    if value is None:
        raise TaskError("the committed state lacks a part that its phase needs: the run is damaged")
    return value

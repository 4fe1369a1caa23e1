"""Initial data: frames that are labelled together after the first one, before the first update.

Candidates are made in the md pool, all sources at once, and some are chosen. Until then nothing is
written: a run that is killed makes the same ones again. The frames chosen are committed, then
labelled at once, and each label is committed as soon as it is there; one update learns from all.

These labels never enter the calibration. It is about errors of the ensembles that drive MD, at
frames where MD has come; no ensemble has predicted these frames, and they were picked for being far
from what is known, out of MD of another model, at other temperatures, in other cells.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from bnnflow.errors import TaskError
from bnnflow.records import (
    Asked,
    Commit,
    Decision,
    Explored,
    ExploreRequest,
    Failed,
    Failure,
    FailureCause,
    Initial,
    InitialFrame,
    Label,
    Labelled,
    LabelRequest,
    LoopState,
    Phase,
    Reason,
    SelectRequest,
    Source,
    Structure,
)
from bnnflow.units import shifted_energy
from workflows.learner import Learner
from workflows.plan import Plan
from workflows.protocol import Begin, First, Loop, Request, Work
from workflows.requests import n_failures, present, sample_request, trusted_std


def explore(state: LoopState, plan: Plan, _learner: Learner) -> Loop:
    """Make candidates and choose the frames to be labelled; without any the loop goes on."""
    wanted = present(plan.initial)
    requests = [_explore_request(state, plan, source) for source in wanted.sources]
    answers = yield from _all_of(requests)
    told = [
        event
        for source, answer in zip(wanted.sources, answers, strict=True)
        for event in _told(source, answer)
    ]
    candidates = _candidates(wanted, answers)
    if not candidates and any(isinstance(answer, Failure) for answer in answers):
        return (yield from _stop(state, told, "no frames could be made"))
    chosen = yield from _choose(state, plan, candidates)
    if isinstance(chosen, Failure):
        failed = Failed(chosen, "run stopped")
        return (yield from _stop(state, [*told, failed], "no frames could be chosen"))
    phase = Phase.INITIAL if chosen else Phase.UPDATE
    ready = replace(state, phase=phase, initial=chosen)
    yield Commit(ready, (*told, *(_asked(state, plan) for _ in chosen)))
    return ready


def label_together(state: LoopState, plan: Plan, learner: Learner) -> Loop:
    """Label all frames at once; one that fails is left out, within the budget."""
    jobs = {Begin(_label_request(each, plan)): each for each in state.initial}
    yield from tuple(jobs)
    while jobs:
        ended, answer = yield First(tuple(jobs))
        state = yield from _settle(state, plan, learner, jobs.pop(ended), answer)
    return state


def _explore_request(state: LoopState, plan: Plan, source: Source) -> ExploreRequest:
    """The dynamics are the run's, made Langevin ones at the temperature of the source."""
    schedule = ((0.0, source.kelvin),) if source.kelvin else plan.dynamics.temperature_schedule
    return ExploreRequest(
        potential=plan.potential,
        structure=state.checkpoint.structure,
        source=source,
        dynamics=replace(
            plan.dynamics, kind="langevin", temperature_schedule=schedule, equilibration_fs=None
        ),
        guards=plan.guards,
        energy_std_floor=plan.energy_std,
    )


def _all_of(work: Sequence[Work]) -> Generator[Request, Any, list[Any]]:
    """The answers to several tasks that run at once, in the order asked."""
    jobs = [Begin(each) for each in work]
    yield from jobs
    answers: dict[Begin, Any] = {}
    while waiting := tuple(job for job in jobs if job not in answers):
        ended, answer = yield First(waiting)
        answers[ended] = answer
    return [answers[job] for job in jobs]


def _told(source: Source, answer: Explored | Failure) -> list[Failed]:
    """What is on record of a source that made fewer candidates than it should have."""
    if isinstance(answer, Failure):
        return [Failed(answer, f"no frames of {source.words}")]
    if not answer.left_out:
        return []
    message = f"{answer.left_out} of {source.n_frames} frames of {source.words}: {answer.why}"
    failure = Failure(
        "explore", FailureCause.EXPLODED, message, seconds=answer.seconds, host=answer.host
    )
    return [Failed(failure, "left out of the candidates")]


def _candidates(
    wanted: Initial, answers: Sequence[Explored | Failure]
) -> list[tuple[Structure, str]]:
    """All frames that were made, with their sources in words."""
    return [
        (frame, source.words)
        for source, answer in zip(wanted.sources, answers, strict=True)
        if isinstance(answer, Explored)
        for frame in answer.frames
    ]


def _choose(
    state: LoopState, plan: Plan, candidates: Sequence[tuple[Structure, str]]
) -> Generator[Request, Any, tuple[InitialFrame, ...] | Failure]:
    """The frames to be labelled, with the names of their folders."""
    if not candidates:
        return ()
    answer = yield _select_request(state, plan, [frame for frame, _ in candidates])
    if isinstance(answer, Failure):
        return answer
    return tuple(
        InitialFrame(f"{state.n_requests + place:04d}", *candidates[index])
        for place, index in enumerate(answer.chosen)
    )


def _select_request(state: LoopState, plan: Plan, candidates: Sequence[Structure]) -> SelectRequest:
    wanted = present(plan.initial)
    by_prior = wanted.select == "uncertainty"
    chains = tuple(range(plan.n_members))
    return SelectRequest(
        first=state.checkpoint.structure,
        candidates=tuple(candidates),
        n_frames=wanted.n_labels,
        prior=sample_request(state, plan, 1, "", chains) if by_prior else None,
    )


def _asked(state: LoopState, plan: Plan) -> Asked:
    """No rule was asked: no ensemble has predicted these frames."""
    limit = trusted_std(state, plan)
    return Asked(Decision(0, 0.0, math.nan, limit, math.nan, True, Reason.INITIAL))


def _label_request(frame: InitialFrame, plan: Plan) -> LabelRequest:
    """It starts from no other label and none from it: labels side by side would delete each
    other's files, and MD's next frame is like the first one."""
    directory = str(plan.label_folder(frame.name))
    return LabelRequest(plan.reference, frame.structure, directory, plan.handling, followed=False)


def _settle(
    state: LoopState,
    plan: Plan,
    learner: Learner,
    frame: InitialFrame,
    answer: Label | Failure,
) -> Loop:
    """Commit one label, or that there is none."""
    state = learner.after_label(state)
    left = tuple(each for each in state.initial if each.name != frame.name)
    after = replace(
        state,
        phase=Phase.INITIAL if left else Phase.UPDATE,
        initial=left,
        n_requests=state.n_requests + 1,
    )
    if isinstance(answer, Failure):
        return (yield from _leave_out(state, after, plan, answer))
    # In order of their names, whichever ended first: an update depends on the order.
    labels = tuple(sorted((*state.labels, frame.name)))
    after = replace(after, labels=labels, n_initial=state.n_initial + 1)
    event = _labelled(state, plan, frame, answer)
    yield Commit(after, (event,))
    learner.note(event, after)
    return after


def _labelled(state: LoopState, plan: Plan, frame: InitialFrame, label: Label) -> Labelled:
    shift = present(state.energy_shift)
    return Labelled(
        name=frame.name,
        step=state.checkpoint.step,
        label=label,
        prediction=None,
        shifted=shifted_energy(label.energy, shift, float32=plan.faults.float32_energies),
        error=math.nan,
        calibration=state.calibration,
        reason=Reason.INITIAL,
        estimates=state.estimates,
    )


def _leave_out(state: LoopState, after: LoopState, plan: Plan, failure: Failure) -> Loop:
    failed = n_failures(state) + 1
    if failed > plan.failure_budget:
        what = f"label of initial data failed, failure {failed} of this run, budget"
        cause = f"({failure.cause}: {failure.message}): see {failure.directory}"
        stopped = Failed(failure, "run stopped")
        message = f"{what} {plan.failure_budget} {cause}, then resume the run"
        return (yield from _stop(state, [stopped], message))
    yield Commit(after, (Failed(failure, "initial frame left out"),))
    return after


def _stop(state: LoopState, events: Sequence[Failed], message: str) -> Loop:
    """End with an error; a resumed run does once more what failed."""
    yield Commit(state, tuple(events))
    if state.phase is Phase.EXPLORE:
        message = f"{message} for the initial data ({events[-1].failure.message}): see run.log"
    raise TaskError(message)

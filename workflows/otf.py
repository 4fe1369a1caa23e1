"""The loop of METHOD 6 as a generator: no IO, no Parsl, no threads.

`fine_tune` yields requests and is sent their results. Its state is one `LoopState`; each change of
it is yielded as a `Commit` before it is acted on, so a run can go on from the last commit. Read
top to bottom it is the paper's algorithm:

    label the first frame; shift its energy onto the model's scale
    label more frames together, if initial data are wanted
    update all chains
    MD with the ensemble, until a frame is not trusted  ->  label it, calibrate, update, go on
                          or due for an audit           ->  the same, into an estimate of its own
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from bnnflow.errors import TaskError
from bnnflow.md import stage_at, with_new_noise
from bnnflow.records import (
    Commit,
    Driven,
    EnsembleRef,
    Event,
    Failed,
    Failure,
    Forcing,
    Label,
    Labelled,
    LabelRequest,
    LoopState,
    Outcome,
    Phase,
    Prediction,
    PredictRequest,
    Reason,
    Segment,
    Structure,
)
from bnnflow.units import shifted_energy
from workflows.ahead import Ahead, meanwhile
from workflows.astray import evidence_folder, rewind
from workflows.initial import explore, label_together
from workflows.learner import Alone, Learner, Withdrawn
from workflows.learning import learnt, step_of_frame, within_limits
from workflows.plan import Plan
from workflows.protocol import Loop, Request
from workflows.requests import (
    asked,
    asked_first,
    driven,
    forcing,
    label_before,
    n_failures,
    present,
    propagate_request,
    trusted_std,
)


def fine_tune(state: LoopState, plan: Plan, learner: Learner | None = None) -> Loop:
    """Run the loop of one material from a state to its end; returns the final state.

    learner: who brings the ensemble to its next version (default: this loop alone). Raises
    TaskError when a kind of task fails more often than the plan's budget.
    """
    teacher = learner or Alone()
    phases: dict[Phase, Callable[[LoopState, Plan, Learner], Loop]] = {
        Phase.LABEL: _label,
        Phase.EXPLORE: explore,
        Phase.INITIAL: label_together,
        Phase.UPDATE: _update,
        Phase.PROPAGATE: _propagate,
    }
    while state.phase is not Phase.DONE:
        newest = yield from teacher.newest(state, plan)
        state = yield from phases[newest.phase](newest, plan, teacher)
    return state


def _label(state: LoopState, plan: Plan, learner: Learner) -> Loop:
    """Label the frame in hand; compare with what the ensemble said of it; calibrate."""
    frame = present(state.frame)
    name = f"{state.n_requests:04d}"
    directory = str(plan.label_folder(name))
    before = label_before(state, plan)
    request = LabelRequest(plan.reference, frame, directory, plan.handling, previous=before)
    ahead = _going_ahead(state, plan)
    label = yield from meanwhile(request, ahead, learner.second_thoughts(state, plan))
    if isinstance(label, Withdrawn):
        return (yield from _commit(label.state, label.event))
    if isinstance(label, Failure):
        return (yield from _drop_frame(state, plan, label))
    state = learner.after_label(state)
    shift = state.energy_shift
    first = [asked_first(state, plan)] if shift is None else []
    if shift is None:
        foundation = yield from _predict(frame, None, plan)
        shift = _shifted(foundation.energy, -label.energy, plan)
    shifted = _shifted(label.energy, shift, plan)
    event, calibrated = _compare(state, name, label, shifted, plan, learner)
    labelled = replace(
        calibrated,
        phase=Phase.EXPLORE if _explores(state, plan) else Phase.UPDATE,
        energy_shift=shift,
        labels=(*state.labels, name),
        n_requests=state.n_requests + 1,
        n_new=1,
        substitute=Forcing(frame.positions, shifted, label.forces, label.stress),
    )
    stretches: list[Driven] = []
    if ahead is not None and within_limits(plan, event):
        labelled = replace(labelled, substitute=_own_forcing(state), ahead=True)
        labelled, stretches = ahead.accept(labelled)
    yield Commit(labelled, (*first, event, *stretches))
    learner.note(event, labelled)
    return labelled


def _explores(state: LoopState, plan: Plan) -> bool:
    """Whether the label in hand is the first one, which initial data follow."""
    return plan.initial is not None and not state.labels and state.ensemble is None


def _going_ahead(state: LoopState, plan: Plan) -> Ahead | None:
    """MD beyond the frame in hand on the ensemble's own forces, where the plan wants that."""
    if plan.while_labelling != "rewind" or state.prediction is None or state.rewound:
        return None
    return Ahead(replace(state, substitute=_own_forcing(state)), plan)


def _own_forcing(state: LoopState) -> Forcing:
    return forcing(present(state.frame), present(state.prediction))


def _compare(
    state: LoopState, name: str, label: Label, shifted: float, plan: Plan, learner: Learner
) -> tuple[Labelled, LoopState]:
    """Error of the prediction made before any training on this label, and what it teaches.

    The first frame has no prediction and never enters the calibration; nor does what `faults` skip,
    nor a frame that was picked for being wrong (`astray`).
    """
    prediction, error, after = state.prediction, float("nan"), state
    if prediction is not None:
        error = prediction.energy - shifted
        if learner.n_labels(state) >= plan.faults.uncalibrated_labels and not state.rewound:
            after = learnt(state, plan, label, prediction, error)
    step = step_of_frame(state)
    reason = state.reason if prediction is not None else Reason.FIRST_FRAME
    learned = (after.calibration, reason, after.estimates)
    return Labelled(name, step, label, prediction, shifted, error, *learned), after


def _shifted(energy: float, shift: float, plan: Plan) -> float:
    return shifted_energy(energy, shift, float32=plan.faults.float32_energies)


def _drop_frame(state: LoopState, plan: Plan, failure: Failure) -> Loop:
    """Leave out a frame that got no label, within the budget; the first frame needs one."""
    failed = n_failures(state) + 1
    what = f"({failure.cause}: {failure.message}): see {failure.directory}, then resume the run"
    if state.ensemble is None:
        return (yield from _stop(state, failure, f"the first frame has no label {what}"))
    if failed > plan.failure_budget:
        spent = f"label failed, failure {failed} of this run, budget {plan.failure_budget}"
        return (yield from _stop(state, failure, f"{spent} {what}"))
    beyond, action = _past_the_frame(state, plan)
    rewound = replace(
        beyond,
        phase=Phase.PROPAGATE,
        n_requests=state.n_requests + 1,
        frame=None,
        prediction=None,
    )
    return (yield from _commit(rewound, Failed(failure, action)))


def _past_the_frame(state: LoopState, plan: Plan) -> tuple[LoopState, str]:
    """On without the label: by other noise, or by the ensemble's own forces, where MD has no noise
    or the frame was trusted and only due for an audit."""
    langevin = stage_at(plan.dynamics, state.checkpoint.step).kind == "langevin"
    if langevin and state.reason is not Reason.AUDIT:
        rewound = replace(state, checkpoint=with_new_noise(state.checkpoint))
        return rewound, "frame dropped, MD goes on with new noise"
    on_ensemble = replace(state, substitute=_own_forcing(state))
    return on_ensemble, "frame dropped, step taken on the ensemble"


def _stop(state: LoopState, failure: Failure, message: str) -> Loop:
    """End with an error; the failure that caused it is in the run file."""
    yield Commit(state, (Failed(failure, "run stopped"),))
    raise TaskError(message)


def _update(state: LoopState, plan: Plan, learner: Learner) -> Loop:
    """Go on with an ensemble that has seen the label."""
    ahead = Ahead(state, plan) if state.ahead else None
    ensemble, learned = yield from learner.update(state, plan, ahead)
    beyond, stretches = ahead.accept(state) if ahead else (state, [])
    substitute = beyond.substitute
    if plan.continue_on == "ensemble" and ahead is None:
        prediction = yield from _predict(present(state.frame), ensemble, plan)
        substitute = forcing(present(state.frame), prediction)
    updated = replace(
        beyond,
        phase=Phase.DONE if beyond.checkpoint.step >= plan.n_steps else Phase.PROPAGATE,
        ensemble=ensemble,
        frame=None,
        prediction=None,
        substitute=substitute,
        ahead=False,
    )
    return (yield from _commit(updated, *stretches, *learned))


def _propagate(state: LoopState, plan: Plan, _learner: Learner) -> Loop:
    """MD with the ensemble until the end of the segment, or until a frame is to be labelled."""
    limit = trusted_std(state, plan)
    n_steps = min(plan.segment_steps, plan.n_steps - state.checkpoint.step)
    evidence = evidence_folder(state, plan)
    segment = yield replace(propagate_request(state, plan, n_steps, limit), evidence=evidence)
    if isinstance(segment, Failure):
        where = f"MD failed after step {state.checkpoint.step} ({segment.cause}: {segment.message})"
        return (yield from _stop(state, segment, f"{where}: the run is safe up to there"))
    if segment.trip is not None:
        return (yield from _rewind(state, plan, segment, evidence))
    moved = replace(state, checkpoint=segment.checkpoint, substitute=None, rewound=False, fresh=())
    events: list[Event] = [driven(state, plan, segment, limit)]
    if segment.outcome is not Outcome.FINISHED:
        question = asked(state, plan, segment)
        events.append(question)
        moved = replace(
            moved,
            phase=Phase.LABEL,
            frame=segment.frame,
            prediction=segment.prediction,
            reason=question.decision.reason,
        )
    elif segment.checkpoint.step >= plan.n_steps:
        moved = replace(moved, phase=Phase.DONE)
    return (yield from _commit(moved, *events))


def _rewind(state: LoopState, plan: Plan, segment: Segment, evidence: str) -> Loop:
    """Go back to the last commit, to do otherwise; or set the material aside, safe up to there."""
    back = rewind(state, plan, segment, evidence)
    yield Commit(back.state, back.events)
    if back.hopeless:
        raise TaskError(f"{back.hopeless}; a resumed run tries once more")
    return back.state


def _commit(state: LoopState, *events: Event) -> Loop:
    yield Commit(state, events)
    return state


def _predict(
    frame: Structure, ensemble: EnsembleRef | None, plan: Plan
) -> Generator[Request, Any, Prediction]:
    answer = yield PredictRequest(plan.potential, ensemble, plan.energy_std, (frame,))
    if isinstance(answer, Failure):
        raise TaskError(f"the model cannot be evaluated ({answer.message}): see run.log")
    prediction: Prediction = answer[0]
    return prediction

"""The loop of METHOD 6 as a generator: no IO, no Parsl, no threads.

`fine_tune` yields requests and is sent their results. Its state is one `LoopState`; each change of
it is yielded as a `Commit` before it is acted on, so a run can go on from the last commit. Read
top to bottom it is the paper's algorithm:

    label the first frame; shift its energy onto the model's scale
    update all chains
    MD with the ensemble, until a frame is not trusted  ->  label it, calibrate, update, go on
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from bnnflow.errors import TaskError
from bnnflow.md import stage_at, with_new_noise
from bnnflow.records import (
    Commit,
    EnsembleRef,
    Event,
    Failed,
    Failure,
    Faults,
    Forcing,
    Label,
    Labelled,
    LabelRequest,
    LoopState,
    Outcome,
    Phase,
    Prediction,
    PredictRequest,
    PropagateRequest,
    SampleRequest,
    SampleResult,
    Segment,
    Structure,
    Updated,
)
from bnnflow.uncertainty import update
from bnnflow.units import shifted_energy
from workflows.astray import evidence_folder, rewind
from workflows.plan import Plan
from workflows.requests import (
    asked,
    asked_first,
    deal,
    driven,
    forcing,
    gentler,
    n_failures,
    present,
    propagate_request,
    sample_request,
    smaller,
    told_of_retry,
    trusted_std,
)

Request = PropagateRequest | LabelRequest | PredictRequest | tuple[SampleRequest, ...] | Commit
Loop = Generator[Request, Any, LoopState]
Value = TypeVar("Value")


def fine_tune(state: LoopState, plan: Plan) -> Loop:
    """Run the loop of one material from a state to its end; returns the final state.

    Raises TaskError when a kind of task fails more often than the plan's budget.
    """
    phases: dict[Phase, Callable[[LoopState, Plan], Loop]] = {
        Phase.LABEL: _label,
        Phase.UPDATE: _update,
        Phase.PROPAGATE: _propagate,
    }
    while state.phase is not Phase.DONE:
        state = yield from phases[state.phase](state, plan)
    return state


def _label(state: LoopState, plan: Plan) -> Loop:
    """Label the frame in hand; compare with what the ensemble said of it; calibrate."""
    frame = present(state.frame)
    name = f"{state.n_requests:04d}"
    directory = str(Path(plan.folder) / "labels" / name)
    before = str(Path(plan.folder) / "labels" / state.labels[-1]) if state.labels else ""
    label = yield LabelRequest(plan.reference, frame, directory, plan.handling, previous=before)
    if isinstance(label, Failure):
        return (yield from _drop_frame(state, plan, label))
    shift = state.energy_shift
    first = [asked_first(state, plan)] if shift is None else []
    if shift is None:
        foundation = yield from _predict(frame, None, plan)
        shift = _shifted(foundation.energy, -label.energy, plan)
    shifted = _shifted(label.energy, shift, plan)
    event, calibrated = _compare(state, name, label, shifted, plan.faults)
    labelled = replace(
        calibrated,
        phase=Phase.UPDATE,
        energy_shift=shift,
        labels=(*state.labels, name),
        n_requests=state.n_requests + 1,
        substitute=Forcing(frame.positions, shifted, label.forces, label.stress),
    )
    return (yield from _commit(labelled, *first, event))


def _compare(
    state: LoopState, name: str, label: Label, shifted: float, faults: Faults
) -> tuple[Labelled, LoopState]:
    """Error of the prediction made before any training on this label, and what it teaches.

    The first frame has no prediction and never enters the calibration; nor does what `faults` skip,
    nor a frame that was picked for being wrong (`astray`).
    """
    prediction, calibration = state.prediction, state.calibration
    error = float("nan")
    if prediction is not None:
        error = prediction.energy - shifted
        if len(state.labels) >= faults.uncalibrated_labels and not state.rewound:
            calibration = update(calibration, error=error, std=prediction.energy_std)
    step = state.checkpoint.step + (prediction is not None)
    event = Labelled(name, step, label, prediction, shifted, error, calibration)
    return event, replace(state, calibration=calibration)


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
    """On without the label: by other noise, or, where MD has none, by the ensemble's own forces."""
    if stage_at(plan.dynamics, state.checkpoint.step).kind == "langevin":
        rewound = replace(state, checkpoint=with_new_noise(state.checkpoint))
        return rewound, "frame dropped, MD goes on with new noise"
    substitute = forcing(present(state.frame), present(state.prediction))
    return replace(state, substitute=substitute), "frame dropped, step taken on the ensemble"


def _stop(state: LoopState, failure: Failure, message: str) -> Loop:
    """End with an error; the failure that caused it is in the run file."""
    yield Commit(state, (Failed(failure, "run stopped"),))
    raise TaskError(message)


def _update(state: LoopState, plan: Plan) -> Loop:
    """Bring every chain to its next version."""
    version = state.ensemble.version + 1 if state.ensemble else 1
    directory = str(Path(plan.folder) / "ensemble" / f"v{version:04d}")
    results, failures = yield from _sample(state, plan, version, directory)
    ensemble = EnsembleRef(directory, version, plan.n_members)
    substitute = state.substitute
    if plan.continue_on == "ensemble":
        prediction = yield from _predict(present(state.frame), ensemble, plan)
        substitute = forcing(present(state.frame), prediction)
    updated = replace(
        state,
        phase=Phase.PROPAGATE,
        ensemble=ensemble,
        frame=None,
        prediction=None,
        substitute=substitute,
    )
    return (yield from _commit(updated, *failures, Updated(ensemble, results)))


def _sample(
    state: LoopState, plan: Plan, version: int, directory: str
) -> Generator[Request, Any, tuple[tuple[SampleResult, ...], list[Failed]]]:
    """Sample all chains; those of a failed task start again, at half the step if they diverged."""
    waiting = [
        sample_request(state, plan, version, directory, chains)
        for chains in deal(plan.n_members, plan.chains_per_task)
    ]
    done: list[SampleResult] = []
    failures: list[Failed] = []
    while waiting:
        results = yield tuple(waiting)
        again = []
        for request, result in zip(waiting, results, strict=True):
            if isinstance(result, SampleResult):
                done.append(result)
                continue
            retry = gentler(request, result)
            again.append(retry)
            how = told_of_retry(request, retry)
            failures.append(Failed(result, f"chains {request.chains} run again{how}"))
        if len(failures) > plan.failure_budget:
            yield Commit(state, tuple(failures))
            raise TaskError(
                f"sampling failed {len(failures)} times ({failures[-1].failure.message}): look at "
                f"run.log; chains that diverge need a smaller {smaller(plan.schedule)}, in a new "
                "run"
            )
        waiting = again
    return tuple(sorted(done, key=lambda result: result.chains)), failures


def _propagate(state: LoopState, plan: Plan) -> Loop:
    """MD with the ensemble until the end of the segment, or until a frame is not trusted."""
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
    if segment.outcome is Outcome.UNCERTAIN:
        events.append(asked(state, plan, segment))
        moved = replace(
            moved, phase=Phase.LABEL, frame=segment.frame, prediction=segment.prediction
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

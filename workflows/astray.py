"""MD that a guard stopped: what is taken back, and what is done so that it goes otherwise.

The ensemble was sure of every frame on the way, so it was wrong somewhere before the step that made
no sense. The whole stretch since the last commit is therefore taken back; no average over the
trajectory holds a step of it. Then

- where the ensemble's numbers are finite, the last calm frame is labelled: calm, because atoms
  inside one another tell little and most codes fail on them; the last, because there the ensemble
  was sure and about to fail. Where atoms still have room and only the forces are nonsense, it is
  the forbidden frame itself. Its error does not enter the calibration: the frame was
  picked for being wrong, and one such error could outweigh all others and lock the run in.
- where members' numbers are not finite, those chains start anew from the prior, given all labels.

Langevin dynamics go on with new noise in any case. Every stretch taken back counts as a failure of
the material, like a frame without a label; beyond the budget it is set aside with its evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bnnflow.md import describe, stage_at, with_new_noise
from bnnflow.records import (
    Asked,
    Event,
    Failed,
    Failure,
    FailureCause,
    GuardKind,
    LoopState,
    Phase,
    Reason,
    Segment,
    Trip,
)
from workflows.plan import Plan
from workflows.requests import asked, n_failures, present


@dataclass(frozen=True, eq=False)
class Rewind:
    """Where to go on, and what to tell. hopeless: why there is no going on, "" when there is."""

    state: LoopState
    events: tuple[Event, ...]
    hopeless: str = ""


def rewind(state: LoopState, plan: Plan, segment: Segment, folder: str) -> Rewind:
    """Take back a stretch that a guard stopped. folder: of its evidence."""
    failure = _failure(segment, plan, folder)
    back = _taken_back(state, plan)
    noise = back.checkpoint is not state.checkpoint
    spent = _spent(back, plan)
    back, events, action = _otherwise(back, plan, segment)
    vain = "" if noise or events or back.fresh else "nothing would change if it were done again"
    hopeless = spent or vain
    done = "material set aside" if hopeless else f"rewound to step {back.checkpoint.step}, {action}"
    told = f"MD went astray: {failure.message} ({hopeless}): see {folder}" if hopeless else ""
    return Rewind(back, (*events, Failed(failure, done)), told)


def evidence_folder(state: LoopState, plan: Plan) -> str:
    """Where the next stretch keeps its last frames if a guard stops it."""
    return str(Path(plan.folder) / "evidence" / f"{state.n_astray:04d}")


def _taken_back(state: LoopState, plan: Plan) -> LoopState:
    """The last committed state, with other noise to come where the dynamics have any."""
    back = replace(state, n_astray=state.n_astray + 1, rewound=True, substitute=None, fresh=())
    if stage_at(plan.dynamics, state.checkpoint.step).kind == "langevin":
        return replace(back, checkpoint=with_new_noise(state.checkpoint))
    return back


def _otherwise(
    back: LoopState, plan: Plan, segment: Segment
) -> tuple[LoopState, tuple[Event, ...], str]:
    """The state that makes a difference, the events that lead to it, and what it is in words."""
    trip = present(segment.trip)
    if trip.members:
        update = replace(
            back,
            phase=Phase.UPDATE,
            frame=back.checkpoint.structure,
            fresh=trip.members,
            n_new=0,
        )
        return update, (), f"chains {trip.members} start anew"
    if segment.frame is None:
        return back, (), "MD goes on with new noise"
    label = replace(
        back,
        phase=Phase.LABEL,
        frame=segment.frame,
        prediction=segment.prediction,
        reason=Reason.GUARD,
    )
    at_rewind = replace(segment, checkpoint=back.checkpoint)
    decision = replace(asked(back, plan, at_rewind).decision, ask=True, reason=Reason.GUARD)
    return label, (Asked(decision),), "the last calm frame is labelled"


def _spent(back: LoopState, plan: Plan) -> str:
    failed = n_failures(back)
    if failed <= plan.failure_budget:
        return ""
    return f"failure {failed} of this run, budget {plan.failure_budget}"


def _failure(segment: Segment, plan: Plan, folder: str) -> Failure:
    trip: Trip = present(segment.trip)
    broken = trip.guard is GuardKind.PREDICTION
    return Failure(
        task="propagate",
        cause=FailureCause.NON_FINITE if broken else FailureCause.EXPLODED,
        message=describe(trip, plan.dynamics.timestep_fs),
        directory=folder,
        seconds=segment.seconds,
        host=segment.host,
    )

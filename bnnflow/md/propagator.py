"""Drive MD with an ensemble until it is done, or until a frame is not trusted (METHOD 6)."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

from bnnflow.md.calculator import Predict
from bnnflow.md.guard import Guard, Untrusted, ask, fits, forcing_from
from bnnflow.md.integrators import check_dynamics, check_structure
from bnnflow.md.limits import CALM, ExplodedError, Limits, Strain, worst
from bnnflow.md.trace import Trace
from bnnflow.md.walker import Walker
from bnnflow.records import (
    Checkpoint,
    Dynamics,
    FloatArray,
    Forcing,
    GuardKind,
    Guards,
    Outcome,
    Prediction,
    Segment,
    Structure,
)


def propagate(
    *,
    predict: Predict,
    checkpoint: Checkpoint,
    dynamics: Dynamics,
    n_steps: int,
    limit: float,
    substitute: Forcing | None = None,
    audit_every_steps: int | None = None,
    force_limits: FloatArray | None = None,
    guards: Guards | None = None,
) -> Segment:
    """Take up to `n_steps` steps from a checkpoint, each only if the frame it leads to is trusted.

    predict: the ensemble's mean and uncertainty of a structure, a function of that structure alone;
    limit: largest trusted energy std in eV (inf: never ask, a production run); substitute: what
    the first evaluation inside the first step is given instead of the ensemble's prediction, so
    that a labelled step is taken on the reference; its positions must be met exactly;
    audit_every_steps: frames whose step is a multiple of it are to be labelled though trusted;
    force_limits: (n_atoms,) largest trusted std of each atom's force error, eV/Å, inf for none;
    guards: what no step may come to (None: the defaults).

    A step from x_n to x_n+1 evaluates the potential at x_n+1. When the prediction there is not
    trusted the step is not taken: the segment ends with outcome UNCERTAIN, `frame` is x_n+1 and
    `checkpoint` is the state at x_n; likewise with AUDIT where it is trusted and an audit is due.
    The same call again, from that checkpoint and with the label of `frame` as substitute, redoes
    the step bit for bit, and asks for no second audit. The forces at x_n come from the checkpoint
    and are never evaluated again; before the very first step there are none, and the substitute
    serves there if it fits, else the ensemble, unguarded.

    A step that a guard forbids, or that ends in numbers that are not finite, is not taken either:
    the outcome is GUARDED, `trip` says why, and `frame` is the last calm configuration that the
    ensemble predicted, if there was one: the forbidden one where its atoms have room and only the
    forces are nonsense, else one of the steps taken. The first evaluation has no step to refuse
    and is only looked at for finite numbers.

    Returns the steps taken with their energies, on the scale of `predict`, and where they ended.
    Raises FaultError when the substitute belongs to other positions, NonFiniteError when it is not
    a number, ConfigError and StructureError as `start` does.
    """
    began = time.perf_counter()
    check_dynamics(dynamics)
    n_atoms = len(checkpoint.structure)
    check_structure(checkpoint.structure, dynamics)
    limits = Limits.of(guards or Guards(), dynamics, n_atoms)
    try:
        known = _known_answers(predict, checkpoint, substitute)
    except ExplodedError as stop:
        segment = _guarded(Trace(n_atoms), checkpoint, stop, None)
    else:
        guard = Guard(
            predict,
            limit=limit,
            limits=limits,
            known=known,
            stress_needed=dynamics.kind == "npt",
            force_limits=force_limits,
        )
        walker = Walker.restore(checkpoint, dynamics=dynamics, predict=guard)
        segment = _drive(walker, guard, n_steps, audit_every_steps)
    return replace(segment, seconds=time.perf_counter() - began, host=socket.gethostname())


def _drive(walker: Walker, guard: Guard, n_steps: int, audit_every_steps: int | None) -> Segment:
    """Step until done, or until a step leads to a frame to be labelled, or that makes no sense."""
    trace = Trace(n_atoms=len(walker.atoms), force_limits=guard.force_limits)
    reached, calm = walker.checkpoint(), None
    for _ in range(n_steps):
        guard.audit = audit_every_steps is not None and (walker.step + 1) % audit_every_steps == 0
        try:
            walker.advance()
            after = walker.checkpoint()
            heat = guard.limits.temperature(walker.atoms, after.structure, walker.prediction)
        except Untrusted as stop:
            ended = trace.segment(Outcome.AUDIT if stop.audit else Outcome.UNCERTAIN, reached)
            return replace(ended, frame=stop.structure, prediction=stop.prediction)
        except ExplodedError as stop:
            return _guarded(trace, reached, stop, _worth_a_label(stop, guard.strains) or calm)
        trace.record(walker)
        reached = after
        if guard.strains and worst((*guard.strains, heat)) <= CALM:
            calm = (after.structure, walker.prediction)
    return trace.segment(Outcome.FINISHED, reached)


def _worth_a_label(
    stop: ExplodedError, strains: tuple[Strain, ...]
) -> tuple[Structure, Prediction] | None:
    """The forbidden configuration itself, where only the forces that the ensemble gives it are
    nonsense: nowhere does it have more to learn."""
    pulled = stop.strain.guard is GuardKind.FORCE and worst(strains) <= CALM
    return (stop.structure, stop.prediction) if pulled and stop.prediction is not None else None


def _guarded(
    trace: Trace,
    reached: Checkpoint,
    stop: ExplodedError,
    calm: tuple[Structure, Prediction] | None,
) -> Segment:
    """The stretch up to the step that was not taken. calm: the last frame worth a label."""
    ended = replace(trace.segment(Outcome.GUARDED, reached), trip=stop.trip(reached.step + 1))
    return ended if calm is None else replace(ended, frame=calm[0], prediction=calm[1])


def _known_answers(
    predict: Predict, checkpoint: Checkpoint, substitute: Forcing | None
) -> tuple[Forcing, ...]:
    """Answers that need no guarded evaluation: at the checkpoint's positions, then one step on."""
    here = checkpoint.structure
    if checkpoint.forcing is not None:
        known = (checkpoint.forcing,)
    elif substitute is not None and fits(substitute, here):
        return (substitute,)
    else:
        known = (forcing_from(ask(predict, here), here.positions),)
    return known if substitute is None else (*known, substitute)

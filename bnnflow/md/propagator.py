"""Drive MD with an ensemble until it is done, or until a frame is not trusted (METHOD 6)."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

from bnnflow.errors import NonFiniteError
from bnnflow.md.calculator import Predict
from bnnflow.md.guard import Guard, Untrusted, ask, fits, forcing_from
from bnnflow.md.integrators import check_dynamics, check_structure
from bnnflow.md.trace import Trace
from bnnflow.md.walker import Walker
from bnnflow.records import Checkpoint, Dynamics, FloatArray, Forcing, Outcome, Segment


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
) -> Segment:
    """Take up to `n_steps` steps from a checkpoint, each only if the frame it leads to is trusted.

    predict: the ensemble's mean and uncertainty of a structure, a function of that structure alone;
    limit: largest trusted energy std in eV (inf: never ask, a production run); substitute: what
    the first evaluation inside the first step is given instead of the ensemble's prediction, so
    that a labelled step is taken on the reference; its positions must be met exactly;
    audit_every_steps: frames whose step is a multiple of it are to be labelled though trusted;
    force_limits: (n_atoms,) largest trusted std of each atom's force error, eV/Å, inf for none.

    A step from x_n to x_n+1 evaluates the potential at x_n+1. When the prediction there is not
    trusted the step is not taken: the segment ends with outcome UNCERTAIN, `frame` is x_n+1 and
    `checkpoint` is the state at x_n; likewise with AUDIT where it is trusted and an audit is due.
    The same call again, from that checkpoint and with the label of `frame` as substitute, redoes
    the step bit for bit, and asks for no second audit. The forces at x_n come from the checkpoint
    and are never evaluated again; before the very first step there are none, and the substitute
    serves there if it fits, else the ensemble, unguarded.

    Returns the steps taken with their energies, on the scale of `predict`, and where they ended.
    Raises NonFiniteError when the ensemble or the positions stop being numbers, FaultError when
    the substitute belongs to other positions, ConfigError and StructureError as `start` does.
    """
    began = time.perf_counter()
    check_dynamics(dynamics)
    check_structure(checkpoint.structure, dynamics)
    try:
        known = _known_answers(predict, checkpoint, substitute)
        guard = Guard(
            predict,
            limit=limit,
            known=known,
            stress_needed=dynamics.kind == "npt",
            force_limits=force_limits,
        )
        walker = Walker.restore(checkpoint, dynamics=dynamics, predict=guard)
    except Untrusted as stop:
        raise _not_finite(stop, checkpoint.step, dynamics) from None
    segment = _drive(walker, guard, n_steps, audit_every_steps)
    return replace(segment, seconds=time.perf_counter() - began, host=socket.gethostname())


def _drive(walker: Walker, guard: Guard, n_steps: int, audit_every_steps: int | None) -> Segment:
    """Step until done or until a step leads to a frame that is to be labelled."""
    trace = Trace(n_atoms=len(walker.atoms), force_limits=guard.force_limits)
    reached = walker.checkpoint()
    for _ in range(n_steps):
        guard.audit = audit_every_steps is not None and (walker.step + 1) % audit_every_steps == 0
        try:
            walker.advance()
        except Untrusted as stop:
            if not stop.finite:
                raise _not_finite(stop, reached.step + 1, walker.dynamics) from None
            ended = trace.segment(Outcome.AUDIT if stop.audit else Outcome.UNCERTAIN, reached)
            return replace(ended, frame=stop.structure, prediction=stop.prediction)
        trace.record(walker)
        reached = walker.checkpoint()
    return trace.segment(Outcome.FINISHED, reached)


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


def _not_finite(stop: Untrusted, step: int, dynamics: Dynamics) -> NonFiniteError:
    what = "the walker's positions hold" if stop.prediction is None else "the ensemble predicts"
    return NonFiniteError(
        f"{what} a number that is not finite at step {step} ({step * dynamics.timestep_fs:g} fs): "
        "go back to the last good frame and rerun the chains, or take a smaller timestep_fs"
    )

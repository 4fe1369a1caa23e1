"""An update that conditions samples on the new labels, then corrects them by HMC.

Before the first label a chain is a draw from the prior. See `bayes.rto` and `bayes.hmc`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bnnflow.bayes import (
    Conditioned,
    JointDraws,
    LowRankMetric,
    generator_states,
    run_hmc,
    set_generator_states,
    stratified,
)
from bnnflow.records import RtoSpec, SampleRequest
from bnnflow.training.conditioning import condition_chain
from bnnflow.training.jacobian_memory import check_size
from bnnflow.training.moved import Moved, stream
from bnnflow.training.posterior import Posterior
from bnnflow.training.waypoints import Waypoint, Waypoints
from bnnflow.training.whitened import WhitenedPosterior

JACOBIANS_AT_ONCE = 2 * 2**30
"""Bytes of the Jacobians of chains that go through HMC side by side."""


@dataclass(frozen=True, eq=False)
class _Chance:
    """What is a chain's own: its draws of this update, jointly with the other chains'; the place of
    its force noise in the posterior, the same in all updates; labels that its start knows."""

    draws: JointDraws
    quantile: float
    n_known: int

    @classmethod
    def of(cls, request: SampleRequest, chain: int) -> _Chance:
        again = ("attempt", request.attempt) if request.attempt else ()
        streams = tuple(
            stream(request.seed, "rto", request.version, each, *again)
            for each in range(request.n_members)
        )
        places = stream(request.seed, "force noise")
        quantile = stratified(chain, request.n_members, places)
        n_known = 0 if chain in request.fresh else request.n_known
        return cls(JointDraws(streams, chain), quantile, n_known)


def rto_update(
    request: SampleRequest,
    schedule: RtoSpec,
    posterior: Posterior,
    previous: Tensor | None,
    waypoints: Waypoints,
) -> Moved:
    """Condition chains on the labels that they do not know and correct them.

    previous: (k, n_active) samples given the first `request.n_known` labels, None: draw from the
    prior, as chains do that start anew (which draws one time more than their mates do, so that
    their normals do not sum to zero with the others' in this update); waypoints: half-done work of
    this request. Raises NonFiniteError, and SamplerError when the labels' Jacobian is too large.
    """
    whole = WhitenedPosterior(posterior)
    size = _jacobian_bytes(whole)
    chance = [_Chance.of(request, chain) for chain in request.chains]
    start = _start(whole, chance, previous, request.fresh)
    group = max(1, JACOBIANS_AT_ONCE // size)
    parts = [
        _move(whole, schedule, start[rows], [chance[row] for row in rows], waypoints)
        for rows in torch.arange(len(start)).split(group)
    ]
    return Moved(*(torch.cat([getattr(p, name) for p in parts]) for name in vars(parts[0])))


def _move(
    whole: WhitenedPosterior,
    schedule: RtoSpec,
    start: Tensor,
    chance: Sequence[_Chance],
    waypoints: Waypoints,
) -> Moved:
    # One by one: what a chain finds must not depend on which others share its task.
    found = [
        _condition(
            each,
            waypoints.at(f"conditioned-{each.draws.chain:02d}"),
            partial(condition_chain, whole, schedule, start[row : row + 1]),
        )
        for row, each in enumerate(chance)
    ]
    report = run_hmc(
        whole.density,
        torch.cat([each.position for each in found]),
        LowRankMetric(
            torch.cat([each.metric.jacobian for each in found]),
            torch.cat([each.metric.cholesky for each in found]),
        ),
        trajectories=schedule.trajectories,
        leapfrog_steps=schedule.leapfrog_steps,
        draws=[each.draws for each in chance],
        keep=waypoints.at(f"hmc-{chance[0].draws.chain:02d}"),
    )
    return Moved(
        position=whole.theta(report.position),
        kinetic_temperature=report.kinetic_temperature,
        acceptance=report.acceptance,
        held_in_change=_held_in_change(whole, start, report.position, chance),
        gradients=torch.tensor([_gradients(whole, schedule, each) for each in found]),
    )


def _condition(chance: _Chance, kept: Waypoint, work: Callable[..., Conditioned]) -> Conditioned:
    """What a chain found before its task was interrupted, else the work that finds it."""
    streams = chance.draws.streams
    state = kept.load()
    if state is not None:
        set_generator_states(streams, state["generators"])
        metric = LowRankMetric(state["jacobian"], state["cholesky"])
        return Conditioned(state["position"], metric, state["jacobians"], state["gradients"])
    found = work(quantile=chance.quantile, draws=chance.draws, n_known=chance.n_known)
    kept.offer(
        lambda: {
            "position": found.position,
            "jacobian": found.metric.jacobian,
            "cholesky": found.metric.cholesky,
            "jacobians": found.jacobians,
            "gradients": found.gradients,
            "generators": generator_states(streams),
        }
    )
    return found


def _gradients(whole: WhitenedPosterior, schedule: RtoSpec, found: Conditioned) -> int:
    """Gradients of one frame each; a row of a Jacobian counts as one."""
    steps = schedule.trajectories * schedule.leapfrog_steps + 1
    rows = found.jacobians * whole.rows_per_frame
    return whole.n_frames * (rows + found.gradients + steps)


def _start(
    whole: WhitenedPosterior,
    chance: Sequence[_Chance],
    previous: Tensor | None,
    fresh: Sequence[int],
) -> Tensor:
    """(k, n_active) whitened: last samples, or draws of the prior."""
    mean = whole.posterior.prior.mean
    rows = []
    for row, each in enumerate(chance):
        if previous is None or each.draws.chain in fresh:
            rows.append(each.draws.normal(mean.shape).to(mean.device))
        else:
            rows.append(whole.phi(previous[row]))
    return torch.stack(rows)


def _held_in_change(
    whole: WhitenedPosterior, start: Tensor, end: Tensor, chance: Sequence[_Chance]
) -> Tensor:
    """See `SampleResult`; NaN for a chain that started anew."""
    n_known = max(each.n_known for each in chance)
    change = whole.change(start, end, n_known)
    anew = torch.tensor([each.n_known < n_known for each in chance], device=change.device)
    return change.masked_fill(anew, torch.nan)


def _jacobian_bytes(whole: WhitenedPosterior) -> int:
    mean = whole.posterior.prior.mean
    rows = whole.n_frames * whole.rows_per_frame
    return check_size(rows=rows, n_active=len(mean), itemsize=mean.element_size())

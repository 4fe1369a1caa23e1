"""Conditions one chain of a potential on its labels: force noise first, then the parameters.

How well a network of this size can follow the forces is not known beforehand. While sigma is far
too small a chain bends to fit every component of a few frames, and predicts others the worse; so
its scale is drawn first, with the parameters integrated out (`bayes.noise_scale`), and the
parameters given it (`bayes.rto`).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bnnflow.bayes import (
    Conditioned,
    JointDraws,
    LowRankMetric,
    condition,
    draw_log_scale,
    gram,
    implied,
    require_finite,
)
from bnnflow.records import RtoSpec
from bnnflow.training.whitened import WhitenedPosterior


def condition_chain(
    whole: WhitenedPosterior,
    schedule: RtoSpec,
    start: Tensor,
    *,
    n_known: int,
    quantile: float,
    draws: JointDraws,
) -> Conditioned:
    """A sample (1, n_active) given the first `n_known` labels becomes one given all of them.

    quantile: the chain's own, in (0, 1), for the scale of its force noise; draws: of all else.
    Raises NonFiniteError when predictions at `start` are not finite.
    """
    force_std = whole.force_std(start)
    problem = whole.residuals(force_std)
    rows, jacobian = problem.residual(start), problem.jacobian(start)
    require_finite(rows, jacobian)
    anchor, noise = _origin(jacobian, start, rows, n_known * whole.rows_per_frame, draws)
    change = _change_of_scale(whole, start, rows, jacobian, quantile)
    start = start + change / whole.posterior.prior.std * whole.force_scale
    narrower = torch.where(whole.force_rows, torch.tensor(-change).exp(), 1.0)
    jacobian *= narrower.to(jacobian).unsqueeze(-1)  # in place: it may be most of the memory
    found = condition(
        whole.residuals(force_std * torch.tensor(change).exp()),
        start,
        noise,
        anchor=torch.where(whole.force_scale, start, anchor),
        metric=LowRankMetric.of(jacobian),
        max_jacobians=schedule.max_jacobians - 1,
        max_steps=schedule.max_steps,
    )
    rows = torch.cat([found.metric.jacobian, whole.noise_rows(found.position)], dim=1)
    return replace(found, jacobians=found.jacobians + 1, metric=LowRankMetric.of(rows))


def _origin(
    jacobian: Tensor, start: Tensor, rows: Tensor, known: int, draws: JointDraws
) -> tuple[Tensor, Tensor]:
    """Anchor and noise of all rows that a chain goes on from."""
    fresh = _normal(rows, draws)
    if not known:
        return start, fresh
    metric = LowRankMetric.of(jacobian[:, :known])
    anchor, old = implied(metric, start, rows[:, :known], _normal(start, draws), fresh[:, :known])
    return anchor, torch.cat([old, fresh[:, known:]], dim=1)


def _change_of_scale(
    whole: WhitenedPosterior, start: Tensor, rows: Tensor, jacobian: Tensor, quantile: float
) -> float:
    """What to add to log sigma of every atom."""
    prior = whole.posterior.prior
    mean, std = (float(value[whole.force_scale]) for value in (prior.mean, prior.std))
    present = mean + std * float(start[0, whole.force_scale])
    inner = gram(jacobian)[0]
    drawn = draw_log_scale(
        inner,
        rows[0] - (jacobian[0] @ start[0].to(jacobian)).double(),
        whole.force_rows,
        present=present,
        prior_mean=mean,
        prior_std=std,
        quantile=quantile,
        silent=whole.silent_forces(inner),
    )
    return drawn - present


def _normal(like: Tensor, draws: JointDraws) -> Tensor:
    return draws.normal(like.shape).to(like.device)

"""An update that conditions samples on the new labels, then corrects them by HMC.

Before the first label a chain is a draw from the prior. See `bayes.rto` and `bayes.hmc`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bnnflow.bayes import Conditioned, LowRankMetric, condition, run_hmc
from bnnflow.errors import SamplerError
from bnnflow.records import RtoSpec, SampleRequest
from bnnflow.training.moved import Moved, stream
from bnnflow.training.posterior import Posterior
from bnnflow.training.whitened import WhitenedPosterior

GIB = 2**30
LARGEST_JACOBIAN = 8 * GIB
"""Bytes of one chain's Jacobian beyond which an update is refused."""
JACOBIANS_AT_ONCE = 2 * GIB
"""Bytes of the Jacobians of chains that go through HMC side by side."""


def rto_update(
    request: SampleRequest, schedule: RtoSpec, posterior: Posterior, previous: Tensor | None
) -> Moved:
    """Condition chains on the labels that they do not know and correct them.

    previous: (k, n_active) samples given the first `request.n_known` labels, None: draw from the
    prior. Raises NonFiniteError, and SamplerError when the labels' Jacobian is too large.
    """
    whole = WhitenedPosterior(posterior)
    size = _jacobian_bytes(whole)
    generators = [stream(request.seed, "rto", request.version, c) for c in request.chains]
    start = _prior(whole, generators) if previous is None else whole.phi(previous)
    group = max(1, JACOBIANS_AT_ONCE // size)
    parts = [
        _move(whole, schedule, start[rows], [generators[row] for row in rows], request.n_known)
        for rows in torch.arange(len(start)).split(group)
    ]
    return Moved(*(torch.cat([getattr(p, name) for p in parts]) for name in vars(parts[0])))


def _move(
    whole: WhitenedPosterior,
    schedule: RtoSpec,
    start: Tensor,
    generators: Sequence[torch.Generator],
    n_known: int,
) -> Moved:
    # One by one: what a chain finds must not depend on which others share its task.
    found = [
        _condition(whole, schedule, start[row : row + 1], generator, n_known)
        for row, generator in enumerate(generators)
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
        generators=generators,
    )
    return Moved(
        position=whole.theta(report.position),
        kinetic_temperature=report.kinetic_temperature,
        acceptance=report.acceptance,
        held_in_change=whole.change(start, report.position, n_known),
        gradients=torch.tensor([_gradients(whole, schedule, each) for each in found]),
    )


def _gradients(whole: WhitenedPosterior, schedule: RtoSpec, found: Conditioned) -> int:
    """Gradients of one frame each; a row of a Jacobian counts as one."""
    steps = schedule.trajectories * schedule.leapfrog_steps + 1
    rows = found.jacobians * whole.rows_per_frame
    return whole.n_frames * (rows + found.gradients + steps)


def _condition(
    whole: WhitenedPosterior,
    schedule: RtoSpec,
    start: Tensor,
    generator: torch.Generator,
    n_known: int,
) -> Conditioned:
    """One chain (1, n_active) on the labels from number `n_known` on."""
    problem = whole.residuals(whole.force_std(start))
    target = problem.residual(start)
    known = n_known * whole.rows_per_frame
    fresh = torch.randn(target[:, known:].shape, generator=generator, dtype=torch.float64)
    target[:, known:] = fresh.to(target)
    return condition(
        problem,
        start,
        target,
        max_jacobians=schedule.max_jacobians,
        max_steps=schedule.max_steps,
    )


def _prior(whole: WhitenedPosterior, generators: Sequence[torch.Generator]) -> Tensor:
    mean = whole.posterior.prior.mean
    draws = [torch.randn(mean.shape, generator=g, dtype=torch.float64) for g in generators]
    return torch.stack(draws).to(mean.device)


def _jacobian_bytes(whole: WhitenedPosterior) -> int:
    mean = whole.posterior.prior.mean
    rows = whole.n_frames * whole.rows_per_frame
    size = rows * len(mean) * mean.element_size()
    if size > LARGEST_JACOBIAN:
        raise SamplerError(
            f"the Jacobian of {rows} labelled numbers by {len(mean)} parameters takes "
            f"{size / GIB:.1f} GiB per chain, expected at most {LARGEST_JACOBIAN // GIB}: set "
            "sampler.schedule to published"
        )
    return size

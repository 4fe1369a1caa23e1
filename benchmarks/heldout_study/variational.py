"""A mean-field normal over all active weights, fitted by the reparameterisation gradient.

q = N(m, diag(s^2)) minimises E_q[-log posterior] - entropy [Kingma, Welling 2014; Blundell et al.
2015]: with theta = m + s n, n standard normal, and g the gradient of -log posterior at theta,

    dL/dm = E[g],    dL/dlog s = E[g n] s - 1.

The papers name such a posterior as their option for few GPUs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bnnflow.bayes import Minibatch, MinibatchSampler
from bnnflow.records import Label
from bnnflow.training.sample import stream
from heldout_study.method import Fit, Step, save_ensemble
from heldout_study.setting import Setting

MEAN_STEP, LOG_STD_STEP = 1e-3, 1e-2
FIRST_STD = 1e-2
"""s where the fit starts, as a share of the prior's std: from its full width nothing is learned."""


@dataclass(frozen=True)
class Variational:
    """k draws per gradient step while fitting, then k draws as members; every update anew."""

    setting: Setting
    sequential: bool = False

    def update(self, labels: Sequence[Label], step: Step) -> Fit:
        """Fit q, draw the members."""
        setting, n = self.setting, len(labels)
        posterior = setting.posterior(labels, step.energy_shift)
        draws = setting.draws(n, "variational", n, chains=setting.chains)
        mean, std = fit(
            setting.heads()[0, posterior.active],
            posterior.gradient,
            draws,
            n_data=n,
            first_std=FIRST_STD * setting.prior_std,
            steps=setting.steps,
            generators=self._streams("fit", n),
        )
        noise = standard_normals(mean, self._streams("members", n))
        save_ensemble(step.target, active=posterior.active, members=mean + std * noise)
        report = {"median_std": float(std.median()), "mean_std": float(std.mean())}
        return Fit(setting.steps * draws.batch, report)

    def _streams(self, purpose: str, n_data: int) -> list[torch.Generator]:
        chains = range(self.setting.chains)
        return [stream(self.setting.seed, "variational", purpose, n_data, c) for c in chains]


def fit(
    start: Tensor,
    gradient: Callable[[Tensor, Minibatch], Tensor],
    draws: MinibatchSampler,
    *,
    n_data: int,
    first_std: float,
    steps: int,
    generators: Sequence[torch.Generator],
    mean_step: float = MEAN_STEP,
    log_std_step: float = LOG_STD_STEP,
) -> tuple[Tensor, Tensor]:
    """Mean and std (P,) of q, by Adam with step sizes that fall to zero as a cosine.

    start: (P,), the first mean; gradient: of -log posterior over N, at (k, P); generators: one per
    draw of each step.
    """
    mean, log_std = start.clone(), torch.full_like(start, math.log(first_std))
    groups = [{"params": [mean], "lr": mean_step}, {"params": [log_std], "lr": log_std_step}]
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        noise, std = standard_normals(mean, generators), log_std.exp()
        slope = gradient(mean + std * noise, draws.draw())
        mean.grad = slope.mean(0)
        log_std.grad = (slope * noise).mean(0) * std - 1.0 / n_data
        optimiser.step()
        schedule.step()
    return mean.detach(), log_std.detach().exp()


def standard_normals(like: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """(k, P) standard normal numbers, a row from each generator."""
    rows = [torch.randn(like.shape, generator=g, dtype=like.dtype) for g in generators]
    return torch.stack(rows)

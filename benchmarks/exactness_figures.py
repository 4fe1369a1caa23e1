"""Figures of the exactness table: one update of many chains, and many updates of a few.

A group's figures are means over its probes: `variance`, sampled over true, with its interval (95 %,
bootstrap over samples); `mean_off`, root mean square of the sampled mean's distance from the truth
in posterior standard deviations; `coverage`, the true probability of the sampled central 90 %
interval. 256 exact samples show 1, 0.06 and 0.89. Successive updates add `r_hat`, the largest of
the group, and `size`, the smallest bulk effective sample size per update: about the number of
chains where no sample knows another.
"""

from __future__ import annotations

import torch
from convergence import bulk_size, r_hat
from draws import Sampled, Sampler
from known_posteriors import KnownPosterior, curved, curved_draws
from torch import Tensor

BOOTSTRAPS = 200
VARIANCE_BAR, MEAN_BAR = 0.2, 0.3
INTERVAL = torch.tensor([0.05, 0.95], dtype=torch.float64)

Figures = dict[str, dict[str, float]]


def figures(problem: KnownPosterior, sampled: Sampled) -> Figures:
    """Per group, of one sample per chain."""
    probes = problem.probes(sampled.phi)
    generator = torch.Generator().manual_seed(0)
    picks = torch.randint(len(probes), (BOOTSTRAPS, len(probes)), generator=generator)
    covered = coverage(problem, probes)
    found = {}
    for name, group in problem.groups.items():
        values, variance = probes[:, group], problem.variance[group]
        ratios = torch.stack([(values[pick].var(0) / variance).mean() for pick in picks])
        offset = (values.mean(0) - problem.mean[group]) / variance.sqrt()
        found[name] = {
            "variance": float((values.var(0) / variance).mean()),
            "low": float(ratios.quantile(0.025)),
            "high": float(ratios.quantile(0.975)),
            "mean_off": float(offset.square().mean().sqrt()),
            "coverage": float(covered[group].mean()),
        }
    return found


def coverage(problem: KnownPosterior, probes: Tensor) -> Tensor:
    """(Q,) true probability of the central 90 % interval of samples (k, Q)."""
    low, high = problem.distribution(probes.quantile(INTERVAL, dim=0))
    return high - low


def passes(group: dict[str, float]) -> bool:
    """Within the bar: variance within 20 %, mean within 0.3 posterior standard deviations."""
    return abs(group["variance"] - 1.0) <= VARIANCE_BAR and group["mean_off"] <= MEAN_BAR


def successive_updates(
    sampler: Sampler,
    problem: KnownPosterior,
    *,
    chains: int,
    updates: int,
    start: Tensor | None = None,
) -> Tensor:
    """Whitened samples (chains, updates, P); every update starts from the one before, the first
    from `start` (chains, P) or, without it, as first updates do."""
    found: list[Tensor] = []
    for update in range(updates):
        found.append(sampler(problem, chains, found[-1] if found else start, update).phi)
    return torch.stack(found, dim=1)


def kept_figures(sampler: Sampler, *, chains: int, updates: int) -> Figures:
    """Per group of `curved`, of the last update after exact draws: an update without new labels
    must leave the posterior as it is. `memory` is the mean correlation of
    a probe with the draws, 0 once they are forgotten."""
    problem = curved()
    start = curved_draws(problem, chains)
    phi = successive_updates(sampler, problem, chains=chains, updates=updates, start=start)
    last = phi[:, -1]
    found = figures(problem, Sampled(last, 0))
    probes = [problem.probes(x) for x in (start, last)]
    scores = [(x - x.mean(0)) / x.std(0, correction=0) for x in probes]
    memory = (scores[0] * scores[1]).mean(0)
    for name, group in problem.groups.items():
        found[name]["memory"] = float(memory[group].mean())
    return found


def successive_figures(problem: KnownPosterior, phi: Tensor) -> Figures:
    """Per group, of samples (chains, updates, P): those of the later half of all updates together,
    and how well the chains agree and move over all of them."""
    chains, updates = phi.shape[:2]
    later = phi[:, updates // 2 :].flatten(0, 1)
    probes = problem.probes(phi.flatten(0, 1)).unflatten(0, (chains, updates)).numpy()
    reduction, size = r_hat(probes), bulk_size(probes) / updates
    found = figures(problem, Sampled(later, 0))
    for name, group in problem.groups.items():
        found[name] |= {
            "r_hat": float(reduction[group].max()),
            "size": float(size[group].min()),
        }
    return found

"""Do the samplers sample what they say? Each against posteriors that are known.

    python benchmarks/exactness.py --json

256 independent chains per sampler and problem, one sample each, from the prior's mean as a first
update starts (rto: from a draw of the prior), at no more per-frame gradients than the published
schedule's 2,000 x 5. Figures: mean of sampled over true variance of the probes of a group, and how
far the sampled mean is off, in posterior standard deviations (root mean square; 256 exact samples
show 0.06). Intervals: 95 %, bootstrap over chains.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from known_posteriors import KnownPosterior, known_posteriors
from torch import Tensor

from bnnflow.bayes import (
    BiasedMinibatchSampler,
    LowRankMetric,
    MinibatchSampler,
    condition,
    ramp_of_std,
    run_chains,
    run_hmc,
    sghmc_schedule,
)

BUDGET = 10_000
BOOTSTRAPS = 200
VARIANCE_BAR, MEAN_BAR = 0.2, 0.3


@dataclass(frozen=True, eq=False)
class Sampled:
    """Whitened samples (k, P) and what one of them cost in per-frame gradients."""

    phi: Tensor
    cost: int


Sampler = Callable[[KnownPosterior, int], Sampled]


@dataclass(frozen=True)
class Sghmc:
    """SGHMC with an AMSGrad mass: `steps` of `batch` frames; fractions as in the run file.

    compat: with the minibatches and the noise ramp of `compat: rensmeyer2026`.
    """

    steps: int = 2000
    batch: int = 5
    step_size: float = 1e-3
    freeze_mass: float = 1.0
    noise_free: float = 398 / 2000
    ramp: float = 102 / 2000
    friction: float = 0.1
    epsilon: float = 1e-4
    compat: bool = False

    def __call__(self, problem: KnownPosterior, chains: int) -> Sampled:
        plan = sghmc_schedule(
            n_steps=self.steps,
            initial=self.step_size,
            noise_free_fraction=self.noise_free,
            ramp_fraction=self.ramp,
            freeze_mass_fraction=self.freeze_mass,
        )
        report = run_chains(
            problem.prior_mean.expand(chains, -1),
            problem.gradient,
            n_data=problem.n_frames,
            batch=self.batch,
            step_sizes=plan.step_sizes,
            temperatures=ramp_of_std(plan.temperatures) if self.compat else plan.temperatures,
            freeze_mass_at=plan.freeze_mass_at,
            friction=self.friction,
            decay=0.999,
            epsilon=self.epsilon,
            noise_generators=_generators(chains, 1),
            batch_generators=_generators(chains, 2),
            minibatches=BiasedMinibatchSampler if self.compat else MinibatchSampler,
        )
        phi = (report.position - problem.prior_mean) / problem.prior_std
        return Sampled(phi, self.steps * min(self.batch, problem.n_frames))


@dataclass(frozen=True)
class Rto:
    """A draw of the prior conditioned on all labels, then `trajectories` of HMC."""

    trajectories: int
    leapfrog_steps: int = 5
    max_jacobians: int = 10
    max_steps: int = 40

    def __call__(self, problem: KnownPosterior, chains: int) -> Sampled:
        generators = _generators(chains, 3)
        start = _normal(len(problem.prior_mean), generators)
        noise = _normal(problem.labels.numel(), generators)
        found = condition(
            problem, start, noise, max_jacobians=self.max_jacobians, max_steps=self.max_steps
        )
        cost = found.jacobians * problem.labels.numel() + found.gradients * problem.n_frames
        if not self.trajectories:
            return Sampled(found.position, cost)
        report = run_hmc(
            problem.density,
            found.position,
            found.metric,
            trajectories=self.trajectories,
            leapfrog_steps=self.leapfrog_steps,
            generators=generators,
        )
        steps = self.trajectories * self.leapfrog_steps + 1
        return Sampled(report.position, cost + steps * problem.n_frames)


def laplace(problem: KnownPosterior, chains: int) -> Sampled:
    """Draws of the Gaussian around the most probable parameters."""
    start = torch.zeros(1, len(problem.prior_mean), dtype=torch.float64)
    target = torch.zeros(1, problem.labels.numel(), dtype=torch.float64)
    found = condition(problem, start, target, max_jacobians=10, max_steps=50)
    metric = LowRankMetric.of(problem.jacobian(found.position))
    generators = _generators(chains, 4)
    rows = _normal(problem.labels.numel(), generators)
    phi = found.position + metric.draw(_normal(start.shape[1], generators), rows)
    cost = (found.jacobians + 1) * problem.labels.numel() + found.gradients * problem.n_frames
    return Sampled(phi, cost)


SAMPLERS: dict[str, Sampler] = {
    "published": Sghmc(),
    "compat: rensmeyer2026": Sghmc(compat=True),
    "published, mass frozen at half": Sghmc(freeze_mass=0.5),
    "published, full batch, 500 steps": Sghmc(steps=500, batch=20),
    "full batch, step size x 10": Sghmc(steps=500, batch=20, step_size=1e-2, freeze_mass=0.3),
    "full batch, constant mass": Sghmc(
        steps=500, batch=20, step_size=1e6 * 20 * 0.015**2 / 0.02, freeze_mass=0.1,
        noise_free=0.0, ramp=0.0, friction=0.02, epsilon=1e6,
    ),
    "laplace": laplace,
    "rto": Rto(trajectories=0),
    "rto + hmc 20 x 5": Rto(trajectories=20),
    "rto + hmc 40 x 5": Rto(trajectories=40),
    "rto + hmc 80 x 5": Rto(trajectories=80),
}  # fmt: skip


def figures(problem: KnownPosterior, sampled: Sampled) -> dict[str, dict[str, float]]:
    """Per group: variance ratio with its interval, and offset of the mean."""
    probes = problem.probes(sampled.phi)
    generator = torch.Generator().manual_seed(0)
    picks = torch.randint(len(probes), (BOOTSTRAPS, len(probes)), generator=generator)
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
        }
    return found


def passes(group: dict[str, float]) -> bool:
    """Within the bar: variance within 20 %, mean within 0.3 posterior standard deviations."""
    return abs(group["variance"] - 1.0) <= VARIANCE_BAR and group["mean_off"] <= MEAN_BAR


def _generators(count: int, purpose: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(10_000 * purpose + chain) for chain in range(count)]


def _normal(size: int, generators: list[torch.Generator]) -> Tensor:
    return torch.stack([torch.randn(size, generator=g, dtype=torch.float64) for g in generators])


def main() -> None:
    """Print the table, or the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--chains", type=int, default=256)
    parser.add_argument("--samplers", nargs="*", choices=list(SAMPLERS), default=list(SAMPLERS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table: dict[str, float] = {}
    for problem in known_posteriors():
        for name in arguments.samplers:
            began = time.process_time()
            sampled = SAMPLERS[name](problem, arguments.chains)
            groups = figures(problem, sampled)
            seconds = time.process_time() - began
            if not arguments.json:
                print(_line(problem.name, name, sampled.cost, groups, seconds), flush=True)
            for group, found in groups.items():
                table |= {f"{problem.name}.{name}.{group}.{key}": v for key, v in found.items()}
            table[f"{problem.name}.{name}.cost"] = sampled.cost
    if arguments.json:
        finite = {key: value for key, value in table.items() if math.isfinite(value)}
        settings = {"chains": arguments.chains, "budget": BUDGET}
        print(json.dumps({"benchmark": "exactness", "figures": finite, "settings": settings}))


def _line(
    problem: str, sampler: str, cost: int, groups: dict[str, dict[str, float]], seconds: float
) -> str:
    cells = [
        f"{name} {g['variance']:.2f} ({g['low']:.2f}-{g['high']:.2f}) off {g['mean_off']:.2f}"
        for name, g in groups.items()
    ]
    verdict = "pass" if all(map(passes, groups.values())) else "    "
    if cost > BUDGET:
        verdict = "over"
    return f"{problem:9s} {sampler:33s} {cost:6d} {verdict} {'; '.join(cells)} [{seconds:.1f} s]"


if __name__ == "__main__":
    main()

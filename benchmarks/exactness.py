"""Do the samplers sample what they say? Each against posteriors that are known.

    python benchmarks/exactness.py --json

First 256 chains per sampler and problem (rto: in ensembles of 8 that draw jointly), one sample
each, from the prior's mean as a first update starts (rto: from a draw of the prior), at no more
per-frame gradients than the published schedule's 2,000 x 5. Then 8 chains through 20 updates
without new labels, each from the samples of the one before; and 256 exact draws of `curved` through
5 of them, which should leave them exact. `exactness_figures` says what is measured.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass

import torch
from draws import Sampled, Sampler, begin, generators, joint_draws, normal
from exactness_tables import BUDGET, further_updates, kept, single_updates
from known_posteriors import KnownPosterior
from other_samplers import Cycles, Sgnht, Tempered
from rto_samplers import Rto, RtoForeign
from torch import Tensor

from bnnflow.bayes import (
    BiasedMinibatchSampler,
    LowRankMetric,
    MinibatchSampler,
    condition,
    ramp_of_std,
    run_chains,
    sghmc_schedule,
)


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

    def __call__(
        self,
        problem: KnownPosterior,
        chains: int,
        previous: Tensor | None = None,
        update: int = 0,
    ) -> Sampled:
        plan = sghmc_schedule(
            n_steps=self.steps,
            initial=self.step_size,
            noise_free_fraction=self.noise_free,
            ramp_fraction=self.ramp,
            freeze_mass_fraction=self.freeze_mass,
        )
        report = run_chains(
            problem.theta(begin(problem, chains, previous)),
            problem.gradient,
            n_data=problem.n_frames,
            batch=self.batch,
            step_sizes=plan.step_sizes,
            temperatures=ramp_of_std(plan.temperatures) if self.compat else plan.temperatures,
            freeze_mass_at=plan.freeze_mass_at,
            friction=self.friction,
            decay=0.999,
            epsilon=self.epsilon,
            noise_generators=generators(chains, 1, update),
            batch_generators=generators(chains, 2, update),
            minibatches=BiasedMinibatchSampler if self.compat else MinibatchSampler,
        )
        phi = (report.position - problem.prior_mean) / problem.prior_std
        return Sampled(phi, self.steps * min(self.batch, problem.n_frames))


def laplace(
    problem: KnownPosterior,
    chains: int,
    previous: Tensor | None = None,  # noqa: ARG001
    update: int = 0,
) -> Sampled:
    """Independent draws of the Gaussian around the most probable parameters."""
    start = torch.zeros(1, len(problem.prior_mean), dtype=torch.float64)
    target = torch.zeros(1, problem.labels.numel(), dtype=torch.float64)
    found = condition(problem, start, target, max_jacobians=10, max_steps=50)
    metric = LowRankMetric.of(problem.jacobian(found.position))
    draws = joint_draws(chains, 4, update)
    rows = normal(problem.labels.numel(), draws)
    phi = found.position + metric.draw(normal(start.shape[1], draws), rows)
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
    "published, 4 cycles": Cycles(Sghmc(steps=500), Sghmc(steps=500), cycles=4),
    "step size x 10, 4 cycles": Cycles(
        Sghmc(steps=500, step_size=1e-2), Sghmc(steps=500, step_size=1e-2), cycles=4
    ),
    "3 cold restarts, step size / 3": Cycles(
        Sghmc(steps=500), Sghmc(steps=500, step_size=3e-4, noise_free=0.0, ramp=0.0), cycles=4
    ),
    "hot start": Tempered(steps=2000, batch=5, hottest=10.0),
    "hot start, step size x 10": Tempered(steps=2000, batch=5, hottest=10.0, step_size=1e-2),
    "sgnht, full batch": Sgnht(steps=500, batch=20, step_size=0.01, diffusion=10.0),
    "sgnht, batch 5": Sgnht(steps=2000, batch=5, step_size=0.003, diffusion=30.0),
    "laplace": laplace,
    "rto": Rto(trajectories=0),
    "rto + hmc 20 x 5": Rto(trajectories=20),
    "rto + hmc 40 x 5": Rto(trajectories=40),
    "rto + hmc 80 x 5": Rto(trajectories=80),
    "rto + neighbour's hmc 20 x 5": RtoForeign((("neighbour", 20, 5),)),
    "rto + prior's hmc 10 x 20": RtoForeign((("prior", 10, 20),)),
    "rto + both 10 x 5, 7 x 20": RtoForeign((("neighbour", 10, 5), ("prior", 7, 20))),
}  # fmt: skip
SUCCESSIVE = (
    "published",
    "full batch, constant mass",
    "step size x 10, 4 cycles",
    "3 cold restarts, step size / 3",
    "hot start, step size x 10",
    "sgnht, full batch",
    "sgnht, batch 5",
    "laplace",
    "rto + hmc 20 x 5",
    "rto + hmc 40 x 5",
    "rto + neighbour's hmc 20 x 5",
    "rto + prior's hmc 10 x 20",
    "rto + both 10 x 5, 7 x 20",
)
SUCCESSIVE_CHAINS, KEPT_UPDATES = 8, 5


def main() -> None:
    """Print the tables, or the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--chains", type=int, default=256, help="of single updates")
    parser.add_argument("--samplers", nargs="*", choices=list(SAMPLERS), default=list(SAMPLERS))
    parser.add_argument("--updates", type=int, default=20, help="successive ones, 0 for none")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    verbose, updates = not arguments.json, arguments.updates
    chosen = {name: SAMPLERS[name] for name in arguments.samplers}
    table = single_updates(chosen, chains=arguments.chains, verbose=verbose)
    if updates:
        chosen = {name: sampler for name, sampler in chosen.items() if name in SUCCESSIVE}
        table |= further_updates(chosen, chains=SUCCESSIVE_CHAINS, updates=updates, verbose=verbose)
        table |= kept(chosen, chains=arguments.chains, updates=KEPT_UPDATES, verbose=verbose)
    if arguments.json:
        finite = {key: value for key, value in table.items() if math.isfinite(value)}
        settings = {"chains": arguments.chains, "budget": BUDGET, "updates": updates}
        print(json.dumps({"benchmark": "exactness", "figures": finite, "settings": settings}))


if __name__ == "__main__":
    main()

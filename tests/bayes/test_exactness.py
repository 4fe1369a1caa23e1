"""The default update against posteriors that are known, within the bar of the exactness table."""

import pytest
from exactness import BUDGET, SAMPLERS, figures, passes
from known_posteriors import curved, gaussian, known_posteriors, linear, network

from bnnflow.records import RtoSpec

DEFAULT = "rto + hmc 20 x 5"
CHAINS = 256


def test_default_is_the_one_of_the_table() -> None:
    spec, sampler = RtoSpec("rto"), SAMPLERS[DEFAULT]
    for name in ("trajectories", "leapfrog_steps", "max_jacobians", "max_steps"):
        assert getattr(sampler, name) == getattr(spec, name)


@pytest.mark.parametrize("make", [gaussian, linear, curved, network])
def test_default_samples_what_it_says(make) -> None:
    """Variances within 20 %, means within 0.3 posterior standard deviations, within the budget."""
    problem = make()
    sampled = SAMPLERS[DEFAULT](problem, CHAINS)
    assert sampled.cost <= BUDGET
    for name, group in figures(problem, sampled).items():
        assert passes(group), (name, group)


def test_an_optimum_alone_is_not_a_sample() -> None:
    """The bar tells samplers apart: without HMC the curved problem does not pass."""
    groups = figures(curved(), SAMPLERS["rto"](curved(), CHAINS))
    assert not all(passes(group) for group in groups.values())


def test_problems_have_a_spread_to_find() -> None:
    for problem in known_posteriors():
        assert (problem.variance > 0.0).all() and len(problem.mean) == len(problem.variance)
        assert problem.residual(problem.prior_mean.expand(2, -1)).shape[1] == problem.labels.numel()

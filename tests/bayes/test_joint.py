"""Draws that sum to zero over the chains: each a standard normal all the same."""

from __future__ import annotations

import pytest
import torch

from bnnflow.bayes import JointDraws, stratified

CHAINS = 8


def draws(chain: int, seed: int = 0, chains: int = CHAINS) -> JointDraws:
    streams = [torch.Generator().manual_seed(100 * seed + each) for each in range(chains)]
    return JointDraws(tuple(streams), chain)


def test_normals_of_all_chains_sum_to_zero_and_are_standard_each() -> None:
    size = 200_000
    z = torch.stack([draws(chain).normal((size,)) for chain in range(CHAINS)])
    assert z.sum(0).abs().max() < 1e-12
    # Four standard errors of a mean, of a variance and of a covariance.
    assert z.mean(1).abs().max() < 4.0 / size**0.5
    covariance = z @ z.T / size
    assert (covariance.diagonal() - 1.0).abs().max() < 4.0 * (2.0 / size) ** 0.5
    between = covariance[~torch.eye(CHAINS, dtype=torch.bool)]
    assert (between + 1.0 / (CHAINS - 1)).abs().max() < 4.0 / size**0.5


def test_repeated_calls_stay_in_step() -> None:
    """A chain that draws uniform numbers in between knows what the others draw next."""
    everyone = [draws(chain) for chain in range(CHAINS)]
    for shape in ((3,), (2, 5), ()):
        uniform = torch.stack([each.uniform() for each in everyone])
        assert len(uniform.unique()) == CHAINS
        z = torch.stack([each.normal(shape) for each in everyone])
        assert z.shape == (CHAINS, *shape)
        torch.testing.assert_close(z.sum(0), torch.zeros(shape, dtype=torch.float64))


def test_one_stream_is_the_generators_own_numbers() -> None:
    expected = torch.randn(4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(draws(0, chains=1).normal((4,)), expected)


def test_a_chain_without_a_stream_is_refused() -> None:
    with pytest.raises(ValueError, match="chain is 8, expected one of the 8"):
        draws(8)


@pytest.mark.parametrize("chains", [1, 3, 8])
def test_every_part_has_one_chain(chains: int) -> None:
    def places(seed: int) -> torch.Tensor:
        return torch.tensor(
            [
                stratified(chain, chains, torch.Generator().manual_seed(seed))
                for chain in range(chains)
            ]
        )

    assert sorted((places(0) * chains).int().tolist()) == list(range(chains))
    first = torch.stack([places(seed)[0] for seed in range(400)])
    assert abs(float(first.mean()) - 0.5) < 4.0 * (1 / 12 / 400) ** 0.5
    assert abs(float(first.square().mean()) - 1 / 3) < 4.0 * (4 / 45 / 400) ** 0.5

"""Minibatch weights: exact expectation, the newest frame about once per batch."""

import pytest
import torch

from bnnflow.bayes.minibatch import MinibatchSampler, newest_first_probability


@pytest.mark.parametrize("n_data", [6, 20, 285])
def test_weights_are_unbiased(n_data: int) -> None:
    """Exact: the expectation of w_i over one draw, b p_i w_i, is one for every frame."""
    generator = torch.Generator().manual_seed(0)
    sampler = MinibatchSampler(n_data=n_data, batch=5, generators=[generator])
    drawn = sampler.draw()
    expectation = 5 * sampler.probability[drawn.index] * drawn.weight
    assert torch.allclose(expectation, torch.ones_like(expectation))


def test_sum_is_estimated_without_bias() -> None:
    values = torch.linspace(-1.0, 3.0, 12, dtype=torch.float64) ** 3
    generators = [torch.Generator().manual_seed(seed) for seed in range(20_000)]
    drawn = MinibatchSampler(n_data=12, batch=5, generators=generators).draw()
    estimates = (values[drawn.index] * drawn.weight).sum(-1)
    error = estimates.std() / len(generators) ** 0.5
    assert abs(estimates.mean() - values.sum()) < 4 * error


@pytest.mark.parametrize("n_data", [6, 50, 285])
def test_newest_frame_comes_about_once_per_batch(n_data: int) -> None:
    expected = 5 * newest_first_probability(n_data=n_data, batch=5)[-1]
    assert 0.9 < expected < 1.2


def test_small_data_sets_are_taken_whole() -> None:
    sampler = MinibatchSampler(n_data=3, batch=5, generators=[torch.Generator(), torch.Generator()])
    drawn = sampler.draw()
    assert drawn.index.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert torch.equal(drawn.weight, torch.ones(2, 3))

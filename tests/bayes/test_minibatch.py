"""Minibatch weights: exact expectation, the newest frame about once per batch."""

import pytest
import torch

from bnnflow.bayes.minibatch import MinibatchSampler, newest_first_probability


@pytest.mark.parametrize(
    ("n_data", "newest"),
    [
        (6, 1.5),  # L = N / (b - 1) = 6 / 4, beside five frames of weight one
        (20, 5.0),
        (285, 71.25),
    ],
)
def test_weights_are_unbiased(n_data: int, newest: float) -> None:
    """A frame drawn with probability p counts 1 / (5 p), with p written out from METHOD 3."""
    streams = [torch.Generator().manual_seed(seed) for seed in range(200)]
    drawn = MinibatchSampler(n_data=n_data, batch=5, generators=streams).draw()
    total = newest + n_data - 1.0
    of_newest = drawn.index == n_data - 1
    assert 0 < of_newest.sum() < of_newest.numel()
    expected = torch.where(of_newest, total / (5.0 * newest), total / 5.0)
    assert torch.allclose(drawn.weight, expected)


@pytest.mark.parametrize(("n_data", "newest"), [(6, 1.5), (20, 5.0)])
def test_frames_are_drawn_as_often_as_the_weights_assume(n_data: int, newest: float) -> None:
    """The newest frame's share of 100 000 draws, within four standard errors."""
    streams = [torch.Generator().manual_seed(seed) for seed in range(20_000)]
    drawn = MinibatchSampler(n_data=n_data, batch=5, generators=streams).draw()
    expected = newest / (newest + n_data - 1.0)
    found = (drawn.index == n_data - 1).double().mean().item()
    assert abs(found - expected) < 4.0 * (expected * (1.0 - expected) / 100_000) ** 0.5


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

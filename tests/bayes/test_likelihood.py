"""Likelihood terms against torch.distributions."""

import math

import torch
from torch.distributions import Normal

from bnnflow.bayes import energy_nll, force_nll, stress_nll

HALF_LOG_2_PI = 0.5 * math.log(2.0 * math.pi)
GENERATOR = torch.Generator().manual_seed(0)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def test_energy() -> None:
    energy, target = draw(4, 5), draw(5)
    expected = -Normal(energy, 0.3).log_prob(target.expand(4, 5)) - HALF_LOG_2_PI
    assert torch.allclose(energy_nll(energy=energy, target=target, std=0.3), expected)


def test_forces_skip_padding() -> None:
    forces, target, std = draw(4, 5, 3, 3), draw(4, 5, 3, 3), draw(4, 5, 3).exp()
    mask = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64).expand(4, 5, 3)
    log_prob = Normal(forces, std.unsqueeze(-1).expand_as(forces)).log_prob(target)
    expected = -(log_prob[:, :, :2]).sum((-1, -2)) - 6 * HALF_LOG_2_PI
    assert torch.allclose(force_nll(forces=forces, target=target, std=std, mask=mask), expected)


def test_stress_counts_six_components() -> None:
    stress, target = draw(2, 3, 6), draw(2, 3, 6)
    expected = -Normal(stress, 0.2).log_prob(target).sum(-1) - 6 * HALF_LOG_2_PI
    assert torch.allclose(stress_nll(stress=stress, target=target, std=0.2), expected)


def test_off_diagonal_stress_counted_twice_is_the_whole_tensor() -> None:
    """Nine components of a symmetric 3 x 3 tensor, as the published code has it (DECISIONS 13)."""
    stress, target = draw(2, 3, 6), draw(2, 3, 6)
    places = [0, 5, 4, 5, 1, 3, 4, 3, 2]  # of xx xy xz, yx yy yz, zx zy zz in Voigt order
    expected = -Normal(stress, 0.2).log_prob(target)[..., places].sum(-1) - 9 * HALF_LOG_2_PI
    found = stress_nll(stress=stress, target=target, std=0.2, off_diagonal_count=2)
    assert torch.allclose(found, expected)

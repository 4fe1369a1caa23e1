"""The published code's minibatches and noise against figures known of them (DECISIONS 5 to 7)."""

from collections import Counter
from itertools import product

import pytest
import torch

from bnnflow.bayes import BiasedMinibatchSampler, GaussianPrior, run_chains, sghmc_schedule
from bnnflow.bayes.rensmeyer2026 import extra_copies, ramp_of_std

BATCH = 5


def sampler(n_data: int, chains: int = 1) -> BiasedMinibatchSampler:
    streams = [torch.Generator().manual_seed(seed) for seed in range(chains)]
    return BiasedMinibatchSampler(n_data=n_data, batch=BATCH, generators=streams)


def scales(index: torch.Tensor, weight: torch.Tensor, n_data: int) -> tuple[float, float]:
    """By how much the newest frame's likelihood, and that of another, is scaled on average."""
    newest = (weight * (index == n_data - 1)).sum(-1).mean().item()
    others = (weight * (index != n_data - 1)).sum(-1).mean().item()
    return newest, others / max(1, n_data - 1)


def over_all_draws(n_data: int) -> tuple[float, float]:
    """The same, exactly: every draw of the frames and of the newest one's copies is as likely."""
    cards = [*range(n_data), *[n_data - 1] * extra_copies(n_data=n_data, batch=BATCH)]
    index = torch.tensor(list(product(cards, repeat=BATCH)))
    return scales(index, sampler(n_data).weighted(index).weight.double(), n_data)


def by_hand(n_data: int, copies: int) -> tuple[float, float]:
    """Row 7 in words: weights N-th part over L/(N+L) or 1/(N+L), their sum over distinct frames."""
    cards = [*range(n_data), *[n_data - 1] * copies]
    scaled = [0.0] * n_data
    for drawn in product(cards, repeat=BATCH):
        for frame, times in Counter(drawn).items():
            assumed = (copies if frame == n_data - 1 else 1) / (n_data + copies)
            scaled[frame] += n_data * times * (1 / n_data) / assumed / len(set(drawn))
    draws = len(cards) ** BATCH
    return scaled[-1] / draws, sum(scaled[:-1]) / draws / max(1, n_data - 1)


def test_six_frames_are_scaled_as_measured() -> None:
    newest, others = over_all_draws(6)
    assert (round(newest, 1), round(others, 1)) == (2.7, 1.5)


def test_285_frames_are_scaled_as_measured() -> None:
    """2e6 batches, standard errors 0.001 and below; exactly 1.2752 and 1.0657."""
    one = sampler(285)
    generator = torch.Generator().manual_seed(0)
    index = torch.multinomial(
        one.probability, 2_000_000 * BATCH, replacement=True, generator=generator
    ).reshape(-1, BATCH)
    newest, others = scales(index, one.weighted(index).weight.double(), 285)
    assert newest == pytest.approx(1.27, abs=0.008)
    assert others == pytest.approx(1.07, abs=0.008)


@pytest.mark.parametrize("n_data", [1, 2, 5, 6])
def test_weights_are_those_of_the_description(n_data: int) -> None:
    copies = extra_copies(n_data=n_data, batch=BATCH)
    assert over_all_draws(n_data) == pytest.approx(by_hand(n_data, copies), rel=1e-5)


def test_one_frame_counts_ten_times() -> None:
    """Five draws of it, each with weight 2 because half of p is forgotten, over one frame."""
    drawn = sampler(1).draw()
    assert drawn.index.tolist() == [[0] * 5]
    assert drawn.weight.sum().item() == pytest.approx(10.0)


@pytest.mark.parametrize(("n_data", "copies"), [(1, 1), (4, 1), (6, 2), (20, 5), (285, 71)])
def test_frames_are_drawn_with_the_copies_of_the_newest(n_data: int, copies: int) -> None:
    probability = sampler(n_data).probability
    assert probability[-1].item() == pytest.approx((copies + 1) / (n_data + copies))
    assert torch.allclose(probability[:-1], torch.tensor(1 / (n_data + copies)))
    drawn = sampler(n_data, chains=4000).draw()
    share = (drawn.index == n_data - 1).double().mean().item()
    expected = probability[-1].item()
    assert abs(share - expected) <= 4 * (expected * (1 - expected) / 20_000) ** 0.5


def test_the_ramp_scales_the_noise_itself() -> None:
    """Half way up the ramp the noise is halved, its variance a quarter."""
    plan = sghmc_schedule(
        n_steps=2000,
        initial=1e-3,
        noise_free_fraction=398 / 2000,
        ramp_fraction=102 / 2000,
        freeze_mass_fraction=1.0,
    )
    std = ramp_of_std(plan.temperatures).sqrt()
    assert torch.all(std[:398] == 0.0) and torch.all(std[499:] == 1.0)
    rise = torch.arange(1, 103, dtype=torch.float64) / 102
    torch.testing.assert_close(std[398:500], rise)


def test_one_update_randomises_weights_that_only_the_prior_holds() -> None:
    """To about 1.1 sigma_TL, as measured of the published code (DECISIONS 6)."""
    prior = GaussianPrior.of(torch.zeros(400), 0.5)
    plan = sghmc_schedule(
        n_steps=2000,
        initial=1e-3,
        noise_free_fraction=398 / 2000,
        ramp_fraction=102 / 2000,
        freeze_mass_fraction=1.0,
    )
    report = run_chains(
        torch.zeros(8, 400),
        lambda theta, _: prior.gradient(theta) / 6,
        n_data=6,
        batch=BATCH,
        step_sizes=plan.step_sizes,
        temperatures=ramp_of_std(plan.temperatures),
        freeze_mass_at=plan.freeze_mass_at,
        friction=0.1,
        decay=0.999,
        epsilon=1e-4,
        noise_generators=[torch.Generator().manual_seed(seed) for seed in range(8)],
        batch_generators=[torch.Generator().manual_seed(seed) for seed in range(8, 16)],
        minibatches=BiasedMinibatchSampler,
    )
    assert report.position.std().item() / 0.5 == pytest.approx(1.1, abs=0.1)

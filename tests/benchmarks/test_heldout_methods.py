"""The baselines against posteriors that are known, and the Jacobian against finite differences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from heldout_study import sampled
from heldout_study.deep_ensemble import minimise
from heldout_study.laplace import gaussian_draws, precision, readout_mask
from heldout_study.method import Step
from heldout_study.methods import NAMES, build
from heldout_study.sampled import Sampled
from heldout_study.setting import Setting
from heldout_study.variational import fit, standard_normals
from tiny_mace import molecules

from bnnflow.bayes import Minibatch, MinibatchSampler
from bnnflow.records import (
    EnsembleRef,
    Faults,
    Label,
    SampleRequest,
    SampleResult,
)

N = 4
MATRIX = torch.tensor([[4.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]], dtype=torch.float64)
CENTRE = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def slope(theta: torch.Tensor, minibatch: Minibatch) -> torch.Tensor:
    """Gradient over N of a normal log density with precision MATRIX around CENTRE."""
    return (theta - CENTRE) @ MATRIX / N


def streams(count: int, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + index) for index in range(count)]


def draws(chains: int) -> MinibatchSampler:
    return MinibatchSampler(n_data=N, batch=N, generators=streams(chains))


def test_adam_finds_the_minimum_of_every_member() -> None:
    start = torch.tensor([[0.0, 0.0, 0.0], [3.0, 1.0, -2.0]], dtype=torch.float64)
    found = minimise(start, slope, draws(2), steps=600, step_size=0.05)
    torch.testing.assert_close(found, CENTRE.expand(2, -1), atol=1e-3, rtol=0.0)
    assert torch.equal(start[1], torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64))


def test_mean_field_has_the_inverse_root_of_the_precision_diagonal() -> None:
    """The known optimum for a normal target: its mean, and stds 1/sqrt(diag(precision))."""
    mean, std = fit(
        torch.zeros(3, dtype=torch.float64),
        slope,
        draws(64),
        n_data=N,
        first_std=0.1,
        steps=800,
        generators=streams(64, 100),
        mean_step=0.03,
        log_std_step=0.03,
    )
    torch.testing.assert_close(mean, CENTRE, atol=0.02, rtol=0.0)
    torch.testing.assert_close(std, MATRIX.diagonal().rsqrt(), atol=0.0, rtol=0.05)


def test_draws_have_the_inverse_precision_as_covariance() -> None:
    found = gaussian_draws(CENTRE, MATRIX, streams(4000))
    assert torch.allclose(found.mean(0), CENTRE, atol=0.06)
    covariance = torch.cov(found.T)
    assert torch.allclose(covariance, torch.linalg.inv(MATRIX), atol=0.08)


def test_each_member_has_normals_of_its_own() -> None:
    rows = standard_normals(torch.zeros(50), streams(2))
    assert not torch.equal(rows[0], rows[1])
    assert torch.equal(rows, standard_normals(torch.zeros(50), streams(2)))


@pytest.fixture
def setting(tiny_file) -> Setting:
    return Setting(
        model=str(tiny_file),
        chains=2,
        steps=3,
        batch=2,
        prior_std=0.5,
        energy_std=0.02,
        seed=3,
        dtype="float64",
    )


@pytest.fixture
def labels() -> list[Label]:
    rng = np.random.default_rng(0)
    return [
        Label(s, float(rng.normal()), rng.normal(size=s.positions.shape), None, "", "", 0.0, "")
        for s in molecules()
    ]


def test_precision_is_the_gauss_newton_matrix(setting: Setting, labels: list[Label]) -> None:
    """Frames of unequal size, whose padding must not count. Column r of the Jacobian, by
    finite differences, is the change of all predictions along readout weight r."""
    posterior = setting.posterior(labels, 0.0)
    generator = torch.Generator().manual_seed(1)
    mean = setting.potential().prior_mean()
    parameters = mean + 0.1 * torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
    chosen = readout_mask(setting.potential())
    mask = posterior.data.graphs.mask.bool()

    def predictions(moved: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        output = posterior.potential.evaluate(
            moved[None], posterior.data.graphs, stress=False, create_graph=False
        )
        std = output.force_std[0].unsqueeze(-1).expand_as(output.forces[0])
        return torch.cat([output.energy[0], output.forces[0][mask].ravel()]), std[mask].ravel()

    energy_std = torch.full((len(labels),), setting.energy_std, dtype=mean.dtype)
    std = torch.cat([energy_std, predictions(parameters)[1]])
    columns, step = [], 1e-5
    for place in chosen.nonzero().flatten():
        shift = torch.zeros_like(parameters)
        shift[place] = step
        high, low = predictions(parameters + shift)[0], predictions(parameters - shift)[0]
        columns.append((high - low) / (2 * step * std))
    jacobian = torch.stack(columns, dim=1)
    prior = torch.eye(len(columns), dtype=mean.dtype) / setting.prior_std**2
    expected = jacobian.T @ jacobian + prior
    found = precision(posterior, parameters, chosen)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_readouts_are_a_small_part_and_none_of_the_head(setting: Setting) -> None:
    potential = setting.potential()
    chosen = readout_mask(potential)
    named = potential.layout.unflatten(chosen)
    assert {name.split(".")[1] for name, flags in named.items() if flags.any()} == {"readouts"}
    assert all(flags.all() for name, flags in named.items() if ".readouts." in name)


def test_published_is_the_schedule_of_the_config(setting: Setting) -> None:
    schedule = build("published", setting).schedule()
    assert (schedule.name, schedule.steps, schedule.batch) == ("published", 3, 2)
    assert schedule.noise_free_fraction == pytest.approx(398 / 2000)


def test_compat_is_published_with_the_codes_faults_and_as_many_steps(setting: Setting) -> None:
    clean, compat = build("published", setting), build("compat", setting)
    assert replace(compat.schedule(), name="published") == clean.schedule()
    assert compat.schedule().name == "compat: rensmeyer2026"


def test_every_sampled_method_updates_with_its_faults(
    setting: Setting, labels: list[Label], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[SampleRequest] = []

    def answer(request: SampleRequest, _labels: list[Label]) -> SampleResult:
        asked.append(request)
        ones = (1.0,) * setting.chains
        return SampleResult(1, request.chains, ones, ones, ones, ones, ones, 1.0, "here", 7)

    monkeypatch.setattr(sampled, "sample", answer)
    step = Step(0.0, None, EnsembleRef(str(tmp_path), 1, setting.chains))
    for name in ("published", "compat"):
        build(name, setting).update(labels, step)
    assert [request.faults for request in asked] == [Faults(), Faults.of("rensmeyer2026")]


@pytest.mark.parametrize("name", NAMES)
def test_only_sampled_methods_go_on_from_the_last_ensemble(name: str, setting: Setting) -> None:
    method = build(name, setting)
    assert method.sequential == isinstance(method, Sampled)

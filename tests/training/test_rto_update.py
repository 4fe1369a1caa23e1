"""Updates that condition and correct, on a tiny model: what they promise, seen from the outside."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_mace import Tiny, molecules

from bnnflow.bayes import JointDraws
from bnnflow.errors import NonFiniteError, SamplerError
from bnnflow.potentials.ensemble import load_member, member_path, save_member
from bnnflow.records import (
    EnsembleRef,
    Failure,
    FailureCause,
    Label,
    PotentialSpec,
    RtoSpec,
    SampleRequest,
    SampleResult,
)
from bnnflow.training import jacobian_memory, rto_update, sample
from bnnflow.training.conditioning import condition_chain
from bnnflow.training.jacobian_memory import check_size, labels_that_fit, rows_per_frame
from bnnflow.training.posterior import Posterior
from bnnflow.training.prior_shape import prior_shape
from bnnflow.training.sample import posterior_of
from bnnflow.training.whitened import WhitenedPosterior
from workflows.requests import gentler

sampling = import_module("bnnflow.training.sample")  # the package has a function of this name

CHAINS = (0, 1, 2)
PRIOR_STD, ENERGY_STD, SHIFT = 0.1, 0.02, -7.25
SHORT = RtoSpec("short", trajectories=4, leapfrog_steps=2, max_jacobians=3, max_steps=5)
STILL = RtoSpec("still", trajectories=1, leapfrog_steps=1, max_jacobians=2, max_steps=3)


@pytest.fixture(scope="module")
def labels(tiny_single: Tiny) -> list[Label]:
    """Of a potential that the prior could have drawn."""
    potential, batch = tiny_single.potential, tiny_single.batch(molecules())
    mean = potential.prior_mean()
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(8))
    truth = potential.evaluate((mean + PRIOR_STD * noise).unsqueeze(0), batch)
    energy = truth.energy[0].detach().double() + batch.atomic_energy - SHIFT
    return [
        Label(each, energy[row].item(), forces[: len(each)].double().numpy(), None, "", "", 0.0, "")
        for row, (each, forces) in enumerate(zip(molecules(), truth.forces[0], strict=True))
    ]


@pytest.fixture
def request_for(tiny_single: Tiny, tmp_path: Path):
    base = SampleRequest(
        potential=PotentialSpec(str(tiny_single.path)),
        previous=None,
        chains=CHAINS,
        n_members=len(CHAINS),
        version=1,
        labels=(),
        energy_shift=SHIFT,
        energy_std=ENERGY_STD,
        prior_std=PRIOR_STD,
        schedule=STILL,
        seed=11,
        directory="",
        head_prior_std=0.2,
    )

    def make(folder: str, **changes) -> SampleRequest:
        return replace(base, **{"directory": str(tmp_path / folder)} | changes)

    return make


def members(request: SampleRequest) -> torch.Tensor:
    reference = EnsembleRef(request.directory, request.version, request.n_members)
    return torch.stack([load_member(request.potential, reference, one) for one in CHAINS])


def after_one_label(request_for, labels: list[Label], **changes) -> SampleRequest:
    first = request_for("one", **changes)
    sample(first, labels[:1])
    return first


def test_update_fits_the_labels_and_reports(request_for, labels: list[Label]) -> None:
    result: SampleResult = sample(request_for("fit", schedule=SHORT), labels[:1])
    # Within a few stds of the likelihood: 0.02 eV, and about 4e-3 eV/Å.
    assert max(result.energy_rmse) < 4 * ENERGY_STD
    assert max(result.force_rmse) < 0.02
    assert np.isfinite(result.acceptance).all() and np.isnan(result.held_in_change).all()
    assert np.allclose(result.kinetic_temperature, 1.0, atol=0.5)


def test_same_request_gives_the_same_members(request_for, labels: list[Label]) -> None:
    one, other = request_for("one"), request_for("other")
    sample(one, labels)
    sample(other, labels)
    assert torch.equal(members(one), members(other))


def test_chains_do_not_depend_on_the_split_over_tasks(request_for, labels: list[Label]) -> None:
    together = request_for("together")
    sample(together, labels[:1])
    for part in ((0,), (1, 2)):
        sample(request_for("apart", chains=part), labels[:1])
    apart = request_for("apart")
    torch.testing.assert_close(members(apart), members(together), rtol=0.0, atol=2e-3)
    assert (members(together)[0] - members(together)[1]).abs().max() > 0.05


def test_next_update_starts_from_the_last_samples(request_for, labels: list[Label]) -> None:
    """Conditioning on a second label moves the known predictions by less than a fresh start."""
    first = after_one_label(request_for, labels)
    known = EnsembleRef(first.directory, 1, len(CHAINS))
    second = request_for("two", version=2, previous=known, n_known=1)
    result = sample(second, labels[:2])
    assert np.isfinite(result.held_in_change).all()
    start = members(first)
    moved = (members(second) - start).norm(dim=1)
    anew = request_for("anew", version=2)
    sample(anew, labels[:2])
    assert torch.all(moved < (members(anew) - start).norm(dim=1))


def test_prior_has_the_shape_of_the_first_label_of_each_composition(
    request_for, labels: list[Label], tiny_single: Tiny
) -> None:
    potential, heads = tiny_single.potential, tiny_single.potential.heads()
    moved = replace(labels[0].structure, positions=1.02 * labels[0].structure.positions)
    again = replace(labels[0], structure=moved)
    for data, of_each in ((labels[:1], 1), ([labels[0], again], 1), (labels[:2], 2)):
        posterior = posterior_of(request_for(""), potential, data)
        first = [label.structure for label in data[:of_each]]
        shape = prior_shape(potential, first, power=STILL.prior_power).float()
        weights = posterior.active & ~heads
        expected = (PRIOR_STD * shape)[weights]
        torch.testing.assert_close(posterior.prior.std[~heads[posterior.active]], expected)
        assert expected.max() > 2.0 * expected.min()


def test_chains_of_an_update_draw_jointly(request_for) -> None:
    """Also when each is a task of its own; the force noise of each lies in a part of its own."""
    chance = [rto_update._Chance.of(request_for("", chains=(chain,)), chain) for chain in CHAINS]
    z = torch.stack([each.draws.normal((50,)) for each in chance])
    assert z.sum(0).abs().max() < 1e-12 < z.abs().max()
    assert sorted(int(len(CHAINS) * each.quantile) for each in chance) == list(CHAINS)


def test_elements_that_are_not_there_stay(
    request_for, labels: list[Label], tiny_single: Tiny
) -> None:
    request = request_for("masked")
    sample(request, labels[:1])
    present = tuple(sorted({int(z) for z in labels[0].structure.numbers}))
    absent = ~tiny_single.potential.active(present)
    assert absent.any()
    mean = tiny_single.potential.prior_mean()
    assert torch.equal(members(request)[:, absent], mean[absent].expand(len(CHAINS), -1))


def test_data_that_do_not_fit_into_memory_are_refused(
    request_for, labels: list[Label], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jacobian_memory, "LARGEST_JACOBIAN", 1000)
    with pytest.raises(SamplerError, match="published"):
        sample(request_for("large"), labels)


def test_chains_one_at_a_time_when_memory_is_short(
    request_for, labels: list[Label], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample(request_for("wide"), labels[:1])
    monkeypatch.setattr(rto_update, "JACOBIANS_AT_ONCE", 1)
    sample(request_for("narrow"), labels[:1])
    wide, narrow = (members(request_for(name)) for name in ("wide", "narrow"))
    torch.testing.assert_close(wide, narrow, rtol=0.0, atol=2e-3)


def test_labels_that_fit_are_what_an_update_would_take(tiny_single: Tiny) -> None:
    water = molecules()[0]
    elements = tuple(sorted({int(z) for z in water.numbers}))
    n_active = int(tiny_single.potential.active(elements).sum())
    n_labels = labels_that_fit(tiny_single.potential, water, stress=False)
    rows = (1 + 3 * len(water)) * n_labels
    assert check_size(rows=rows, n_active=n_active, itemsize=4) <= jacobian_memory.LARGEST_JACOBIAN
    with pytest.raises(SamplerError, match="published"):
        check_size(rows=rows + 1 + 3 * len(water), n_active=n_active, itemsize=4)


def test_six_stresses_are_rows_of_a_frame() -> None:
    assert rows_per_frame(4, stress=True) == rows_per_frame(4, stress=False) + 6 == 19


def test_force_noise_follows_the_quantile_and_what_cannot_be_followed(
    request_for, tiny_single: Tiny, labels: list[Label]
) -> None:
    """Forces of a potential are followed closely; random ones, which none can follow, are noise."""
    rng = np.random.default_rng(0)
    noisy = [replace(each, forces=rng.normal(size=each.forces.shape)) for each in labels]

    def force_std(data: list[Label], quantile: float) -> float:
        whole = WhitenedPosterior(posterior_of(request_for(""), tiny_single.potential, data))
        generator = torch.Generator().manual_seed(5)
        start = torch.randn(1, len(whole.posterior.prior.mean), generator=generator).double()
        draws = JointDraws((generator,))
        found = condition_chain(whole, STILL, start, n_known=0, quantile=quantile, draws=draws)
        mask = whole.posterior.data.graphs.mask.bool()
        return float(whole.force_std(found.position)[0][mask].log().mean().exp())

    assert force_std(labels, 0.1) < force_std(labels, 0.9)
    assert force_std(noisy, 0.1) < force_std(noisy, 0.9)
    assert force_std(noisy, 0.1) > 3.0 * force_std(labels, 0.9)


def test_a_chain_without_finite_predictions_is_named(request_for, labels: list[Label]) -> None:
    with pytest.raises(NonFiniteError, match=r"use a smaller potential\.prior_std"):
        sample(request_for("wild", prior_std=1e30), labels[:1])


def broken_member(request_for, labels: list[Label]) -> SampleRequest:
    """The second update of chains, one of which has left the numbers that float32 can add up."""
    first = after_one_label(request_for, labels)
    path = member_path(first.directory, 1)
    arrays = load_file(str(path))
    save_member(path, active=arrays["active"], values=torch.full_like(arrays["values"], 1e30))
    known = EnsembleRef(first.directory, 1, len(CHAINS))
    return request_for("two", version=2, previous=known, n_known=1)


def test_a_chain_that_cannot_start_is_retried_from_the_prior(
    request_for, labels: list[Label]
) -> None:
    request = broken_member(request_for, labels)
    with pytest.raises(NonFiniteError) as error:
        sample(request, labels[:2])
    assert not list(Path(request.directory).glob("chain-*"))
    failure = Failure("sample", FailureCause.NON_FINITE, str(error.value))
    retry = gentler(request, failure)
    assert (retry.fresh, retry.attempt) == (CHAINS, 1)
    result = sample(retry, labels[:2])
    assert torch.isfinite(members(retry)).all() and np.isfinite(result.force_rmse).all()
    assert gentler(retry, failure).attempt == 2


def test_only_the_chains_named_start_anew(request_for, labels: list[Label]) -> None:
    request = broken_member(request_for, labels)
    result = sample(replace(request, fresh=(1,)), labels[:2])
    assert np.isnan(result.held_in_change).tolist() == [False, True, False]
    mended = members(request)
    healthy = EnsembleRef(after_one_label(request_for, labels).directory, 1, len(CHAINS))
    usual = request_for("usual", version=2, previous=healthy, n_known=1)
    sample(usual, labels[:2])
    torch.testing.assert_close(mended[[0, 2]], members(usual)[[0, 2]], rtol=0.0, atol=2e-3)
    assert (mended[1] - members(usual)[1]).abs().max() > 0.05


def test_every_attempt_draws_otherwise(request_for, labels: list[Label]) -> None:
    usual, again = request_for("usual"), request_for("again", attempt=1)
    sample(usual, labels[:1])
    sample(again, labels[:1])
    assert (members(usual) - members(again)).abs().max() > 0.05


def test_an_update_without_a_new_label_keeps_what_is_known(
    request_for, labels: list[Label]
) -> None:
    first = after_one_label(request_for, labels)
    known = EnsembleRef(first.directory, 1, len(CHAINS))
    again = request_for("again", version=2, previous=known, n_known=1, fresh=(2,))
    result = sample(again, labels[:1])
    assert max(result.energy_rmse) < 4 * ENERGY_STD
    assert np.isfinite(result.held_in_change[:2]).all()


@pytest.mark.parametrize("part", ["position", "force"])
def test_no_chain_that_is_not_finite_becomes_a_member(
    request_for, labels: list[Label], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    real, errors = sampling.rto_update, Posterior.errors

    def moved(*arguments):
        found = real(*arguments)
        if part == "position":
            found.position[1, 3] = torch.nan
        return found

    def wrong(self, theta):
        energy, force = errors(self, torch.nan_to_num(theta))
        return energy, torch.where(torch.arange(len(force)) == 1, torch.inf, force)

    monkeypatch.setattr(sampling, "rto_update", moved)
    if part == "force":
        monkeypatch.setattr(Posterior, "errors", wrong)
    request = request_for("bad")
    with pytest.raises(NonFiniteError, match=r"chains \[1\]|not finite"):
        sample(request, labels[:1])
    assert not list(Path(request.directory).glob("*"))

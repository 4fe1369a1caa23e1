"""An update with the faults of the published code: which each of them touches, and how."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_posterior import CHAINS, PRESENT, label_of, posterior_of, ragged_labels, whole
from tiny_mace import Tiny, molecules

from bnnflow.bayes import BiasedMinibatchSampler, ChainReport, Minibatch, MinibatchSampler
from bnnflow.potentials.ensemble import load_member
from bnnflow.records import (
    EnsembleRef,
    Faults,
    Label,
    PotentialSpec,
    SampleRequest,
    ScheduleSpec,
)
from bnnflow.training.posterior import LabelledSet, Posterior
from bnnflow.training.sample import sample
from bnnflow.units import STRESS_STD

CLEAN, RENSMEYER = Faults(), Faults.of("rensmeyer2026")
SCHEDULE = ScheduleSpec(
    "test", steps=40, batch=2, step_size=1e-3, noise_free_fraction=0.3, ramp_fraction=0.1
)


@pytest.fixture
def request_for(tiny_single: Tiny, tmp_path: Path):
    """A request for two chains from the foundation model, with some faults."""

    def make(faults: Faults, **changes: Any) -> SampleRequest:
        base = SampleRequest(
            potential=PotentialSpec(str(tiny_single.path)),
            previous=None,
            chains=(0, 1),
            n_members=2,
            version=1,
            labels=(),
            energy_shift=3.0,
            energy_std=0.02,
            prior_std=0.5,
            schedule=SCHEDULE,
            seed=11,
            directory=str(tmp_path / "ensemble"),
            faults=faults,
        )
        return replace(base, **changes)

    return make


@pytest.fixture
def open_labels(tiny_single: Tiny) -> list[Label]:
    atomic = tiny_single.batch(molecules()).atomic_energy.tolist()
    return [label_of(one, atomic[row], row) for row, one in enumerate(molecules())]


def members(request: SampleRequest) -> torch.Tensor:
    ensemble = EnsembleRef(request.directory, request.version, request.n_members)
    return torch.stack([load_member(request.potential, ensemble, one) for one in request.chains])


def spied(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What an update gives to the sampler, which then stands still."""
    seen: dict[str, Any] = {}

    def stand_still(start: torch.Tensor, gradient: Any, **keywords: Any) -> ChainReport:
        seen.update(keywords, posterior=gradient.__self__, start=start)
        return ChainReport(start, torch.ones(len(start)))

    module = import_module("bnnflow.training.sghmc_update")
    monkeypatch.setattr(module, "run_chains", stand_still)
    return seen


def test_ramp_and_minibatches_reach_the_sampler(
    request_for, open_labels: list[Label], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spied(monkeypatch)
    sample(request_for(RENSMEYER), open_labels)
    ramp = [0.25**2, 0.5**2, 0.75**2]
    np.testing.assert_allclose(seen["temperatures"], 12 * [0.0] + ramp + 25 * [1.0])
    assert seen["minibatches"] is BiasedMinibatchSampler
    assert seen["freeze_mass_at"] == SCHEDULE.steps  # the mass is never frozen
    sample(request_for(CLEAN), open_labels)
    np.testing.assert_allclose(seen["temperatures"][12:15], [0.25, 0.5, 0.75])
    assert seen["minibatches"] is MinibatchSampler


def test_a_batch_is_drawn_in_full_even_from_few_labels(
    request_for, open_labels: list[Label]
) -> None:
    """Gradients reported: five of one frame each a step, where the clean schedule takes two."""
    schedule = replace(SCHEDULE, steps=2, batch=5)
    spent = [
        sample(request_for(faults, schedule=schedule), open_labels[:2]).gradients
        for faults in (CLEAN, RENSMEYER)
    ]
    assert spent == [4, 10]


def test_weights_of_absent_elements_are_sampled_under_the_prior_alone(
    request_for, open_labels: list[Label], tiny_single: Tiny
) -> None:
    request = request_for(RENSMEYER, schedule=replace(SCHEDULE, step_size=0.05))
    sample(request, open_labels)
    start = tiny_single.potential.prior_mean()
    absent = ~tiny_single.potential.active(PRESENT)
    assert absent.any()
    moved = (members(request) - start)[:, absent]
    assert (moved != 0.0).all()
    assert moved.std() > 0.1 * request.prior_std


def test_absent_elements_feel_the_prior_and_no_label(
    request_for, open_labels: list[Label], tiny_single: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spied(monkeypatch)
    sample(request_for(RENSMEYER), open_labels)
    posterior: Posterior = seen["posterior"]
    assert posterior.active.all()
    absent = ~tiny_single.potential.active(PRESENT)
    theta = tiny_single.members(2)
    index = torch.arange(len(open_labels)).expand(2, -1)
    slope = posterior.gradient(theta, Minibatch(index, torch.ones(index.shape)))
    pull = (theta - posterior.base) / 0.5**2 / len(open_labels)
    torch.testing.assert_close(slope[:, absent], pull[:, absent])
    assert not torch.allclose(slope[:, ~absent], pull[:, ~absent])


def test_chains_go_on_from_all_their_weights(
    request_for, open_labels: list[Label], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = request_for(RENSMEYER)
    sample(first, open_labels)
    seen = spied(monkeypatch)
    previous = EnsembleRef(first.directory, 1, 2)
    second = {"version": 2, "previous": previous, "directory": str(tmp_path / "second")}
    sample(request_for(RENSMEYER, **second), open_labels)
    assert torch.equal(seen["start"], members(first))


def test_energies_and_shift_are_rounded_to_single_precision(tiny_single: Tiny) -> None:
    """Near 4,000 eV float32 has steps of 2.4e-4 eV."""
    structure = molecules()[1]
    atomic = tiny_single.batch([structure]).atomic_energy[0].item()
    energy, shift = -4000.0001, 4000.0 + atomic
    label = replace(label_of(structure, atomic, 0), energy=energy)
    rounded = LabelledSet.of(
        tiny_single.potential, [label], energy_shift=shift, float32_energies=True
    )
    expected = float(np.float32(energy) + np.float32(shift)) - atomic
    assert rounded.energy.item() == pytest.approx(expected, rel=1e-6)
    assert abs(rounded.energy.item() - (energy + shift - atomic)) > 5e-5
    exact = LabelledSet.of(tiny_single.potential, [label], energy_shift=shift)
    assert exact.energy.item() == pytest.approx(-1e-4, abs=1e-8)


def test_stress_of_a_crystal_weighs_as_a_tensor_and_none_is_left_out(
    tiny_double: Tiny,
) -> None:
    """What the second count adds is half the squares of yz, xz and xy, for the crystal alone."""
    labels = ragged_labels(tiny_double)
    once = posterior_of(tiny_double, labels)
    twice = replace(once, off_diagonal_count=2)
    theta = tiny_double.members(CHAINS)[:, once.active]
    index = whole(once).index
    added = twice.frame_nll(theta, index) - once.frame_nll(theta, index)
    has_stress = torch.tensor([label.stress is not None for label in labels])
    assert has_stress.any() and not has_stress.all()
    assert (added[:, ~has_stress] == 0.0).all()
    stress = once.evaluate(theta, index).stress[:, has_stress, 3:]
    target = torch.tensor(np.array([each.stress[3:] for each in labels if each.stress is not None]))
    squares = 0.5 * ((stress - target) / STRESS_STD).square().sum(-1)
    torch.testing.assert_close(added[:, has_stress], squares + 3 * np.log(STRESS_STD))


@pytest.mark.parametrize(("faults", "count"), [(CLEAN, 1), (RENSMEYER, 2)])
def test_an_update_counts_stress_as_its_request_says(
    request_for,
    open_labels: list[Label],
    monkeypatch: pytest.MonkeyPatch,
    faults: Faults,
    count: int,
) -> None:
    seen = spied(monkeypatch)
    sample(request_for(faults), open_labels)
    assert seen["posterior"].off_diagonal_count == count


def test_faults_change_what_is_sampled(
    request_for, open_labels: list[Label], tmp_path: Path
) -> None:
    clean, faulty = request_for(CLEAN), request_for(RENSMEYER, directory=str(tmp_path / "f"))
    sample(clean, open_labels)
    sample(faulty, open_labels)
    assert (members(clean) - members(faulty)).abs().max() > 1e-3

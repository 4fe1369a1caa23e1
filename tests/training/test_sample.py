"""Chains of an update: the same whatever the split over tasks, seeded, and safe to lose."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_mace import Tiny, molecules

from bnnflow import codec, tasks
from bnnflow.bayes import ChainReport, GaussianPrior, Minibatch, MinibatchSampler
from bnnflow.errors import NonFiniteError, RunFolderError
from bnnflow.potentials.ensemble import load_member, member_path
from bnnflow.records import (
    EnsembleRef,
    Failure,
    FailureCause,
    Label,
    PotentialSpec,
    SampleRequest,
    SampleResult,
    ScheduleSpec,
)
from bnnflow.training.posterior import LabelledSet, Posterior
from bnnflow.training.sample import sample, stream

PRESENT, CHAINS = (1, 6, 8), (0, 1, 2)
SCHEDULE = ScheduleSpec(name="test", steps=5, batch=2, step_size=1e-3)


@pytest.fixture
def labels(tiny_single: Tiny) -> list[Label]:
    structures = molecules()
    atomic = tiny_single.batch(structures).atomic_energy
    rng = np.random.default_rng(0)
    made_up = []
    for structure, energy in zip(structures, atomic.tolist(), strict=True):
        forces = 0.1 * rng.normal(size=structure.positions.shape)
        made_up.append(Label(structure, energy - 3.0, forces, None, "made up", "", 0.0, ""))
    return made_up


@pytest.fixture
def request_for(tiny_single: Tiny, tmp_path: Path):
    """Make a request; by default all chains, version 1, from the foundation model."""
    base = SampleRequest(
        potential=PotentialSpec(str(tiny_single.path)),
        previous=None,
        chains=CHAINS,
        n_members=len(CHAINS),
        version=1,
        labels=(),
        energy_shift=3.0,
        energy_std=0.02,
        prior_std=0.5,
        schedule=SCHEDULE,
        seed=11,
        directory="",
    )

    def make(folder: str, **changes) -> SampleRequest:
        return replace(base, **{"directory": str(tmp_path / folder)} | changes)

    return make


def members(request: SampleRequest) -> torch.Tensor:
    """(n_members, P), what the request left on disk."""
    reference = EnsembleRef(request.directory, request.version, request.n_members)
    return torch.stack([load_member(request.potential, reference, one) for one in request.chains])


def test_chains_do_not_depend_on_the_split_over_tasks(
    request_for, labels: list[Label], tiny_single: Tiny
) -> None:
    together = request_for("together")
    sample(together, labels)
    for part in ((0,), (1, 2)):
        sample(request_for("apart", chains=part), labels)
    apart = request_for("apart")
    start = tiny_single.potential.prior_mean()
    torch.testing.assert_close(members(apart), members(together), rtol=0.0, atol=1e-4)
    moved = (members(together) - start).abs().amax(1)
    assert (moved > 1e-2).all()


def test_the_same_request_gives_the_same_bits(request_for, labels: list[Label]) -> None:
    once, again = request_for("once"), request_for("again")
    results = [sample(request, labels) for request in (once, again)]
    for chain in CHAINS:
        files = [member_path(one.directory, chain).read_bytes() for one in (once, again)]
        assert files[0] == files[1]
    same = [replace(one, seconds=0.0) for one in results]
    np.testing.assert_equal(vars(same[0]), vars(same[1]))


def test_chains_versions_and_seeds_have_streams_of_their_own(
    request_for, labels: list[Label]
) -> None:
    base, version, seed = request_for("a"), request_for("b", version=2), request_for("c", seed=12)
    for one in (base, version, seed):
        sample(one, labels)
    found = torch.cat([members(one) for one in (base, version, seed)])
    for row in range(len(found)):
        for other in range(row):
            assert not torch.allclose(found[row], found[other], atol=1e-4), (row, other)


def test_streams_are_named_and_distinct() -> None:
    names = [("noise", 1, 0), ("noise", 1, 1), ("noise", 2, 0), ("batch", 1, 0), ("noise", 11, 0)]
    draws = [torch.randn(4, generator=stream(11, *one)) for one in names]
    assert len({tuple(draw.tolist()) for draw in draws}) == len(names)
    assert torch.equal(torch.randn(4, generator=stream(11, "noise", 1, 0)), draws[0])
    digest = hashlib.sha256(b"11:noise:1:0").digest()
    assert stream(11, "noise", 1, 0).initial_seed() == int.from_bytes(digest[:8], "little") // 2


def test_a_new_version_starts_from_the_previous_one(request_for, labels: list[Label]) -> None:
    """With a step of nearly nothing the chains stay where they began."""
    first = request_for("v1")
    sample(first, labels)
    still = replace(SCHEDULE, step_size=0.0, noise_free_fraction=1.0, steps=2)
    previous = EnsembleRef(first.directory, 1, len(CHAINS))
    second = request_for("v2", version=2, previous=previous, schedule=still, chains=(2, 0))
    sample(second, labels)
    torch.testing.assert_close(members(second), members(first)[[2, 0]], rtol=0.0, atol=1e-5)


def test_absent_elements_keep_their_trained_weights(
    request_for, labels: list[Label], tiny_single: Tiny
) -> None:
    request = request_for("masked")
    sample(request, labels)
    active, start = tiny_single.potential.active(PRESENT), tiny_single.potential.prior_mean()
    found = members(request)
    assert torch.equal(found[:, ~active], start[~active].expand(len(CHAINS), -1))
    assert (found[:, active] != start[active]).double().mean() > 0.99


def test_one_noise_free_step_is_the_papers(
    request_for, labels: list[Label], tiny_single: Tiny
) -> None:
    """The second moment is g^2, so theta moves by -lr a g / (|g| + eps) (METHOD 3)."""
    schedule = replace(SCHEDULE, steps=1, batch=3, step_size=1.0, noise_free_fraction=1.0)
    request = request_for("one", schedule=schedule)
    result = sample(request, labels)
    potential = tiny_single.potential
    active = potential.active(PRESENT)
    generators = [stream(request.seed, "head", chain) for chain in CHAINS]
    start = torch.stack([potential.start(generator) for generator in generators])[:, active]
    mean = potential.prior_mean()
    data = LabelledSet.of(potential, labels, energy_shift=request.energy_shift)
    prior = GaussianPrior.of(mean[active], request.prior_std)
    posterior = Posterior(potential, data, mean, active, prior, request.energy_std)
    whole = Minibatch(torch.arange(3).expand(len(CHAINS), -1), torch.ones(len(CHAINS), 3))
    slope = posterior.gradient(start, whole)
    expected = start - 1.0 * 0.1 * slope / (slope.abs() + 1e-4)
    torch.testing.assert_close(members(request)[:, active], expected, rtol=0.0, atol=1e-5)
    energy, force = posterior.errors(expected)
    np.testing.assert_allclose(result.energy_rmse, energy, rtol=1e-3)
    np.testing.assert_allclose(result.force_rmse, force, rtol=1e-3)
    assert np.isnan(result.kinetic_temperature).all()


@pytest.mark.parametrize(("freeze_mass_fraction", "freeze_mass_at"), [(0.7, 28), (0.0, 1)])
def test_the_schedule_reaches_the_sampler(
    request_for,
    labels: list[Label],
    monkeypatch: pytest.MonkeyPatch,
    freeze_mass_fraction: float,
    freeze_mass_at: int,
) -> None:
    """Every setting at a value of its own; the first step sets the mass whatever is asked for."""
    seen: dict[str, Any] = {}

    def stand_still(start: torch.Tensor, gradient: object, **keywords: Any) -> ChainReport:
        seen.update(keywords)
        return ChainReport(start, torch.ones(len(start)))

    module = import_module("bnnflow.training.sghmc_update")
    monkeypatch.setattr(module, "run_chains", stand_still)
    schedule = ScheduleSpec(
        name="unusual",
        steps=40,
        batch=2,
        step_size=0.03,
        friction=0.17,
        second_moment_decay=0.93,
        epsilon=2e-3,
        noise_free_fraction=0.3,
        ramp_fraction=0.1,
        freeze_mass_fraction=freeze_mass_fraction,
    )
    sample(request_for("seen", schedule=schedule, version=4), labels)
    step_sizes = 0.015 * (1.0 + np.cos(np.pi * np.arange(40) / 40)) + 1e-8
    np.testing.assert_allclose(seen.pop("step_sizes"), step_sizes, rtol=1e-12)
    np.testing.assert_allclose(seen.pop("temperatures"), 12 * [0.0] + [0.25, 0.5, 0.75] + 25 * [1])
    for purpose in ("noise", "batch"):
        seeds = [generator.initial_seed() for generator in seen.pop(f"{purpose}_generators")]
        assert seeds == [stream(11, purpose, 4, chain).initial_seed() for chain in CHAINS]
    assert seen.pop("keep").load() is None
    assert seen == {
        "n_data": 3,
        "batch": 2,
        "friction": 0.17,
        "decay": 0.93,
        "epsilon": 2e-3,
        "freeze_mass_at": freeze_mass_at,
        "minibatches": MinibatchSampler,
    }


@pytest.fixture
def folders(labels: list[Label], tmp_path: Path) -> tuple[str, ...]:
    """Label folders as the reference leaves them."""
    places = []
    for number, label in enumerate(labels):
        folder = tmp_path / "labels" / f"{number:04d}"
        folder.mkdir(parents=True)
        codec.save_record(folder / "result.h5", replace(label, directory=str(folder)))
        places.append(str(folder))
    return tuple(places)


def test_the_task_reads_label_folders_and_reports_its_chains(
    request_for, labels: list[Label], folders: tuple[str, ...]
) -> None:
    direct, task = request_for("direct"), request_for("task", labels=folders)
    expected, result = sample(direct, labels), tasks.sample(task)
    assert isinstance(result, SampleResult)
    assert (result.version, result.chains) == (1, CHAINS)
    assert result.energy_rmse == expected.energy_rmse
    assert torch.equal(members(task), members(direct))


def test_a_huge_step_is_a_failure_with_its_cause(request_for, folders: tuple[str, ...]) -> None:
    request = request_for(
        "huge", labels=folders, schedule=replace(SCHEDULE, step_size=1e30, steps=20)
    )
    failure = tasks.sample(request)
    assert isinstance(failure, Failure)
    assert (failure.task, failure.cause) == ("sample", FailureCause.NON_FINITE)
    assert "smaller step size" in failure.message
    assert NonFiniteError.__name__ in failure.traceback
    assert not list(Path(request.directory).glob("*"))


def test_a_missing_label_folder_is_named(request_for, folders: tuple[str, ...]) -> None:
    with pytest.raises(RunFolderError, match="/nowhere/0009"):
        tasks.sample(request_for("lost", labels=(*folders, "/nowhere/0009")))

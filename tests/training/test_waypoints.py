"""An update that was interrupted goes on where it was, and ends in the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_mace import Tiny, molecules

from bnnflow.potentials.ensemble import member_path
from bnnflow.records import Label, PotentialSpec, RtoSpec, SampleRequest, ScheduleSpec
from bnnflow.training import sample, waypoints
from bnnflow.training.posterior import Posterior
from bnnflow.training.waypoints import Waypoints
from bnnflow.training.whitened import WhitenedPosterior

CHAINS = (0, 1, 2)
PUBLISHED = ScheduleSpec(name="test", steps=120, batch=2, step_size=1e-3)
RTO = RtoSpec("short", trajectories=6, leapfrog_steps=2, max_jacobians=3, max_steps=5)


class BlockEndError(RuntimeError):
    """Stands for the end of a block."""


@pytest.fixture
def labels(tiny_single: Tiny) -> list[Label]:
    structures = molecules()
    atomic = tiny_single.batch(structures).atomic_energy
    rng = np.random.default_rng(0)
    return [
        Label(each, energy - 3.0, 0.1 * rng.normal(size=each.positions.shape), None, "", "", 0, "")
        for each, energy in zip(structures, atomic.tolist(), strict=True)
    ]


def request(tiny: Tiny, folder: Path, schedule: Any, **changes: Any) -> SampleRequest:
    base = SampleRequest(
        potential=PotentialSpec(str(tiny.path)),
        previous=None,
        chains=CHAINS,
        n_members=len(CHAINS),
        version=1,
        labels=(),
        energy_shift=3.0,
        energy_std=0.02,
        prior_std=0.1,
        schedule=schedule,
        seed=11,
        directory=str(folder),
    )
    return replace(base, **changes)


@pytest.fixture
def gradients(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts gradients of the density; `limit` of them are had before the block ends."""
    counts = {"made": 0, "limit": 10**9}

    def counted(owner: Any, name: str) -> None:
        true = getattr(owner, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            if counts["made"] >= counts["limit"]:
                raise BlockEndError
            counts["made"] += 1
            return true(*arguments, **keywords)

        monkeypatch.setattr(owner, name, call)

    counted(Posterior, "gradient")
    counted(WhitenedPosterior, "density")
    return counts


def members(folder: Path) -> list[bytes]:
    return [member_path(str(folder), chain).read_bytes() for chain in CHAINS]


@pytest.mark.parametrize("schedule", [PUBLISHED, RTO], ids=["published", "rto"])
def test_an_interrupted_update_ends_in_the_same_bits(
    schedule: Any,
    tiny_single: Tiny,
    labels: list[Label],
    tmp_path: Path,
    gradients: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = sample(request(tiny_single, tmp_path / "whole", schedule), labels)
    expected = gradients["made"]
    monkeypatch.setattr(waypoints, "EVERY_S", 0.0)
    torn = request(tiny_single, tmp_path / "torn", schedule)
    gradients["limit"] = expected + expected // 2
    with pytest.raises(BlockEndError):
        sample(torn, labels)
    assert list((tmp_path / "torn").glob("part-*.pt"))
    gradients["limit"] = 10**9
    resumed = sample(torn, labels)
    assert expected < gradients["made"] - expected < 1.5 * expected  # not all of it again
    assert members(tmp_path / "torn") == members(tmp_path / "whole")
    same = [replace(one, seconds=0.0) for one in (whole, resumed)]
    np.testing.assert_equal(vars(same[0]), vars(same[1]))
    assert not list((tmp_path / "torn").glob("*part-*"))


def test_short_updates_leave_no_files(
    tiny_single: Tiny, labels: list[Label], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr(waypoints.torch, "save", lambda *args: written.append(args))
    sample(request(tiny_single, tmp_path, RTO), labels)
    assert written == []


@pytest.mark.parametrize(
    "change", [{"seed": 12}, {"version": 2}, {"chains": (0, 1)}, {"labels": ("a",)}]
)
def test_files_of_another_request_are_not_looked_at(
    change: dict[str, Any], tiny_single: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waypoints, "EVERY_S", 0.0)
    one = request(tiny_single, tmp_path, PUBLISHED)
    Waypoints(one).offer("sghmc", lambda: {"position": torch.ones(2)})
    assert Waypoints(replace(one, **change)).load("sghmc") is None
    moved = replace(one, directory=str(tmp_path.parent / tmp_path.name))
    assert torch.equal(Waypoints(moved).load("sghmc")["position"], torch.ones(2))


def test_a_torn_file_costs_the_work_and_nothing_else(
    tiny_single: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waypoints, "EVERY_S", 0.0)
    kept = Waypoints(request(tiny_single, tmp_path, PUBLISHED))
    kept.offer("sghmc", lambda: {"position": torch.ones(1000)})
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:500])
    assert kept.load("sghmc") is None


def test_states_too_large_are_worked_out_again(
    tiny_single: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waypoints, "EVERY_S", 0.0)
    monkeypatch.setattr(waypoints, "LARGEST", 100)
    kept = Waypoints(request(tiny_single, tmp_path, PUBLISHED))
    kept.offer("sghmc", lambda: {"position": torch.ones(1000)})
    assert list(tmp_path.iterdir()) == []

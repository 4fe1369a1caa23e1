"""Whole runs, small but real: a random MACE is fine-tuned on water against GFN2-xTB."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from tblite.ase import TBLite
from tiny_runs import RTO, assert_labels_whole, assert_same_run, attempts, contents, settings

from bnnflow.config import config_from_yaml
from bnnflow.data import open_run, read_run
from bnnflow.errors import ConfigError, RunFolderError, UserError
from bnnflow.potentials.ensemble import load_foundation
from bnnflow.potentials.registry import sha256
from bnnflow.records import Phase, Structure
from bnnflow.tasks import predict_one
from bnnflow.uncertainty import largest_trusted_std
from executors.inline import InlineExecutor
from executors.pools import ParslExecutor
from workflows import session
from workflows.session import fine_tune, newest_ensemble, resume


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def test_the_run_is_done_and_its_log_tells_of_it(finished: Path) -> None:
    run = read_run(finished)
    assert run.state.phase is Phase.DONE and run.state.checkpoint.step == 24
    assert np.array_equal(run.trajectory.steps, np.arange(24) + 1)
    assert len(run.labels.name) >= 3
    log = (finished / "run.log").read_text()
    for name in run.labels.name:
        assert f"label {name} took" in log
    assert f"ensemble v{len(run.updates.version)} took" in log
    assert "0.0120/0.012 ps" in log and "above K" in log


def test_labels_are_the_references(finished: Path) -> None:
    labels, numbers = read_run(finished).labels, read_run(finished).numbers
    for energy, forces, positions in zip(
        labels.energy, labels.forces, labels.positions, strict=True
    ):
        atoms = Atoms(numbers, positions, calculator=TBLite(method="GFN2-xTB", verbosity=0))
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-5)


def test_every_label_enters_the_data_set_once(finished: Path) -> None:
    assert_labels_whole(finished)
    names = read_run(finished).labels.name
    assert attempts(finished) == [f"labels/{name}/attempt-01" for name in names]
    versions = [path.name for path in sorted((finished / "ensemble").iterdir())]
    assert versions == [f"v{index + 1:04d}" for index in range(len(names))]


def test_shift_puts_the_first_label_on_the_foundations_scale(finished: Path, model: Path) -> None:
    run = read_run(finished)
    first = Structure(run.numbers, run.labels.positions[0])
    foundation = load_foundation(settings(model).potential.record())
    energy = predict_one(foundation, first, energy_std_floor=0.1).energy
    assert run.labels.shifted[0] == pytest.approx(energy, abs=1e-9)
    shifts = run.labels.shifted - run.labels.energy
    assert shifts == pytest.approx(run.state.energy_shift, abs=1e-9)


def test_trajectory_follows_the_rule(finished: Path) -> None:
    """Trusted steps have sigma within the limit; labelled ones are driven by the reference."""
    run = read_run(finished)
    driven_by_reference = np.isnan(run.trajectory.energy_std)
    labelled = run.labels.step[1:]
    assert np.array_equal(run.trajectory.steps[driven_by_reference], labelled)
    trusted = ~driven_by_reference
    assert np.all(run.trajectory.energy_std[trusted] <= run.trajectory.limit[trusted])
    assert np.array_equal(run.decisions.step, run.labels.step)
    assert run.decisions.reason == ("first_frame", *["uncertain"] * len(labelled))
    assert np.all(run.decisions.energy_std[1:] > run.decisions.limit[1:])
    rows = np.isin(run.trajectory.steps, labelled)
    assert np.allclose(run.trajectory.energy[rows], run.labels.shifted[1:], atol=1e-9)
    assert np.array_equal(run.trajectory.positions[rows], run.labels.positions[1:])


def test_calibration_is_of_the_labels_after_the_first(finished: Path) -> None:
    run = read_run(finished)
    ratios = (run.labels.error[1:] / run.labels.energy_std[1:]) ** 2
    assert np.isnan(run.labels.error[0])
    np.testing.assert_allclose(run.labels.calibration_sum_squares[1:], np.cumsum(ratios))
    assert run.state.calibration.count == len(ratios)


def test_each_step_is_driven_under_the_limit_of_the_labels_before_it(finished: Path) -> None:
    """A labelled step is taken after its own label has entered the calibration."""
    run = read_run(finished)
    threshold = settings(Path("any")).threshold.energy_threshold_eV(3)
    after_label = [
        largest_trusted_std(
            replace(run.state.calibration, count=int(count), sum_squares=float(squares)),
            threshold=threshold,
        )
        for count, squares in zip(
            run.labels.calibration_count, run.labels.calibration_sum_squares, strict=True
        )
    ]
    assert len(set(after_label)) == len(after_label) >= 3
    newest = np.searchsorted(run.labels.step, run.trajectory.steps, side="right") - 1
    np.testing.assert_allclose(run.trajectory.limit, np.array(after_label)[newest], rtol=1e-12)


def test_two_molecules_at_once_run_as_each_would_alone(
    finished: Path, model: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / "methane", tmp_path / "water"]
    methane = settings(model, material={"structure": "CH4"}, dynamics={"length_ps": 0.005})
    ends = fine_tune([methane, settings(model)], folders=folders, inline=True)
    assert [end.finished for end in ends] == [True, True]
    assert [end.time_ps for end in ends] == pytest.approx([0.005, 0.012])
    assert_same_run(folders[1], finished)
    assert_labels_whole(folders[0])
    assert list(read_run(folders[0]).numbers) == [6, 1, 1, 1, 1]


def test_continuing_on_the_ensemble(model: Path, tmp_path: Path) -> None:
    config = settings(model, run={"continue_on": "ensemble"}, dynamics={"length_ps": 0.005})
    fine_tune([config], folders=[tmp_path / "run"], inline=True)
    run = read_run(tmp_path / "run")
    rows = np.isin(run.trajectory.steps, run.labels.step[1:])
    assert np.any(rows)
    assert np.all(run.trajectory.energy[rows] != run.labels.shifted[1:])
    assert np.array_equal(run.trajectory.positions[rows], run.labels.positions[1:])


def test_done_run_can_be_resumed_and_nothing_happens(copy: Path) -> None:
    before = {name: data for name, data in contents(copy).items() if name != "run.lock"}
    (end,) = resume([copy], inline=True)
    assert end.finished and end.labels == len(read_run(copy).labels.name)
    after = {name: data for name, data in contents(copy).items() if name != "run.lock"}
    assert after == before


def test_run_may_be_moved(copy: Path) -> None:
    assert Path(newest_ensemble(read_run(copy), copy).directory).parent == copy / "ensemble"


def refused(folder: Path, call: Any, message: str) -> None:
    """The call is a user's error in one line, and leaves the folder as it was."""
    before = contents(folder)
    with pytest.raises(UserError, match=message) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1
    assert contents(folder) == before


def test_folder_of_another_config_is_refused(copy: Path, model: Path) -> None:
    other = settings(model, run={"seed": 2})
    refused(copy, lambda: fine_tune([other], folders=[copy], inline=True), "of another config")
    same = settings(model)
    refused(copy, lambda: fine_tune([same], folders=[copy], inline=True), "holds this run already")


def test_refused_second_folder_leaves_the_first_unmade(copy: Path, model: Path) -> None:
    both, fresh = [settings(model), settings(model, run={"seed": 2})], copy.parent / "fresh"
    refused(copy, lambda: fine_tune(both, folders=[fresh, copy], inline=True), "of another config")
    assert not fresh.exists()


def test_unknown_site_is_refused_before_anything_is_written(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nosuch"):
        fine_tune([settings(model)], folders=[tmp_path / "run"], site="nosuch")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("section", "keys", "message"),
    [
        ("potential", {"device": "cuda"}, "torch sees no GPU"),
        ("potential", {"family": "nequip"}, "expected mace"),
    ],
)
def test_potential_that_cannot_run_is_refused(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    section: str,
    keys: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = settings(model, **{section: keys})
    with pytest.raises(UserError, match=message):
        fine_tune([config], folders=[tmp_path / "run"], inline=True)
    assert not list(tmp_path.iterdir())


def test_model_file_is_pinned(copy: Path, model: Path) -> None:
    assert sha256(model) in read_run(copy).config_text


def test_changed_config_is_refused_on_resume(copy: Path) -> None:
    (copy / "config.yaml").write_text((copy / "config.yaml").read_text() + "\n# mine\n")
    refused(copy, lambda: resume([copy], inline=True), "differs from the config")


def test_second_coordinator_is_refused(copy: Path, model: Path) -> None:
    with open_run(copy):
        refused(copy, lambda: resume([copy], inline=True), "already being driven by process")
    with pytest.raises(RunFolderError, match="holds no run"):
        resume([copy / "labels"], inline=True)


def test_two_runs_in_one_folder_are_refused(model: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "run", tmp_path / "other" / ".." / "run"]
    both = [settings(model), settings(model)]
    refused(tmp_path, lambda: fine_tune(both, folders=folders, inline=True), "share a folder")


def test_one_bad_material_of_two_writes_nothing(model: Path, tmp_path: Path) -> None:
    bad = settings(model, material={"structure": "H2O", "multiplicity": 2})
    folders = [tmp_path / "good", tmp_path / "bad"]
    refused(
        tmp_path,
        lambda: fine_tune([settings(model), bad], folders=folders, inline=True),
        "multiplicity",
    )


def test_config_that_cannot_be_is_refused(model: Path) -> None:
    with pytest.raises(ConfigError):
        settings(model, sampler={"chains": 1})


class Kept:
    """An open executor that leaving a run does not close: the pools are the whole session's."""

    def __init__(self, executor: Any) -> None:
        self.submit = executor.submit
        self.chains_per_task = executor.chains_per_task
        self.notices = executor.notices
        self.capacity = executor.capacity
        self.sizes = executor.sizes
        self.site = executor.site

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        return None


@pytest.mark.timeout(180)
def test_pools_give_the_trajectory_that_inline_gives(
    pools: ParslExecutor, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same split of the chains, threads and machine: bit for bit the same run."""
    config = settings(model, dynamics={"length_ps": 0.005})
    inline = InlineExecutor(chains=pools.chains_per_task(config.sampler.chains))
    for name, executor in (("pools", pools), ("inline", inline)):
        monkeypatch.setattr(session, "open_executor", lambda *_, kept=executor, **__: Kept(kept))
        fine_tune([config], folders=[tmp_path / name])
    assert len(read_run(tmp_path / "pools").labels.name) >= 2
    assert_same_run(tmp_path / "pools", tmp_path / "inline")


def test_run_with_the_default_schedule_finds_its_prior_and_repeats_itself(
    model: Path, tmp_path: Path
) -> None:
    config = settings(model, sampler=RTO, dynamics={"length_ps": 0.001})
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        fine_tune([config], folders=[folder], inline=True)
    assert_same_run(*folders)
    resolved = config_from_yaml(read_run(folders[0]).config_text)
    assert resolved.potential.prior_std and resolved.potential.head_prior_std
    updates = read_run(folders[0]).updates
    assert np.isfinite(updates.acceptance).all() and len(updates.version) >= 1
    with pytest.raises(RunFolderError, match="holds this run already"):
        fine_tune([config], folders=[folders[0]], inline=True)

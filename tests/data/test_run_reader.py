"""What readers see: every event, in order, also while the run is being written."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import run_building as building

from bnnflow.data import RunData, read_run
from bnnflow.records import Commit, Failed, Failure, FailureCause


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed run of three commits."""
    folder = tmp_path_factory.mktemp("run")
    building.run_with(folder, 3).close()
    return folder


@pytest.fixture(scope="module")
def data(run: Path) -> RunData:
    """That run as a reader sees it."""
    return read_run(run)


def test_trajectory_is_the_segments_in_order(data: RunData) -> None:
    events = [building.driven(number) for number in (1, 2, 3)]
    for name in ("steps", "energy", "energy_std", "kinetic", "temperature", "positions", "cells"):
        joined = np.concatenate([getattr(event.segment, name) for event in events])
        assert building.same(getattr(data.trajectory, name), joined), name
    assert np.array_equal(data.trajectory.time_fs, 0.5 * np.arange(1, 13))
    assert np.array_equal(data.trajectory.ensemble_version, np.repeat([1, 2, 3], 4))
    assert np.array_equal(
        data.trajectory.probability, np.concatenate([event.probability for event in events])
    )


def test_decisions_keep_their_reason(data: RunData) -> None:
    assert data.decisions.reason == ("uncertain",) * 3
    assert data.decisions.ask.tolist() == [True] * 3
    assert data.decisions.step.tolist() == [4, 8, 12]


def test_labels_keep_reference_and_prediction(data: RunData) -> None:
    labels, second = data.labels, building.labelled(2)
    assert second.prediction is not None
    assert labels.name == ("0001", "0002", "0003")
    assert np.array_equal(labels.forces[1], second.label.forces)
    assert np.array_equal(labels.predicted_forces[1], second.prediction.forces)
    assert np.array_equal(labels.member_energies[1], second.prediction.member_energies)
    assert labels.energy[1] == second.label.energy
    assert labels.calibration_count.tolist() == [1, 2, 3]
    assert labels.details[1] == '{"iterations": 12, "note": "\\u00c5"}'


def test_what_a_label_lacks_is_nan(data: RunData) -> None:
    labels = data.labels
    assert np.isnan(labels.predicted_forces[0]).all() and np.isnan(labels.predicted_energy[0])
    assert np.isnan(labels.member_energies[0]).all()
    assert np.isnan(labels.stress[1]).all() and np.isfinite(labels.stress[[0, 2]]).all()


def test_updates_failures_and_timing(data: RunData) -> None:
    assert data.updates.kinetic_temperature.tolist() == [[1.0] * 3] * 3
    assert data.updates.seconds.tolist() == [4.0] * 3
    assert data.failures.cause == ("crashed",) * 3
    assert data.failures.traceback[0] == "line\n" * 20000
    assert data.timing.kind == ("md", "idle") * 3
    assert data.timing.start_s.tolist() == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]


def test_state_config_and_atoms(data: RunData) -> None:
    assert data.commit == 3
    assert building.same(data.state, building.state(3))
    assert data.config_text == building.CONFIG
    assert data.metadata["seed"] == 7
    assert data.numbers.tolist() == [6, 6, 8] + [1] * 6


def test_run_file_is_plain_hdf5(run: Path, data: RunData) -> None:
    with h5py.File(run / "run.h5") as file:
        assert np.array_equal(file["trajectory/positions"][:], data.trajectory.positions)
        assert file["labels/level"].asstr()[0] == "PBE"
        assert file["config"].asstr()[()] == building.CONFIG
        assert file["metadata"].attrs["seed"] == 7
        rng = file["state/checkpoint"].attrs["rng"]
        assert "PCG64" in rng
        assert file.attrs["commit"] == 3


def test_segments_alone_give_the_same(run: Path, data: RunData, tmp_path: Path) -> None:
    (tmp_path / "commits").symlink_to(run / "commits")
    assert building.same(read_run(tmp_path), data)
    assert [path.name for path in tmp_path.iterdir()] == ["commits"]


def test_new_run_has_empty_tables(tmp_path: Path) -> None:
    building.run_with(tmp_path, 0).close()
    data = read_run(tmp_path)
    assert data.trajectory.positions.shape == (0, building.N_ATOMS, 3)
    assert data.labels.name == ()


def test_ensemble_may_grow(tmp_path: Path) -> None:
    wide = building.labelled(2)
    assert wide.prediction is not None
    energies = np.arange(5.0)
    wide = replace(wide, prediction=replace(wide.prediction, member_energies=energies))
    with building.run_with(tmp_path, 2) as store:
        store.commit(Commit(building.state(3), (wide,)))
    found = read_run(tmp_path).labels.member_energies
    assert found.shape == (3, 5)
    assert np.isnan(found[1, 3:]).all() and np.array_equal(found[2], energies)


def test_broken_text_of_a_code_is_kept_as_far_as_it_goes(tmp_path: Path) -> None:
    failure = Failure("label", FailureCause.CRASHED, "a\0b\udcff")
    with building.run_with(tmp_path, 0) as store:
        store.commit(Commit(building.state(1), (Failed(failure, "retry"),)))
    assert read_run(tmp_path).failures.message == ("ab?",)


def test_stretch_without_a_step_adds_nothing(tmp_path: Path) -> None:
    event = building.driven(1)
    none = {"steps": np.arange(0)} | {
        name: getattr(event.segment, name)[:0]
        for name in ("energy", "energy_std", "kinetic", "temperature", "positions", "cells")
    }
    empty = replace(event, segment=replace(event.segment, **none), probability=np.zeros(0))
    with building.run_with(tmp_path, 1) as store:
        store.commit(Commit(building.state(2), (empty,)))
    assert len(read_run(tmp_path).trajectory.steps) == building.STEPS


def test_reading_while_writing(tmp_path: Path) -> None:
    building.run_with(tmp_path, 0).close()
    command = [sys.executable, building.CHILD, "write", tmp_path]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, env=building.ENVIRONMENT)
    assert writer.stdout is not None
    # Some 64 commits ahead at most: otherwise a slow machine reads ever more, ever slower.
    fcntl.fcntl(writer.stdout, fcntl.F_SETPIPE_SZ, 4096)
    writer.stdout.readline()
    seen = [0]
    for _ in range(15):
        data = read_run(tmp_path)
        steps = building.STEPS * data.commit
        assert np.array_equal(data.trajectory.steps, np.arange(steps) + 1)
        assert building.same(data.state, building.state(data.commit))
        assert data.commit >= seen[-1]
        seen.append(data.commit)
    assert writer.poll() is None
    writer.kill()
    writer.communicate()
    assert len(set(seen)) > 2

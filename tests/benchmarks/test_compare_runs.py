"""Where two runs part, on made-up ones."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import compare_runs
import numpy as np
import pytest
import run_building as building

from bnnflow.data import RunData, read_run


@pytest.fixture
def run(tmp_path: Path) -> RunData:
    """Three commits of four steps each."""
    building.run_with(tmp_path / "run", 3).close()
    return read_run(tmp_path / "run")


def moved(run: RunData, row: int, by: float) -> RunData:
    """The same run with one atom elsewhere from a row of its trajectory on, Å."""
    positions = run.trajectory.positions.copy()
    positions[row:, 2, 1] += by
    return replace(run, trajectory=replace(run.trajectory, positions=positions))


def test_a_run_is_like_itself(run: RunData) -> None:
    found = compare_runs.compare(run, run)
    assert all(each.step is None and each.same == each.rows > 0 for each in found.values())


def test_where_trajectories_part(run: RunData) -> None:
    found = compare_runs.compare(run, moved(run, 5, by=1e-4))
    assert (found["trajectory"].step, found["trajectory"].same) == (6, 5)
    assert found["positions/to 1e-06 Å"].step == 6
    assert found["positions/to 0.001 Å"].step is None
    assert found["decisions"].step is None


def test_the_last_bit_counts(run: RunData) -> None:
    energies = run.trajectory.energy.copy()
    energies[7] = np.nextafter(energies[7], np.inf)
    other = replace(run, trajectory=replace(run.trajectory, energy=energies))
    assert compare_runs.compare(run, other)["trajectory"].step == 8


def test_a_decision_that_only_one_run_took(run: RunData) -> None:
    first = {name: getattr(run.decisions, name)[:1] for name in vars(run.decisions)}
    other = replace(run, decisions=replace(run.decisions, **first))
    found = compare_runs.compare(run, other)["decisions"]
    assert found == compare_runs.Parting(int(run.decisions.step[1]), rows=1, same=1)


def test_what_one_run_has_not_come_to_is_left_out(run: RunData, tmp_path: Path) -> None:
    building.run_with(tmp_path / "shorter", 2).close()
    shorter = read_run(tmp_path / "shorter")
    assert compare_runs.last_step(run, shorter) == 8
    found = compare_runs.compare(run, shorter)
    assert all(each.step is None for each in found.values())


def test_a_run_that_has_not_begun(run: RunData, tmp_path: Path) -> None:
    building.run_with(tmp_path / "begun", 0).close()
    found = compare_runs.compare(run, read_run(tmp_path / "begun"))
    assert all(each.step is None for each in found.values())


def test_runs_of_other_atoms_are_refused(run: RunData) -> None:
    with pytest.raises(SystemExit, match="different atoms"):
        compare_runs.compare(run, replace(run, numbers=run.numbers + 1))


def test_one_json_object_on_the_last_line(run: RunData, tmp_path: Path) -> None:
    command = [sys.executable, compare_runs.__file__, *2 * [str(tmp_path / "run")], "--json"]
    printed = subprocess.run(
        command, capture_output=True, text=True, check=True, env=building.ENVIRONMENT
    )
    found = json.loads(printed.stdout.splitlines()[-1])
    assert found["benchmark"] == "compare_runs"
    assert set(found["figures"].values()) == {1.0}

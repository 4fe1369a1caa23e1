"""Small real runs with audits, a moving average and a force criterion, alone and together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import assert_labels_whole, assert_same_run, settings

from bnnflow.analysis.report import write_report
from bnnflow.analysis.status import status, status_table
from bnnflow.config import RunConfig
from bnnflow.data import RunData, RunStore, read_run
from bnnflow.records import Commit, Phase, Reason
from workflows.session import fine_tune, resume

FORCES = {"energy_kcal_per_mol": 10.0, "force_kcal_per_mol_A": 3.0}
REGIONS = {
    "energy_kcal_per_mol": 10.0,
    "force_kcal_per_mol_A": 1000.0,
    "force_regions": {"O": {"elements": ["O"], "kcal_per_mol_A": 3.0}},
}
"""Tight for some atoms, and wide for energies, so that forces alone ask."""
AUDITS = {"audit_every_steps": 3, "use": "both", "moving_average_labels": 4}


def config(model: Path, length_ps: float = 0.005, **changes: dict[str, Any]) -> RunConfig:
    return settings(model, dynamics={"length_ps": length_ps}, **changes)


def run(model: Path, folder: Path, **changes: Any) -> RunData:
    fine_tune([config(model, **changes)], folders=[folder], inline=True)
    found = read_run(folder)
    assert found.state.phase is Phase.DONE
    assert_labels_whole(folder)
    return found


def steps_of(found: RunData, reason: Reason) -> list[int]:
    pairs = zip(found.labels.step, found.labels.reason, strict=True)
    return [int(step) for step, each in pairs if each == reason.value]


def test_audits_stand_in_run_file_status_and_report(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    found = run(model, folder, calibration={"audit_every_steps": 4})
    audits = steps_of(found, Reason.AUDIT)
    assert audits and all(step % 4 == 0 for step in audits)
    assert steps_of(found, Reason.FIRST_FRAME) == [0]
    labels = found.labels
    chosen = np.array(labels.reason) == Reason.AUDIT.value
    squares = np.cumsum(np.where(chosen, (labels.error / labels.energy_std) ** 2, 0.0))
    np.testing.assert_array_equal(labels.audit_count, np.cumsum(chosen))
    np.testing.assert_allclose(labels.audit_sum_squares, squares)
    assert labels.calibration_count[-1] + labels.audit_count[-1] == len(labels.name) - 1
    assert found.state.estimates.audit.count == len(audits)
    figures = status(folder)
    assert figures["audits"]["total"] == len(audits) == figures["label_reasons"]["audit"]
    assert figures["above_threshold"]["total"] == len(labels.name) - 1 - len(audits)
    assert "audits above K" in status_table(figures)
    assert "audit of a trusted frame" in (folder / "run.log").read_text()
    assert "Error against σ* at audits" in write_report(folder).read_text(encoding="utf-8")


def test_the_trajectory_up_to_the_first_audit_is_that_without(model: Path, tmp_path: Path) -> None:
    plain = run(model, tmp_path / "plain")
    with_audits = run(model, tmp_path / "audits", calibration={"audit_every_steps": 4})
    first = steps_of(with_audits, Reason.AUDIT)[0]
    np.testing.assert_array_equal(
        with_audits.trajectory.positions[:first], plain.trajectory.positions[:first]
    )
    assert np.all(np.isnan(plain.labels.audit_count))
    assert np.all(np.isnan(plain.trajectory.force_ratio))
    assert set(plain.decisions.worst_atom) == {-1}


def test_a_moving_average_counts_in_the_run_file(model: Path, tmp_path: Path) -> None:
    found = run(model, tmp_path / "run", calibration={"moving_average_labels": 2})
    counts = [0.0]
    for _ in found.labels.name[1:]:
        counts.append(0.5 * counts[-1] + 1)
    np.testing.assert_allclose(found.labels.calibration_count, counts)
    assert status(tmp_path / "run")["calibration"]["degrees_of_freedom"] == 1000 + counts[-1]


@pytest.mark.parametrize("threshold", [FORCES, REGIONS])
def test_forces_ask_for_labels_and_name_the_worst_atom(
    model: Path, tmp_path: Path, threshold: dict[str, Any]
) -> None:
    folder = tmp_path / "run"
    found = run(model, folder, length_ps=0.0015, threshold=threshold)
    asked = np.array(found.decisions.reason) == Reason.UNCERTAIN_FORCES.value
    assert asked.any()
    table = found.decisions
    assert np.all(table.force_std[asked] > table.force_limit[asked])
    assert np.all(table.energy_std[asked] <= table.limit[asked])
    assert np.all((table.worst_atom[asked] >= 0) & (table.worst_atom[asked] < 3))
    n_regions = len(threshold.get("force_regions", {})) + 1
    assert np.all(table.force_probability[asked] < 1 - 0.05 / 3)
    counts = np.arange(len(found.labels.name))[:, None] * np.ones(n_regions)
    np.testing.assert_array_equal(found.labels.force_count, counts)
    ratio = found.trajectory.force_ratio
    np.testing.assert_array_equal(np.isnan(ratio), np.isnan(found.trajectory.energy_std))
    figures = status(folder)
    names = ["all"] if n_regions == 1 else ["O", "rest"]
    assert [each["region"] for each in figures["forces"]] == names
    assert n_regions == 1 or set(table.worst_atom[asked]) == {0}
    assert "uncertain forces" in status_table(figures)
    assert "Force std against its limit" in write_report(folder).read_text(encoding="utf-8")


def test_forces_within_their_limits_ask_for_nothing(model: Path, tmp_path: Path) -> None:
    wide = {"energy_kcal_per_mol": 10.0, "force_kcal_per_mol_A": 1000.0}
    found = run(model, tmp_path / "run", threshold=wide)
    assert found.labels.name == ("0000",)
    ratio = found.trajectory.force_ratio
    assert len(ratio) == 10 and np.all((ratio > 0.0) & (ratio < 1.0))


def test_a_run_with_everything_stopped_at_every_commit_goes_on_as_it_would(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forces = {"force_kcal_per_mol_A": 1000.0}
    options = {"threshold": forces, "calibration": AUDITS, "length_ps": 0.003}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    found = run(model, whole, **options)
    assert steps_of(found, Reason.AUDIT) and steps_of(found, Reason.UNCERTAIN)
    commit = RunStore.commit

    def once(store: RunStore, each: Commit) -> int:
        commit(store, each)
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "commit", once)
        with pytest.raises(InterruptedError):
            fine_tune([config(model, **options)], folders=[stopped], inline=True)
        while read_run(stopped).state.phase is not Phase.DONE:
            json.dumps(status(stopped), allow_nan=False)
            with pytest.raises(InterruptedError):
                resume([stopped], inline=True)
    assert_same_run(stopped, whole)

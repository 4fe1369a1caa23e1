"""Validation of made-up runs: a reference and two models whose errors are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bnnflow.analysis import run as runs
from bnnflow.analysis.draw import draw_frames
from bnnflow.analysis.report import write_report
from bnnflow.errors import RunFolderError, TaskError
from bnnflow.records import Failure, FailureCause, Label, Prediction
from bnnflow.units import from_kcal_per_mol
from executors.inline import InlineExecutor
from workflows import validation

K = from_kcal_per_mol(1.0)
SHIFT = 4200.5


def energy(structure) -> float:
    return float(np.sum(structure.positions**2))


def fake_label(request):
    structure = request.structure
    zero = np.zeros_like(structure.positions)
    return Label(structure, energy(structure) - SHIFT, zero, None, "x", request.directory, 1.0, "h")


def fake_predict(request):
    """Fine-tuned: errors +-0.5 K, one of 3 K. Foundation: 40 K off, give or take 2 K."""
    found = []
    for index, structure in enumerate(request.structures):
        sign = (-1) ** index
        error = 40 * K + 2 * K * sign if request.ensemble is None else 0.5 * K * sign
        if request.ensemble is not None and index == 3:
            error = 3 * K
        std = 2 * abs(error) if request.ensemble is not None else float("nan")
        value = energy(structure) + error
        forces = np.full_like(structure.positions, 0.1)
        found.append(Prediction(value, std, std, np.array([value]), forces, forces))
    return tuple(found)


@pytest.fixture(autouse=True)
def known_models(monkeypatch) -> None:
    monkeypatch.setattr(validation, "open_executor", lambda *_, **__: InlineExecutor())
    monkeypatch.setattr(validation.tasks, "label", fake_label)
    monkeypatch.setattr(validation.tasks, "predict", fake_predict)


def test_figures_of_known_errors(make_run) -> None:
    found = validation.validate(make_run(), frames=6, inline=True).as_dict()
    tuned, foundation = found["fine_tuned"], found["foundation"]
    assert found["frames"] == 6
    assert tuned["energy_mae_kcal_per_mol"] == pytest.approx((5 * 0.5 + 3) / 6)
    assert tuned["energy_rmse_kcal_per_mol"] == pytest.approx(np.sqrt((5 * 0.25 + 9) / 6))
    assert foundation["energy_mae_kcal_per_mol"] == pytest.approx(40.0)
    assert foundation["energy_rmse_centred_kcal_per_mol"] == pytest.approx(2.0)
    assert tuned["above_threshold"]["count"] == 1
    assert foundation["above_threshold"]["count"] == 6
    ratio = np.std([0.5, -0.5, 0.5, 3.0, 0.5, -0.5]) / 2.0
    assert found["energy_rmse_ratio"] == pytest.approx(ratio)
    assert found["uncertainty"]["auc_threshold"]["value"] == 1.0
    assert found["uncertainty"]["coverage_gaussian"] == {"50": 1, "68": 1, "90": 1, "95": 1}
    assert tuned["force_rmse_kcal_per_mol_A"] == pytest.approx(0.1 / K)


def test_result_is_written_and_shown_in_the_report(make_run) -> None:
    folder = make_run()
    result = validation.validate(folder, frames=5, inline=True)
    assert json.loads((folder / "validation.json").read_text()) == result.as_dict()
    text = write_report(folder).read_text(encoding="utf-8")
    assert "Validation on 5 random unlabelled frames" in text
    assert "AUC-ROC" in text and text.count("<svg") == 9
    table = result.table()
    assert "fine-tuned / foundation" in table and "1 of 5 = 20.0%" in table


def test_undefined_auc_is_none_with_a_reason(make_run) -> None:
    result = validation.validate(make_run(), frames=3, inline=True)  # none of them 3 K off
    auc = result.as_dict()["uncertainty"]["auc_threshold"]
    assert auc["value"] is None and "above" in auc["reason"]
    assert "not defined: no error is above" in result.table()


def test_draw_leaves_out_labelled_steps_and_keeps_its_distance(told: Path) -> None:
    run = runs.load(told)
    for seed in range(20):
        drawn = draw_frames(run, count=7, seed=seed, spacing_fs=20.0)
        assert len(drawn) == 7
        assert np.diff(drawn.times).min() >= 20.0
        assert not set(drawn.steps) & set(run.data.labels.step)
        row = np.searchsorted(run.data.trajectory.steps, drawn.steps[3])
        assert np.array_equal(drawn.structures[3].positions, run.data.trajectory.positions[row])


def test_draw_depends_on_the_seed_alone(told: Path) -> None:
    run = runs.load(told)
    draws = [
        tuple(draw_frames(run, count=4, seed=seed, spacing_fs=5.0).steps) for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_fewer_frames_when_no_more_fit(make_run) -> None:
    result = validation.validate(make_run(), frames=500, inline=True)
    assert result.requested == 500 and 7 <= len(result.frames) <= 8  # 150 fs, 20 fs apart


def test_failed_label_costs_its_frame_only(make_run, monkeypatch) -> None:
    def sometimes(request):
        if request.directory.endswith(str(first)):
            return Failure("label", FailureCause.NOT_CONVERGED, "no convergence in 50 cycles")
        return fake_label(request)

    folder = make_run()
    first = draw_frames(runs.load(folder), count=5, seed=0, spacing_fs=20.0).steps[0]
    monkeypatch.setattr(validation.tasks, "label", sometimes)
    result = validation.validate(folder, frames=5, inline=True)
    assert len(result.frames) == 4 and first not in result.frames.steps
    assert "no convergence" in result.table()


def test_no_label_at_all_is_an_error(make_run, monkeypatch) -> None:
    failed = Failure("label", FailureCause.CRASHED, "no licence")
    monkeypatch.setattr(validation.tasks, "label", lambda request: failed)
    folder = make_run()
    with pytest.raises(TaskError, match="no licence"):
        validation.validate(folder, frames=3, inline=True)
    assert not (folder / "validation.json").exists()


def test_real_labels_are_kept_and_not_redone(make_run, monkeypatch) -> None:
    from bnnflow.reference import label

    folder = make_run()
    monkeypatch.setattr(validation.tasks, "label", label)
    first = validation.validate(folder, frames=3, seed=2, inline=True)
    again = validation.validate(folder, frames=3, seed=2, inline=True)
    assert np.array_equal(first.truth.energies, again.truth.energies)
    attempts = list((folder / "validation").glob("*/attempt-*"))
    assert len(attempts) == 3  # one each, none at the second time


@pytest.mark.parametrize(("labels", "stretch", "said"), [(0, 0, "no ensemble"), (1, 0, "no unlab")])
def test_nothing_to_validate_is_a_user_error(make_run, labels, stretch, said) -> None:
    with pytest.raises(RunFolderError, match=said):
        validation.validate(make_run(labels=labels, stretch=stretch), inline=True)

"""Status figures of runs whose story is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bnnflow.analysis import run as runs
from bnnflow.analysis.status import status, status_table
from bnnflow.errors import RunFolderError


def test_status_of_a_known_run(make_run) -> None:
    folder = make_run()
    found = status(folder)
    assert (found["labels"], found["steps"], found["ensemble_version"]) == (5, 300, 5)
    assert found["md_time_ps"] == pytest.approx(0.15)
    assert found["threshold_kcal_per_mol"] == pytest.approx(1.0)
    above = found["above_threshold"]
    assert (above["count"], above["total"]) == (1, 4)  # the first frame never counts
    errors = runs.load(folder).data.labels.error[1:] / 0.0433641
    assert above["rmse_kcal_per_mol"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)
    assert above["low"] == pytest.approx(0.0063, abs=1e-4)
    assert found["seconds"] == pytest.approx(
        {"md": 3.0, "label": 40.5, "update": 150.0, "idle": 4.0}
    )
    assert found["failures"] == 1
    assert 0.5 < found["energy_std_over_limit"] < 1.2


def test_calibration_in_status_is_the_state(make_run) -> None:
    folder = make_run()
    found, state = status(folder)["calibration"], runs.load(folder).data.state.calibration
    assert found["mean_square"] == pytest.approx(state.sum_squares / 4)
    assert found["degrees_of_freedom"] == 2 * 1.5 + 4
    assert found["widening"] ** 2 == pytest.approx((10 + state.sum_squares / 2) / (1.5 + 2.0))


@pytest.mark.parametrize(("labels", "stretch"), [(0, 0), (1, 0), (1, 5), (5, 60)])
def test_status_is_strict_json_and_a_table_at_every_stage(make_run, labels, stretch) -> None:
    found = status(make_run(labels=labels, stretch=stretch))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    table = status_table(found)
    assert "ethanol" in table and f"{labels} (" in table
    assert "nan" not in table and "None" not in table


def test_lock_in_is_said_with_its_remedy(make_run) -> None:
    found = status(make_run())
    assert not found["locked_in"] and "LOCKED IN" not in status_table(found)
    assert "raise the threshold" in status_table(found | {"locked_in": True})


def test_interventions_leave_out_the_first_frame(make_run) -> None:
    run = runs.load(make_run())
    assert run.interventions.tolist() == [False, True, True, True, True]
    assert np.isnan(run.data.labels.error[0])


def test_ensemble_is_found_after_the_folder_was_moved(make_run, tmp_path) -> None:
    moved = make_run().rename(tmp_path / "elsewhere")
    found = runs.load(moved).ensemble
    assert found is not None and found.directory == str(moved / "ensemble" / "v0005")


def test_no_run_is_a_user_error(tmp_path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        status(tmp_path)


def test_labels_that_go_on_at_once_take_the_time_of_one() -> None:
    """From 0 to 10, from 2 to 5 and from 8 to 12 s; then from 20 to 21 s."""
    start, seconds = np.array([8.0, 0.0, 2.0, 20.0]), np.array([4.0, 10.0, 3.0, 1.0])
    assert runs._covered(start, seconds) == pytest.approx(13.0)
    assert runs._covered(np.zeros(0), np.zeros(0)) == 0.0

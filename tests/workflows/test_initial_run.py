"""Whole runs that begin with initial data: water, a random MACE, GFN2-xTB."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_building import same
from test_resume import stop_at_every_commit, stopping
from test_session import Kept
from tiny_runs import RTO, assert_same_run, attempts, settings

from bnnflow.analysis.campaign.costs import asked_times_ps
from bnnflow.analysis.run import load
from bnnflow.analysis.status import status, status_table
from bnnflow.data import read_gist, read_run
from bnnflow.records import Commit, Labelled, Phase
from executors.inline import InlineExecutor
from executors.pools import ParslExecutor
from workflows import session
from workflows.plan_times import _history
from workflows.session import fine_tune, resume

INITIAL: dict[str, Any] = {
    "labels": 3,
    "candidates": 9,
    "temperatures_K": [300, 600],
    "md_ps": 0.004,
    "rattle_A": 0.1,
}


def config(model: Path, **initial: Any) -> Any:
    return settings(model, initial=INITIAL | initial, sampler=RTO, dynamics={"length_ps": 0.003})


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("initial") / "run"
    fine_tune([config(model)], folders=[folder], inline=True)
    return folder


def test_the_batch_is_labelled_before_the_first_update(whole: Path) -> None:
    run = read_run(whole)
    assert run.state.phase is Phase.DONE and run.state.n_initial == 3
    assert run.labels.reason[:4] == ("first_frame", *["initial"] * 3)
    assert run.state.labels == run.labels.name
    assert len(run.updates.version) == len(run.labels.name) - 3
    assert np.all(run.labels.step[:4] == 0) and np.all(np.isnan(run.labels.error[:4]))
    assert run.labels.calibration_count[:4].tolist() == [0.0] * 4
    assert run.decisions.reason[:4] == ("first_frame", *["initial"] * 3)
    positions = run.labels.positions
    assert all(not np.allclose(positions[0], other, atol=1e-3) for other in positions[1:4])
    assert (whole / "run.log").read_text().count("(initial frame)") == 3


def test_a_run_stopped_at_every_commit_ends_as_the_whole_one(
    whole: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    stop_at_every_commit(config(model), run, monkeypatch)
    assert_same_run(run, whole)
    assert attempts(run) == attempts(whole)


def test_labels_that_a_kill_left_uncommitted_are_not_made_again(
    whole: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def second_of_the_batch(_number: int, commit: Commit) -> bool:
        return any(type(each) is Labelled and each.name == "0002" for each in commit.events)

    with stopping(monkeypatch, second_of_the_batch, written=False):
        fine_tune([config(model)], folders=[run], inline=True)
    assert read_run(run).labels.name == ("0000", "0001")
    resume([run], inline=True)
    assert_same_run(run, whole)
    assert attempts(run) == attempts(whole)


def test_selection_by_the_priors_uncertainty(model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    chosen = config(model, select="uncertainty", md_ps=0.003)
    fine_tune([chosen], folders=[run], inline=True)
    found = read_run(run)
    assert found.state.phase is Phase.DONE and found.state.n_initial == 3


def test_status_and_rates_tell_them_apart(whole: Path) -> None:
    found, run = status(whole), read_run(whole)
    asked = len(run.labels.name) - 4
    assert found["labels"] == asked + 4
    assert found["label_reasons"]["initial"] == 3
    assert found["above_threshold"]["total"] == asked == found["calibration"]["count"]
    assert "3 initial" in status_table(found)
    assert len(asked_times_ps(read_gist(whole))) == asked


def test_a_forecast_by_it_knows_when_md_asked(whole: Path) -> None:
    history = _history(load(whole))
    assert history is not None
    assert history.times_fs == tuple(read_run(whole).labels.step[4:] * 0.5)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_pools_label_the_same_frames_and_learn_the_same(
    pools: ParslExecutor, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels may end in any order; the update takes them in that of their names."""
    made = config(model)
    inline = InlineExecutor(chains=pools.chains_per_task(made.sampler.chains))
    for name, executor in (("pools", pools), ("inline", inline)):
        monkeypatch.setattr(session, "open_executor", lambda *_, kept=executor, **__: Kept(kept))
        fine_tune([made], folders=[tmp_path / name])
    one, other = (read_run(tmp_path / name) for name in ("pools", "inline"))
    assert Counter(one.labels.name) == Counter(other.labels.name)
    assert one.state.labels == other.state.labels == other.labels.name
    assert same(np.sort(one.labels.energy), np.sort(other.labels.energy))
    assert same(one.updates.energy_rmse, other.updates.energy_rmse)
    assert same(one.trajectory.positions, other.trajectory.positions)

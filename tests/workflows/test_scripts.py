"""The runnable scripts: what they configure, and production MD with a frozen ensemble."""

from pathlib import Path

import numpy as np
import pytest

from bnnflow.codec import load_record
from bnnflow.config import check_run, load_campaign, load_config
from bnnflow.data import read_run
from bnnflow.errors import RunFolderError
from bnnflow.records import Segment
from workflows.campaign_plan import plan_campaign
from workflows.configs import find_config
from workflows.production import produce


def test_the_script_and_the_config_file_are_the_same_job() -> None:
    from workflows.ethanol import CONFIG

    assert CONFIG.digest() == load_config(find_config("ethanol")).digest()


def test_the_scripts_configs_can_run() -> None:
    from workflows.two_molecules import MOLECULES, config

    for molecule in MOLECULES:
        check_run(config(molecule))


def test_the_screening_script_and_its_config_file_are_the_same_campaign(tmp_path: Path) -> None:
    from workflows.screen import CAMPAIGN

    plan = plan_campaign(CAMPAIGN, tmp_path)
    assert len(plan.runs) == 12 and not plan.bad
    assert load_campaign(find_config("small-molecules")) == CAMPAIGN


def trajectory(files: list[Path]) -> np.ndarray:
    return np.concatenate([load_record(file, Segment).positions for file in files])


def test_production_goes_on_where_it_stopped(finished: Path, tmp_path: Path) -> None:
    whole = produce(finished, out=tmp_path / "whole", length_ps=0.012, inline=True)
    produce(finished, out=tmp_path / "parts", length_ps=0.0035, inline=True)
    parts = produce(finished, out=tmp_path / "parts", length_ps=0.012, inline=True)
    assert len(trajectory(whole)) == 24
    assert [file.name for file in parts] != [file.name for file in whole]
    assert np.array_equal(trajectory(parts), trajectory(whole))


def test_production_records_uncertainty_and_never_asks(finished: Path, tmp_path: Path) -> None:
    labels = len(read_run(finished).labels.name)
    lines: list[str] = []
    files = produce(finished, out=tmp_path, length_ps=0.01, inline=True, write=lines.append)
    assert len(lines) == len(files) and lines[-1].startswith("0.0100/0.01 ps")
    std = np.concatenate([load_record(file, Segment).energy_std for file in files])
    assert np.all(std > 0)
    assert len(read_run(finished).labels.name) == labels


def test_another_seed_is_another_trajectory(finished: Path, tmp_path: Path) -> None:
    first = produce(finished, out=tmp_path / "1", length_ps=0.005, seed=1, inline=True)
    second = produce(finished, out=tmp_path / "2", length_ps=0.005, seed=2, inline=True)
    assert not np.allclose(trajectory(first), trajectory(second))


def test_production_needs_an_ensemble(model: Path, tmp_path: Path) -> None:
    from tiny_runs import settings

    from bnnflow.data import create_run
    from bnnflow.md import start
    from bnnflow.records import LoopState, Phase

    config = settings(model)
    checkpoint = start(config.material.load(), dynamics=config.dynamics.record(), seed=1)
    state = LoopState(Phase.LABEL, checkpoint, config.calibration.record())
    create_run(
        tmp_path / "run", config_text=config.to_yaml(), metadata={"timestep_fs": 0.5}, state=state
    ).close()
    with pytest.raises(RunFolderError, match="no ensemble yet"):
        produce(tmp_path / "run", out=tmp_path / "out", length_ps=0.01, inline=True)


def test_a_folder_of_another_production_is_refused(finished: Path, tmp_path: Path) -> None:
    produce(finished, out=tmp_path, length_ps=0.002, seed=1, inline=True)
    with pytest.raises(RunFolderError, match="another production"):
        produce(finished, out=tmp_path, length_ps=0.002, seed=2, inline=True)


def test_scripts_end_in_one_line_and_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from workflows import production
    from workflows.console import guarded

    monkeypatch.setattr("sys.argv", ["production", str(tmp_path / "nosuch")])
    assert guarded(production.main) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1

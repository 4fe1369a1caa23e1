"""Whole campaigns, small but real: a random MACE on hydrogen and water against GFN2-xTB."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write
from tiny_runs import assert_same_run, contents, settings

from bnnflow import tasks
from bnnflow.config import CampaignConfig, config_from_yaml, parse_campaign
from bnnflow.data import read_run
from bnnflow.errors import ConfigError, RunFolderError, StructureError
from bnnflow.records import Failure, FailureCause, Label, LabelRequest
from workflows.campaign import (
    CampaignSummary,
    campaign_status,
    resume_campaign,
    start_campaign,
)
from workflows.campaign_folder import read_campaign, write_campaign
from workflows.campaign_plan import plan_campaign
from workflows.cli import app
from workflows.console import guarded
from workflows.driver import Walker
from workflows.session import fine_tune, resume


def campaign_of(model: Path, materials: list[dict[str, Any]], **changes: Any) -> CampaignConfig:
    """Two steps with the settings of `tiny_runs` and still fewer steps of the chains."""
    sections = settings(model).model_dump(mode="json")
    del sections["material"], sections["run"]["folder"]
    sections["dynamics"]["length_ps"] = 0.001
    sections["sampler"] |= {"steps": 5, "chains": 2}
    return parse_campaign({"name": "tiny", "materials": materials, **sections, **changes})


@pytest.fixture
def tiny(model: Path) -> Any:
    """Campaigns of the random model: materials, and other changes."""
    return partial(campaign_of, model)


@pytest.fixture(scope="session")
def ended(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a campaign of two walkers on water and a radical; not to be changed."""
    radical = {"structure": "OH", "multiplicity": 2, "threshold": {"per": "atom"}}
    walkers = {"conditions": {"walkers": 2}}
    folder = tmp_path_factory.mktemp("campaign") / "tiny"
    campaign = campaign_of(model, [{"structure": "H2O"}, radical], **walkers)
    summary = start_campaign(campaign, folder, inline=True)
    assert summary.unfinished == 0, summary.table()
    return folder


def states(summary: CampaignSummary) -> dict[str, str]:
    return {run.name: run.state for run in summary.runs}


def test_every_run_is_an_ordinary_run_folder_of_its_own(ended: Path) -> None:
    names = ["H2O-w1", "H2O-w2", "OH-w1", "OH-w2"]
    assert states(campaign_status(ended)) == dict.fromkeys(names, "done")
    runs = [read_run(ended / "runs" / name) for name in names]
    assert [list(run.numbers) for run in runs] == [[8, 1, 1]] * 2 + [[8, 1]] * 2
    assert runs[0].state.energy_shift != runs[2].state.energy_shift
    assert all(run.state.labels for run in runs)
    config = config_from_yaml((ended / "runs" / "OH-w2" / "config.yaml").read_text())
    assert (config.material.multiplicity, config.threshold.per) == (2, "atom")
    assert config.potential.checksum


def test_walkers_start_from_the_same_atoms_with_other_noise(ended: Path) -> None:
    one, two = (read_run(ended / "runs" / name) for name in ("H2O-w1", "H2O-w2"))
    assert np.array_equal(one.labels.positions[0], two.labels.positions[0])
    assert one.state.checkpoint.rng != two.state.checkpoint.rng
    assert not np.allclose(one.trajectory.positions[-1], two.trajectory.positions[-1])


def test_a_run_of_a_campaign_is_the_run_alone(ended: Path, tmp_path: Path) -> None:
    config = config_from_yaml((ended / "runs" / "H2O-w1" / "config.yaml").read_text())
    fine_tune([config], folders=[tmp_path / "alone"], inline=True)
    assert_same_run(tmp_path / "alone", ended / "runs" / "H2O-w1")


def test_the_resolved_campaign_needs_nothing_from_outside(ended: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(ended, tmp_path / "moved"))
    _, here = read_campaign(ended)
    campaign, there = read_campaign(moved)
    assert [run.config.digest() for run in here] == [run.config.digest() for run in there]
    assert all(Path(run.config.material.structure).is_relative_to(moved) for run in there)
    assert [entry.origin for entry in campaign.materials] == ["structure H2O", "structure OH"]
    assert start_again_is_refused(moved, campaign)


def start_again_is_refused(folder: Path, campaign: CampaignConfig) -> bool:
    with pytest.raises(RunFolderError, match="holds a campaign already: `bnnflow resume"):
        start_campaign(campaign, folder, inline=True)
    return True


def test_positions_survive_to_the_bit(tiny: Any, tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.positions += np.random.default_rng(1).normal(scale=1e-3, size=(3, 3))
    write(tmp_path / "w.json", atoms)
    campaign = tiny([{"file": str(tmp_path / "w.json")}])
    plan = plan_campaign(campaign, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    structure = plan.runs[0].material.structure
    assert structure.positions.tobytes() == atoms.positions.tobytes()
    write_campaign(campaign, plan, tmp_path / "c")
    _, (run,) = read_campaign(tmp_path / "c")
    assert run.material.structure.positions.tobytes() == atoms.positions.tobytes()
    assert run.config.digest() == plan.runs[0].config.digest()


BAD = [{"structure": "H2O"}, {"structure": "CO2", "charge": 1}, {"structure": "HCl"}]


def test_bad_materials_refuse_the_start_and_nothing_is_written(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(StructureError) as refused:
        start_campaign(tiny(BAD), tmp_path / "c", inline=True)
    message = str(refused.value)
    assert "2 of 3 materials cannot be run: CO2" in message and "\n" not in message
    assert "lacks Cl" in message and "on_bad_material" in message
    assert not (tmp_path / "c").exists()


def test_an_unknown_site_is_refused_before_anything_is_written(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        start_campaign(tiny([{"structure": "H2"}]), tmp_path / "c", site="nowhere")
    assert not (tmp_path / "c").exists()


def test_bad_materials_are_set_aside_and_recorded(tiny: Any, tmp_path: Path) -> None:
    campaign = tiny(BAD, on_bad_material="set_aside")
    summary = start_campaign(campaign, tmp_path / "c", inline=True)
    expected = {"H2O": "done", "CO2": "set aside", "HCl": "set aside"}
    assert states(summary) == expected and summary.unfinished == 0
    assert "lacks Cl" in summary.table()
    assert states(campaign_status(tmp_path / "c")) == expected
    with pytest.raises(StructureError, match="no material can be run"):
        start_campaign(tiny(BAD[1:], on_bad_material="set_aside"), tmp_path / "d", inline=True)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of runs whose labels fail, until they are taken out."""
    names: set[str] = set()
    label = tasks.reference_label

    def label_or_fail(request: LabelRequest) -> Label | Failure:
        if Path(request.directory).parents[1].name in names:
            return Failure("label", FailureCause.CRASHED, "the code is not there")
        return label(request)

    monkeypatch.setattr(tasks, "reference_label", label_or_fail)
    return names


def test_a_run_that_fails_stops_no_other(tiny: Any, tmp_path: Path, broken: set[str]) -> None:
    broken.add("HCN")
    folder = tmp_path / "c"
    summary = start_campaign(tiny([{"structure": "HCN"}, {"structure": "H2"}]), folder, inline=True)
    assert states(summary) == {"HCN": "not done", "H2": "done"} and summary.unfinished == 1
    assert "the code is not there" in summary.runs[0].reason
    assert "stopped: " in (folder / "runs" / "HCN" / "run.log").read_text()
    broken.clear()
    before = contents(folder / "runs" / "H2" / "commits")
    assert states(resume_campaign(folder, inline=True)) == {"HCN": "done", "H2": "done"}
    assert contents(folder / "runs" / "H2" / "commits") == before


def test_resume_begins_what_had_no_folder_and_passes_over_what_is_damaged(
    ended: Path, tmp_path: Path
) -> None:
    """A kill between the folders of two runs, and a run whose commits are lost."""
    folder = Path(shutil.copytree(ended, tmp_path / "c"))
    shutil.rmtree(folder / "runs" / "H2O-w2")
    (folder / "runs" / "OH-w1" / "commits" / "000000.h5").write_bytes(b"nothing")
    for run in (folder / "runs" / "OH-w1").glob("run.h5"):
        run.unlink()
    summary = resume_campaign(folder, inline=True)
    assert states(summary) == {
        "H2O-w1": "done",
        "H2O-w2": "done",
        "OH-w1": "not done",
        "OH-w2": "done",
    }
    assert summary.runs[2].reason
    assert_same_run(folder / "runs" / "H2O-w2", ended / "runs" / "H2O-w2")


def test_a_folder_without_a_campaign(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no campaign"):
        resume_campaign(tmp_path)


def test_a_change_of_a_structure_is_seen_by_what_has_not_begun(ended: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ended, tmp_path / "c"))
    (folder / "structures" / "OH.extxyz").write_text("nothing")
    with pytest.raises(StructureError, match="cannot be read"):
        campaign_status(folder)


def test_the_command_line(
    tiny: Any, tmp_path: Path, broken: set[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "tiny.yaml"
    file.write_text(tiny([{"structure": "HCN"}, {"structure": "H2"}]).to_yaml())

    def call(*arguments: str) -> tuple[int, str]:
        code = guarded(lambda: app(list(arguments), standalone_mode=False))
        return code, capsys.readouterr().out

    code, out = call("campaign", "tiny.yaml", "conditions.walkers=2", "--dry-run")
    assert code == 0 and not (tmp_path / "runs").exists()
    assert [line.split()[0] for line in out.splitlines()] == [
        "run", "HCN-w1", "HCN-w2", "H2-w1", "H2-w2",
    ]  # fmt: skip
    monkeypatch.setattr("bnnflow.analysis.report.write_report", lambda folder: folder / "page")
    broken.add("HCN")
    code, out = call("campaign", "tiny.yaml", "--inline", "--json")
    assert code == 1
    figures = json.loads(out)
    assert [run["state"] for run in figures["runs"]] == ["not done", "done"]
    assert figures["reports"] == ["runs/tiny/runs/HCN/page", "runs/tiny/runs/H2/page"]
    code, out = call("resume", "runs/tiny", "--inline")
    assert code == 1 and "the code is not there" in out
    code, out = call("status", "runs/tiny")
    states = {line.split()[0]: line.split()[1] for line in out.splitlines() if line.strip()}
    assert code == 0 and states["H2"] == "done" and states["HCN"] == "stopped"
    assert call("campaign", "tiny.yaml", "--inline")[0] == 2


def test_a_folder_that_makes_no_sense_stops_no_other_run(tiny: Any, tmp_path: Path) -> None:
    """A folder where a file should be, and a log that cannot be written."""
    campaign = tiny([{"structure": "H2O"}, {"structure": "H2"}, {"structure": "HCN"}])
    plan = plan_campaign(campaign, tmp_path / "c")
    write_campaign(campaign, plan, tmp_path / "c")
    for name, file in (("H2O", "sessions.jsonl"), ("H2", "run.log")):
        (tmp_path / "c" / "runs" / name / file).mkdir(parents=True)
    summary = resume_campaign(tmp_path / "c", inline=True)
    assert states(summary) == {"H2O": "not done", "H2": "done", "HCN": "done"}
    assert "sessions.jsonl" in summary.runs[0].reason


def test_a_budget_leaves_runs_and_another_lets_them_go_on(tiny: Any, tmp_path: Path) -> None:
    walkers = {"conditions": {"walkers": 2}, "most_open": 1}
    campaign = tiny([{"structure": "H2O"}], budget={"labels": 1}, **walkers)
    summary = start_campaign(campaign, tmp_path / "c", inline=True)
    assert [run.state for run in summary.runs] != ["done", "done"]
    assert summary.unfinished == 0 and "campaign: 1 of 1 labels" in summary.table()
    file = tmp_path / "c" / "campaign.yaml"
    file.write_text(file.read_text().replace("labels: 1", "labels: 100"))
    assert set(states(resume_campaign(tmp_path / "c", inline=True)).values()) == {"done"}


def test_a_budget_of_a_material_is_of_its_runs_and_no_others(tiny: Any, tmp_path: Path) -> None:
    """Two walkers of water may have one label together; those of H2 as many as they want."""
    walkers = {"conditions": {"walkers": 2}, "most_open": 1}
    campaign = tiny([{"structure": "H2O", "budget": {"labels": 1}}, {"structure": "H2"}], **walkers)
    summary = start_campaign(campaign, tmp_path / "c", inline=True)
    found = states(summary)
    assert [found[f"H2-w{number}"] for number in (1, 2)] == ["done", "done"]
    assert "left" in (found["H2O-w1"], found["H2O-w2"])
    assert "material H2O: 1 of 1 labels" in summary.table()
    assert states(resume_campaign(tmp_path / "c", inline=True)) == found


def test_runs_of_one_material_have_one_share_of_the_pools(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {}

    def take(walkers: Iterable[Walker], *_: Any, **__: Any) -> None:
        for walker in walkers:
            shares[walker.name] = walker.share
            walker.store.close()

    monkeypatch.setattr("workflows.campaign_drive.drive", take)
    materials = [{"structure": "H2O", "weight": 2}, {"structure": "H2"}]
    start_campaign(tiny(materials, conditions={"walkers": 2}), tmp_path / "c", inline=True)
    assert shares["H2O-w1"] is shares["H2O-w2"] and shares["H2O-w1"].weight == 2
    assert shares["H2-w1"] is shares["H2-w2"] and shares["H2-w1"] is not shares["H2O-w1"]


def test_limits_of_a_run_can_be_changed_when_it_goes_on(tiny: Any, tmp_path: Path) -> None:
    campaign = tiny([{"structure": "H2O"}], limits={"node_hours": 1e-9})
    summary = start_campaign(campaign, tmp_path / "c", inline=True)
    assert states(summary) == {"H2O": "left"}
    assert states(resume_campaign(tmp_path / "c", inline=True)) == {"H2O": "left"}
    with pytest.raises(ConfigError, match=r"expected limits\.KEY=VALUE"):
        resume([tmp_path / "c" / "runs" / "H2O"], inline=True, overrides=["threshold.per=atom"])
    more = resume_campaign(tmp_path / "c", inline=True, overrides=["limits.node_hours=1"])
    assert states(more) == {"H2O": "done"}

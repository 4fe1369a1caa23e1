"""The campaign benchmark from end to end, with a random model and molecules of two atoms."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import campaign_molecules as benchmark
import pytest
import yaml
from campaign_study import levels
from campaign_study.gain import gain_campaign
from campaign_study.levels import LEVELS, Level, present
from campaign_study.tables import ratios, tables

from bnnflow.config.campaign_loading import load_campaign

SMALL = (Level("GFN2-xTB", learned=("H2", "CO"), held_out=("N2",)),)
SETTINGS = {
    "dynamics.length_ps": 0.03,
    "dynamics.checkpoint_every_steps": 60,
    "threshold.energy_kcal_per_mol": 1000.0,
    "sampler.chains": 2,
    "sampler.trajectories": 1,
    "sampler.leapfrog_steps": 1,
    "sampler.max_jacobians": 2,
    "sampler.max_steps": 2,
    "guards.shortest_distance": 0.05,
    "guards.largest_force_eV_A": 1e4,
    "guards.highest_temperature_K": 1e6,
}


def test_every_run_of_the_campaign_has_a_place() -> None:
    campaign = load_campaign(benchmark.CONFIG)
    names = [entry.name or entry.structure for entry in campaign.materials]
    assert sorted(names) == sorted(name for level in LEVELS for name in level.names)
    dft = {e.name for e in campaign.materials if e.reference.get("engine") == "pyscf"}
    assert dft == set(LEVELS[1].names)


def test_levels_without_runs_to_learn_from_are_left_out() -> None:
    assert [level.names for level in present(("H2O2", "butyne", "CH3OH-B3LYP"))] == [
        ("H2O2", "butyne")
    ]


@pytest.fixture(scope="module")
def work(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder after the steps `run`, `validate` and `merge`."""
    folder = tmp_path_factory.mktemp("campaign")
    config = yaml.safe_load(benchmark.CONFIG.read_text())
    config["materials"] = [{"structure": name} for name in SMALL[0].names]
    config["potential"]["model"] = str(tiny_file)
    (folder / "small.yaml").write_text(yaml.safe_dump(config))
    return folder


def words(work: Path, step: str) -> list[str]:
    changes = [f"{key}={value}" for key, value in SETTINGS.items()]
    config = ["--config", str(work / "small.yaml"), "--frames", "2", "--inline", "--set", *changes]
    return ["campaign_molecules.py", step, "--work", str(work / "work"), *config]


def test_all_steps_and_again(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(levels, "LEVELS", SMALL)
    for step in ("all", "gain"):  # a step that is done does nothing more
        monkeypatch.setattr(sys, "argv", words(work, step))
        benchmark.main()
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", [*words(work, "table"), "--json"])
    benchmark.main()
    out = capsys.readouterr().out
    found = json.loads(out.splitlines()[-1])
    assert found["benchmark"] == "campaign_molecules"
    assert set(found["settings"]["runs"]) == {"H2", "CO", "N2"}
    assert set(found["settings"]["starts"]["N2"]) == {"foundation", "expected", "usual"}
    each = found["settings"]["held_out"]["N2"]
    ratio = found["figures"]["N2 forces, foundation over merged"]
    assert ratio == pytest.approx(each["foundation"]["forces"] / each["merged model"]["forces"])
    assert "merged, prior of the usual width" in out

    merged = {"GFN2-xTB": work / "work" / "merged-GFN2-xTB"}
    campaign = gain_campaign(work / "work" / "campaign", merged, SMALL, start="expected")
    (entry,) = campaign.materials
    card = json.loads((merged["GFN2-xTB"] / "model.json").read_text())
    error = card["errors"]["held_out"]["merged"]["force_rmse_kcal_per_mol_A"]
    spread = entry.sampler["prior_force_spread_kcal_per_mol_A"]
    assert spread == pytest.approx(error, rel=0.06)


def test_tables_of_what_is_there_so_far() -> None:
    row = {"level": "B3LYP/x (PySCF)", "atoms": 3, "done": False, "labels": 4, "md_ps": 0.2,
           "above_K": [0, 3], "seconds": {}}  # fmt: skip
    found = {"runs": {"H2O": row}, "held_out": {}, "starts": {"H2O": {"foundation": row}}}
    text = tables(found)
    assert "0.2*" in text and "0/3" in text and "B3LYP/x " in text
    assert ratios(found) == {}

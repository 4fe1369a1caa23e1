"""Every method end to end on a tiny model; a run that was interrupted goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from heldout_study.methods import NAMES, build
from heldout_study.setting import Setting
from heldout_study.summary import as_json, read_runs
from heldout_study.text_table import table
from heldout_study.updates import Study, load_predictions
from tiny_mace import molecules, rattled

from bnnflow.errors import ConfigError
from bnnflow.potentials import load_foundation
from bnnflow.records import Label

COUNTS = (1, 2, 3)


def labelled(count: int, seed: int) -> list[Label]:
    rng = np.random.default_rng(seed)
    base = molecules()[1].to_atoms()
    frames = [rattled(base, seed=100 * seed + index) for index in range(count)]
    return [
        Label(s, float(rng.normal()), rng.normal(size=s.positions.shape), None, "", "", 0.0, "")
        for s in frames
    ]


@pytest.fixture
def study(tiny_file, tmp_path: Path):
    def make(name: str = "published", seed: int = 0, **changes: object) -> Study:
        setting = Setting(str(tiny_file), 2, 4, 2, 0.5, 0.02, seed)
        setting = replace(setting, **changes)
        folder = tmp_path / f"{name}-{seed}"
        train, test = labelled(4, 1), labelled(5, 2)
        return Study(folder, name, build(name, setting), setting, train, test)

    return make


@pytest.mark.parametrize("name", NAMES)
def test_every_method_writes_records_and_predictions(name: str, study) -> None:
    one = study(name)
    records = list(one.run(COUNTS))
    assert [record["n"] for record in records] == [0, *COUNTS]
    found = load_predictions(one.folder, 3)
    assert found.energy.shape == (2, 5)
    assert found.forces.shape == (2, 5, 6, 3)
    assert np.isfinite(found.forces).all()
    assert not np.array_equal(found.forces[0], found.forces[1])
    assert records[-1]["gradients_per_member"] >= 4 * 2


def test_the_foundation_row_is_the_model_itself_on_its_own_energy_scale(study) -> None:
    one = study()
    next(one.run(COUNTS))
    found = load_predictions(one.folder, 0)
    assert found.energy.shape[0] == 1
    first = one.train[0]
    shift = found.energy_truth[0] - one.test[0].energy
    energy = load_foundation(one.setting.spec).members(first.structure).energy[0]
    assert energy == pytest.approx(first.energy + shift)


def test_an_interrupted_run_gives_what_an_uninterrupted_one_gives(study, tmp_path) -> None:
    whole = study()
    list(whole.run(COUNTS))
    expected = load_predictions(whole.folder, 3).forces
    broken = study()
    for path in (*broken.folder.glob("[23].*"), *broken.folder.glob("v003/*")):
        path.unlink()
    kept = (broken.folder / "1.npz").stat().st_mtime_ns
    list(broken.run(COUNTS))
    assert (broken.folder / "1.npz").stat().st_mtime_ns == kept
    np.testing.assert_array_equal(load_predictions(broken.folder, 3).forces, expected)


def test_an_update_starts_from_the_one_before(study, tmp_path) -> None:
    """The same labels and noise, from two different ensembles: two different ends."""
    one, other = study(), replace(study(), folder=tmp_path / "other")
    list(one.run((1, 3)))
    list(other.run((2, 3)))
    ends = [load_predictions(each.folder, 3).forces for each in (one, other)]
    assert not np.array_equal(*ends)


def test_another_setting_is_refused(study) -> None:
    list(study().run((1,)))
    with pytest.raises(ConfigError, match="other steps"):
        list(study(steps=5).run((1,)))


def test_another_order_of_updates_is_refused(study) -> None:
    list(study().run((1, 3)))
    with pytest.raises(ConfigError, match="from 1 labels, expected from 2"):
        list(study().run((1, 2, 3)))


def test_a_baseline_needs_no_order(study) -> None:
    one = study("deep_ensemble")
    list(one.run((3,)))
    before = load_predictions(one.folder, 3).forces
    list(study("deep_ensemble").run((1, 2, 3)))
    np.testing.assert_array_equal(load_predictions(one.folder, 3).forces, before)


def test_table_and_json_hold_every_method(study, tmp_path: Path) -> None:
    names = ("published", "variational")
    for name in names:
        list(study(name).run((1, 2)))
    list(study("published", seed=1).run((1, 2)))
    records = read_runs(tmp_path)
    lines = table(records).splitlines()
    assert lines[1].split()[:3] == ["0", "foundation", "2"]
    assert len(lines) == 2 + 2 * len(names) + 1
    assert "2 updates" in lines[-1]
    content = json.loads(as_json(records))
    assert content["benchmark"] == "heldout"
    assert {name.split("/")[0] for name in content["figures"]} == set(names)
    assert content["settings"]["updates"]["published"]["count"] == 2

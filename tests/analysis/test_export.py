"""The exported folder: data in MACE's keys, weights, and a loading example that works."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace

import numpy as np
import pytest
from ase.io import read

from bnnflow.analysis import run as runs
from bnnflow.analysis.export import dataset, export_run
from bnnflow.errors import ConfigError, RunFolderError


def test_dataset_has_the_unshifted_reference_in_maces_keys(make_run, tmp_path) -> None:
    folder = make_run()
    frames = read(export_run(folder, tmp_path / "out") / "dataset.extxyz", index=":")
    labels = runs.load(folder).data.labels
    assert len(frames) == 5
    for index, atoms in enumerate(frames):
        assert atoms.info["REF_energy"] == pytest.approx(labels.energy[index])
        shifted = atoms.info["REF_energy"] + atoms.info["energy_shift"]
        assert shifted == pytest.approx(labels.shifted[index], abs=1e-6)
        assert np.allclose(atoms.arrays["REF_forces"], labels.forces[index], atol=1e-7)
        assert np.allclose(atoms.positions, labels.positions[index], atol=1e-7)
        assert "REF_stress" not in atoms.info  # a molecule has none
        assert atoms.calc is None


def test_stress_keeps_ases_sign_and_order(told) -> None:
    run = runs.load(told)
    stress = np.arange(1.0, 31.0).reshape(5, 6)
    labels = replace(run.data.labels, stress=stress)
    frames = dataset(replace(run, data=replace(run.data, labels=labels)))
    xx, yy, zz, yz, xz, xy = stress[2]
    assert frames[2].info["REF_stress"].tolist() == [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]


def test_mace_reads_the_dataset_with_its_default_keys(make_run, tmp_path) -> None:
    from mace.data import KeySpecification, config_from_atoms

    atoms = read(export_run(make_run(), tmp_path / "out") / "dataset.extxyz", index=0)
    keys = KeySpecification.from_defaults()
    properties = config_from_atoms(atoms, key_specification=keys).properties
    assert properties["energy"] == pytest.approx(atoms.info["REF_energy"])
    assert np.allclose(properties["forces"], atoms.arrays["REF_forces"])


def test_weights_and_settings_travel(make_run, tmp_path) -> None:
    out = export_run(make_run(), tmp_path / "deep" / "out")
    settings = json.loads((out / "calculator.json").read_text())
    assert sorted(path.name for path in (out / "ensemble").iterdir()) == [
        f"chain-{chain:02d}.safetensors" for chain in range(3)
    ]
    assert settings["ensemble"] == {"directory": "ensemble", "version": 5, "n_members": 3}
    assert settings["potential"]["model"] == "chno-small"
    assert settings["energy_std_floor_eV"] == pytest.approx(0.1 * 0.0433641, rel=1e-5)


def test_loading_example_loads_what_was_exported(make_run, tmp_path, monkeypatch) -> None:
    out = export_run(make_run(), tmp_path / "out")
    asked = []
    monkeypatch.setattr("bnnflow.potentials.load_ensemble", lambda *what: asked.append(what))
    example = runpy.run_path(str(out / "load.py"), run_name="example")
    calculator = example["load_calculator"]()
    ((potential, ensemble),) = asked
    assert potential.model == "chno-small" and ensemble.directory == str(out / "ensemble")
    assert calculator.multiplicity == 1


def test_export_never_overwrites(make_run, tmp_path) -> None:
    folder = make_run()
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="exists"):
        export_run(folder, tmp_path / "out")


def test_export_of_missing_members_leaves_nothing_behind(make_run, tmp_path) -> None:
    folder = make_run()
    (folder / "ensemble" / "v0005" / "chain-01.safetensors").unlink()
    with pytest.raises(RunFolderError, match="holds 2 members, expected 3"):
        export_run(folder, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_export_needs_an_ensemble(make_run, tmp_path) -> None:
    with pytest.raises(RunFolderError, match="no ensemble yet"):
        export_run(make_run(labels=0, stretch=0), tmp_path / "out")

"""pw.x: its input, and what only it has; test_conformance.py has the rest."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from bnnflow.errors import ConfigError, ReferenceError, UserError
from bnnflow.records import Failure, FailureCause, Label, LabelRequest, Structure
from bnnflow.reference import build_reference, label
from bnnflow.reference.meshes import Mesh
from bnnflow.units import HARTREE, tensor_from_voigt

Ask = Callable[..., LabelRequest]
RYDBERG = HARTREE / 2

CORES = Path("/usr/share/espresso/pseudo")
needs_program = pytest.mark.skipif(shutil.which("pw.x") is None, reason="pw.x is missing")
needs_cores = pytest.mark.skipif(not CORES.is_dir(), reason=f"{CORES} is missing")

SI = {"engine": "espresso", "ecutwfc_eV": 220.0, "pseudopotentials": {"Si": "Si.pbe-rrkj.UPF"}}
SIH2 = {
    "engine": "espresso",
    "functional": "LDA",
    "ecutwfc_eV": 180.0,
    "box_A": 8.0,
    "pseudopotentials": {"Si": "Si.pz-vbc.UPF", "H": "H.pz-vbc.UPF"},
}


def silicon() -> Structure:
    atoms = bulk("Si", a=5.43)
    atoms.rattle(0.06, seed=3)
    return Structure.from_atoms(atoms)


def silylene(**state: int) -> Structure:
    atoms = Atoms("SiH2", positions=[[0.0, 0.0, 0.0], [1.09, 1.05, 0.1], [-1.15, 1.01, -0.05]])
    return Structure.from_atoms(atoms, **state)


def written(
    structure: Structure, directory: Path, spec: dict[str, Any]
) -> tuple[dict[str, str], str]:
    """Namelist entries of `pw.in`, and its text."""
    build_reference(spec).prepare(structure, directory)
    text = (directory / "pw.in").read_text()
    return dict(re.findall(r"^  (\S+) = (.*)$", text, re.M)), text


def good(outcome: Label | Failure) -> Label:
    assert isinstance(outcome, Label), outcome
    return outcome


@needs_cores
def test_the_input_of_a_molecule(tmp_path: Path) -> None:
    structure = silylene(charge=1, multiplicity=2)
    entries, text = written(structure, tmp_path, SIH2 | {"assume_isolated": "martyna-tuckerman"})
    assert float(entries["ecutwfc"]) * RYDBERG == pytest.approx(180.0)
    assert float(entries["ecutrho"]) * RYDBERG == pytest.approx(720.0)
    assert (entries["tot_charge"], entries["tot_magnetization"]) == ("1.0", "1.0")
    assert float(entries["starting_magnetization(1)"]) == pytest.approx(1 / 5)
    assert (entries["nspin"], entries["input_dft"]) == ("2", "'PZ'")
    assert entries["assume_isolated"] == "'martyna-tuckerman'"
    assert (entries["tprnfor"], entries["tstress"]) == (".true.", ".false.")
    assert text.endswith("K_POINTS gamma\n")
    assert "CELL_PARAMETERS angstrom\n8.000000000000 0.000000000000 0.0" in text
    assert "Si 28.085000 Si.pz-vbc.UPF\nH 1.008000 H.pz-vbc.UPF" in text


@needs_cores
def test_the_input_of_a_crystal(tmp_path: Path) -> None:
    spec = SI | {
        "k_points": [4, 3, 2],
        "k_mesh": "monkhorst-pack",
        "smearing": "fermi-dirac",
        "smearing_width_eV": 0.2,
        "spin": "free",
        "starting_magnetization": {"Si": 1.0},
        "hubbard_U_eV": {"Si": 3.9, "Mn": 1.0},
        "extra": {"system": {"vdw_corr": "dft-d3"}, "electrons": {"mixing_ndim": 4}},
    }
    entries, text = written(silicon(), tmp_path, spec)
    assert text.endswith("K_POINTS automatic\n4 3 2 1 0 1\n")
    assert float(entries["degauss"]) * RYDBERG == pytest.approx(0.2)
    assert (entries["occupations"], entries["smearing"]) == ("'smearing'", "'fermi-dirac'")
    assert entries["starting_magnetization(1)"] == "0.25"
    assert "tot_magnetization" not in entries
    assert (entries["lda_plus_u"], entries["Hubbard_U(1)"]) == (".true.", "3.9")
    assert "Hubbard_U(2)" not in entries
    assert (entries["vdw_corr"], entries["mixing_ndim"]) == ("'dft-d3'", "4")
    level = build_reference(spec).level
    for part in ("4x3x2 k-points, off Gamma along 1 3", "U(Mn) 1 eV", "vdw_corr=dft-d3"):
        assert part in level
    assert "fermi-dirac smearing 0.2 eV, free moment" in level


@needs_cores
def test_soft_cores_get_a_finer_density(tmp_path: Path) -> None:
    spec = SI | {"k_points": [1, 1, 1]}
    spec["pseudopotentials"] = {"Si": "Si.pbe-nl-rrkjus_psl.1.0.0.UPF"}
    entries, _ = written(silicon(), tmp_path, spec)
    assert float(entries["ecutrho"]) == pytest.approx(8 * float(entries["ecutwfc"]))
    entries, _ = written(silicon(), tmp_path, spec | {"ecutrho_eV": 2000.0})
    assert float(entries["ecutrho"]) * RYDBERG == pytest.approx(2000.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ecutwfc_eV": 0}, "must be > 0"),
        ({"ecutrho_eV": 300.0}, "at least 880, four times"),
        ({"functional": "SCAN"}, "pseudo_functional"),
        ({"assume_isolated": "esm"}, "none, martyna-tuckerman, 2D"),
        ({"extra": {"ions": {}}}, "control, system, electrons"),
        ({"extra": {"system": {"Nspin": 2}}}, "extra sets nspin"),
    ],
)
def test_settings_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_reference(SI | options)


def test_cores_are_looked_for_where_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"engine": "espresso", "ecutwfc_eV": 220.0, "k_points": [1, 1, 1]}
    monkeypatch.setenv("ESPRESSO_PSEUDO", str(tmp_path / "set"))
    with pytest.raises(ReferenceError, match=f"no file of {tmp_path}/set fits Si and PBE"):
        build_reference(spec).check(silicon())
    with pytest.raises(ReferenceError, match=f"no file of {tmp_path}/own fits"):
        build_reference(spec | {"pseudo_folder": str(tmp_path / "own")}).check(silicon())
    with pytest.raises(ReferenceError, match="is a path"):
        build_reference(spec | {"pseudopotentials": {"Si": "/x/Si.UPF"}}).check(silicon())


def test_k_points_are_asked_for() -> None:
    with pytest.raises(ConfigError, match="k_points or k_spacing_per_A"):
        build_reference(SI).check(silicon())


@needs_program
def test_a_missing_program_is_one_line(ask: Ask) -> None:
    failure = label(ask(silicon(), **SI, k_points=[1, 1, 1], executable="nowhere.x"))
    assert isinstance(failure, Failure)
    assert failure.cause is FailureCause.BAD_INPUT
    assert "no program was found for env OMP_NUM_THREADS=1 nowhere.x" in failure.message


@needs_program
def test_a_good_label_keeps_its_input_and_output(ask: Ask) -> None:
    found = good(label(ask(silylene(), **SIH2)))
    files = {path.name for path in (Path(found.directory) / "attempt-01").iterdir()}
    assert files == {"pw.in", "output.log", "pwscf.xml"}
    cores = found.details["pseudopotentials"]
    assert cores["Si"]["file"] == "Si.pz-vbc.UPF"
    assert len(cores["H"]["sha256"]) == 64


@pytest.mark.proves("restart", code="espresso")
@needs_program
def test_a_label_starts_from_the_density_of_the_one_before(ask: Ask) -> None:
    spec = SI | {"k_points": [2, 2, 2], "k_mesh": "monkhorst-pack", "conv_thr_eV": 1e-10}
    first = silicon()
    moved = np.array([[0.001, 0.0, 0.0], [0.0, 0.0, 0.0]])
    second = replace(first, positions=first.positions + moved)
    alone = good(label(ask(second, **spec, folder="alone")))
    good(label(ask(first, **spec, restart=True, folder="0001")))
    found = good(label(ask(second, **spec, restart=True, folder="0002", previous="0001")))
    assert found.details["restarted_from"] == "0001"
    assert found.details["iterations"] < alone.details["iterations"]
    assert found.energy == pytest.approx(alone.energy, abs=1e-7)
    np.testing.assert_allclose(found.forces, alone.forces, atol=1e-4)
    text = (Path(found.directory) / "attempt-01" / "output.log").read_text()
    assert "read from file" in text


@pytest.mark.proves("remedies", code="espresso")
@needs_program
@pytest.mark.slow
def test_remedies_lead_to_the_same_label(ask: Ask) -> None:
    """Steps that do not suffice: the last remedy begins with smearing and ends without it."""
    spec = SI | {"k_points": [2, 2, 2], "k_mesh": "monkhorst-pack"}
    enough = good(label(ask(silicon(), **spec, folder="enough")))
    found = good(label(ask(silicon(), **spec, max_steps=3, folder="few")))
    assert found.details["remedies"][-1] == "a start from gaussian smearing of 0.2 eV"
    assert found.level == enough.level
    assert found.energy == pytest.approx(enough.energy, abs=1e-6)
    np.testing.assert_allclose(found.forces, enough.forces, atol=5e-4)
    attempts = sorted(Path(found.directory).glob("attempt-*"))
    assert len(attempts) == 5
    assert "occupations = 'smearing'" in (attempts[3] / "pw.in").read_text()
    assert "occupations = 'fixed'" in (attempts[4] / "pw.in").read_text()
    assert "startingpot = 'file'" in (attempts[4] / "pw.in").read_text()
    left = {path.name for path in Path(found.directory).glob("attempt-*/*")}
    assert left == {"pw.in", "output.log", "pwscf.xml"}


@needs_program
@pytest.mark.slow
@pytest.mark.proves("energy", "stress", code="espresso")
def test_with_smearing_the_energy_is_the_free_energy(ask: Ask) -> None:
    """The slope of the free energy is the stress; that of the energy without -TS is not."""
    spec = {
        "engine": "espresso",
        "functional": "LDA",
        "ecutwfc_eV": 600.0,
        "k_points": [3, 3, 3],
        "smearing": "fermi-dirac",
        "smearing_width_eV": 0.8,
        "conv_thr_eV": 1e-10,
    }
    atoms = bulk("Al", a=3.9)
    structure = Structure.from_atoms(atoms)
    ends = []
    for name, scale in (("wide", 1.004), ("narrow", 0.996)):
        strained = replace(structure, cell=structure.cell * scale)
        ends.append(good(label(ask(strained, **spec, folder=name))))
    centre = good(label(ask(structure, **spec, folder="centre")))
    assert centre.stress is not None
    assert centre.details["energy_kind"] == "free energy, -TS included"
    volume = atoms.get_volume()
    expected = float(tensor_from_voigt(centre.stress).trace())
    slope = (ends[0].energy - ends[1].energy) / 0.008 / volume
    entropy = [smearing_contribution(Path(end.directory)) for end in ends]
    without = slope - (entropy[0] - entropy[1]) / 0.008 / volume
    assert slope == pytest.approx(expected, abs=1e-3)
    assert abs(without - expected) > 0.05


def smearing_contribution(folder: Path) -> float:
    text = (folder / "attempt-01" / "output.log").read_text()
    return float(re.findall(r"smearing contrib\. \(-TS\) += +(\S+) Ry", text)[-1]) * RYDBERG


@needs_program
@pytest.mark.slow
@pytest.mark.proves("charge", code="espresso")
def test_an_ion_without_its_images_does_not_feel_the_box(ask: Ask) -> None:
    ion = silylene(charge=1, multiplicity=2)
    energies = {
        (isolated, box): good(
            label(
                ask(
                    ion,
                    **SIH2 | {"assume_isolated": isolated, "box_A": box},
                    folder=f"{isolated}{box}",
                )
            )
        ).energy
        for isolated in ("none", "martyna-tuckerman")
        for box in (8.0, 10.0)
    }
    assert abs(energies["none", 8.0] - energies["none", 10.0]) > 0.3
    assert energies["martyna-tuckerman", 8.0] == pytest.approx(
        energies["martyna-tuckerman", 10.0], abs=0.05
    )


@needs_program
@pytest.mark.slow
def test_hubbard_forces_are_minus_the_slope(ask: Ask) -> None:
    spec = SIH2 | {"hubbard_U_eV": {"H": 4.0}, "conv_thr_eV": 1e-9}
    structure = silylene()
    plain = good(label(ask(structure, **SIH2, folder="plain")))
    centre = good(label(ask(structure, **spec, folder="centre")))
    assert abs(centre.energy - plain.energy) > 0.1
    direction = centre.forces / np.linalg.norm(centre.forces)
    ends = [
        good(
            label(
                ask(
                    replace(structure, positions=structure.positions + sign * 0.01 * direction),
                    **spec,
                    folder=f"end{sign}",
                )
            )
        ).energy
        for sign in (1, -1)
    ]
    expected = -float(np.sum(centre.forces * direction))
    assert (ends[0] - ends[1]) / 0.02 == pytest.approx(expected, abs=2e-3)


@needs_program
@pytest.mark.slow
@pytest.mark.proves("spin", code="espresso")
def test_a_free_moment_is_found(ask: Ask) -> None:
    """Iron: 2.2 μB per atom; few k-points and a wide smearing bring it near that."""
    spec = {
        "engine": "espresso",
        "ecutwfc_eV": 400.0,
        "k_points": [4, 4, 4],
        "smearing": "gaussian",
        "smearing_width_eV": 0.3,
        "spin": "free",
        "starting_magnetization": {"Fe": 3.0},
        "pseudopotentials": {"Fe": "Fe.pbe-nd-rrkjus.UPF"},
        "conv_thr_eV": 1e-4,
        "mixing_beta": 0.3,
    }
    found = good(label(ask(Structure.from_atoms(bulk("Fe", a=2.83)), **spec, timeout_s=250.0)))
    assert found.details["magnetization"] == pytest.approx(2.2, abs=0.3)
    assert found.details["k_points"] == str(Mesh((4, 4, 4)))

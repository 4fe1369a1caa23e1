"""Real outputs of VASP 5.2 to 6.3 that nobody here made (see benchmarks/vasp_outputs.py)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vasp_outputs
from ase.io import read
from vasp_library import write_potcar

from bnnflow.records import Failure, FailureCause, Label, Structure
from bnnflow.reference import build_reference
from bnnflow.reference.vasp import read_vasprun
from bnnflow.reference.vasp.incar import parse_incar
from bnnflow.reference.vasp.signs import explain, warnings_in

FOLDER = vasp_outputs.DATA / "vasp"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no reference data in {FOLDER}: set BNNFLOW_DATA"
)


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="session")
def rows(work: Path) -> list[vasp_outputs.Row]:
    return vasp_outputs.compare_all(FOLDER, work)


@pytest.mark.proves("energy", "forces", "stress", code="vasp (real outputs)")
def test_every_file_agrees_with_ase_and_with_its_own_printout(
    rows: list[vasp_outputs.Row],
) -> None:
    assert len(rows) == 18
    for row in rows:
        assert row.agreement("ASE") == 1.0, row
        assert row.agreement("printout") in (None, 1.0), row
    assert sum(row.agreement("printout") is not None for row in rows) == 14


@pytest.mark.proves("not converged", "crash", code="vasp (real outputs)")
def test_bad_files_and_no_others_are_refused(rows: list[vasp_outputs.Row], work: Path) -> None:
    assert set(vasp_outputs.shares_refused(rows, work).values()) == {1.0}
    (unconverged,) = (row for row in rows if "unconverged" in row.name)
    assert unconverged.verdict == "not converged: step 1"


def test_the_last_steps_of_known_runs(rows: list[vasp_outputs.Row], work: Path) -> None:
    def last(name: str) -> tuple[float, float]:
        run = read_vasprun(work / name)
        return run.steps[-1].free_energy, run.parameter("NELECT")

    assert last("pymatgen_outputs/vasprun.charged.xml") == (-6.64614553, 9.0)
    assert last("pymatgen_outputs/vasprun.magmom_ldau.xml") == (-66.6133524, 92.0)
    dispersion = read_vasprun(work / "chgnet_parse-vasp-with-magmoms" / "vasprun.xml")
    (step,) = dispersion.steps
    assert step.free_energy == -153.0123588
    assert step.free_energy - step.scf_energies[-1] == pytest.approx(-6.52117, abs=1e-5)


def test_ordinary_outputs_hold_no_sign_of_failure(rows: list[vasp_outputs.Row], work: Path) -> None:
    folders = {(work / row.name).parent for row in rows}
    for folder in folders:
        for outcar in folder.glob("OUTCAR*"):
            if outcar.name != "OUTCAR":
                (folder / "OUTCAR").write_bytes(outcar.read_bytes())
            assert explain(folder) is None
    assert any("ADVICE TO THIS USER" in line for f in folders for line in warnings_in(f))


@pytest.fixture
def finished(rows: list[vasp_outputs.Row], work: Path) -> Path:
    """A finished static run of Li20Cl20 with D3, spin and a mesh of k-points."""
    folder = work / "chgnet_parse-vasp-with-magmoms"
    source = FOLDER / "chgnet" / "parse-vasp-with-magmoms"
    for name in ("POSCAR", "INCAR", "KPOINTS"):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def options(library: Path, template: Path, **changes: Any) -> dict[str, Any]:
    for name, title, zval in (("Li_sv", "10Sep2004", 3.0), ("Cl", "17Jan2003", 7.0)):
        path = library / name / "POTCAR"
        write_potcar(path, name, zval=zval)
        path.write_text(path.read_text().replace("01Jan2000", title))
    text = template.read_text()
    template = library / "INCAR"
    template.write_text("\n".join(x for x in text.splitlines() if not x.startswith("MAGMOM")))
    usual = {
        "engine": "vasp",
        "functional": "PBE",
        "dispersion": "D3",
        "magmom": {"Li": 0.6, "Cl": 0.6},
        "kpoints": [5, 2, 2],
        "incar_template": str(template),
        "potcars": {"Li": "Li_sv"},
        "potcar_folder": str(library),
    }
    return usual | changes


@pytest.mark.proves("energy", "forces", "stress", code="vasp (real outputs)")
def test_a_real_run_is_a_label(finished: Path, tmp_path: Path) -> None:
    """The atoms asked for Li Cl Li Cl ..., which VASP had sorted."""
    atoms = read(finished / "POSCAR")
    expected = read(finished / "vasprun.xml")
    order = np.arange(40).reshape(2, 20).T.ravel()
    structure = Structure.from_atoms(atoms[order])
    reference = build_reference(options(tmp_path, finished / "INCAR"))
    label = reference.parse(structure, finished)
    assert isinstance(label, Label), label
    assert label.energy == -153.0123588
    np.testing.assert_allclose(label.forces, expected.get_forces()[order], atol=1e-8)
    assert label.stress is not None
    np.testing.assert_allclose(label.stress, expected.get_stress(), atol=1e-8)
    assert label.details["version"] == "6.3.2"
    assert label.details["iterations"] == 17
    assert len(label.details["moments_muB"]) == 40
    assert label.level.startswith("PBE, D3, 520 eV, 5x2x2 Gamma-centred k-points")


def test_a_real_run_of_other_atoms_is_none(finished: Path, tmp_path: Path) -> None:
    atoms = read(finished / "POSCAR")
    structure = Structure.from_atoms(atoms)
    positions = structure.positions.copy()
    positions[7, 1] += 2e-5
    reference = build_reference(options(tmp_path, finished / "INCAR"))
    found = reference.parse(replace(structure, positions=positions), finished)
    assert isinstance(found, Failure)
    assert found.cause is FailureCause.WRONG_GEOMETRY
    charged = reference.parse(replace(structure, charge=1, multiplicity=2), finished)
    assert isinstance(charged, Failure)
    assert "counted 200 electrons, expected 199" in charged.message


def test_a_relaxation_is_no_label(rows: list[vasp_outputs.Row], work: Path, tmp_path: Path) -> None:
    folder = work / "pairs_relaxation"
    atoms = read(folder / "vasprun.xml", 0)
    write_potcar(tmp_path / "Li_sv" / "POTCAR", "Li_sv", zval=3.0)
    spec = {
        "engine": "vasp",
        "functional": "PBE",
        "encut_eV": 500,
        "kpoints": [6, 6, 6],
        "potcars": {"Li": "Li_sv"},
        "potcar_folder": str(tmp_path),
    }
    found = build_reference(spec).parse(Structure.from_atoms(atoms), folder)
    assert isinstance(found, Failure)
    assert found.cause is FailureCause.CRASHED
    assert "3 and 3 ionic steps, expected 1" in found.message


def test_real_incars_are_read() -> None:
    hybrid = parse_incar((FOLDER / "pymatgen" / "inputs" / "INCAR").read_text())
    assert (hybrid["ALGO"], hybrid["ENCUTFOCK"], hybrid["EDIFF"]) == ("Damped", "0", "1E-4")
    assert hybrid["MAGMOM"] == "6 -6 -6 6 4*0.6 16*0.6"
    nickel = parse_incar((FOLDER / "pymatgen" / "inputs" / "INCAR_2").read_text())
    assert (nickel["NELM"], nickel["ISMEAR"], nickel["LWAVE"]) == ("100", "-5", ".FALSE.")

"""The readers of vasprun.xml and OUTCAR: against ASE's, and where others go wrong."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import read
from vasp_library import PROGRAM

from bnnflow.records import Structure
from bnnflow.reference import build_reference
from bnnflow.reference.vasp import read_outcar, read_vasprun
from bnnflow.reference.vasp.numbers import number, row
from bnnflow.units import GPA

Vasp = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {}


@pytest.fixture
def run(
    runs: dict[str, Path], vasp: Vasp, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Run VASP once per kind and keep the folder."""

    def folder(kind: str, structure: Structure, **options: Any) -> Path:
        if kind not in runs:
            runs[kind] = tmp_path_factory.mktemp(kind)
            build_reference(vasp(**options)).prepare(structure, runs[kind])
            subprocess.run(PROGRAM.split(), cwd=runs[kind], check=True, capture_output=True)
        return runs[kind]

    return folder


@pytest.fixture
def radical(water: Structure, run: Callable[..., Path]) -> Path:
    return run("radical", replace(water, charge=1, multiplicity=2), sigma_eV=0.5, ediff_eV=1e-5)


@pytest.fixture
def crystal(copper: Structure, run: Callable[..., Path]) -> Path:
    return run("crystal", copper, kpoints=[2, 2, 1], mesh="monkhorst-pack", ediff_eV=1e-5)


@pytest.mark.proves("energy", "forces", "stress", code="vasp (stand-in)")
@pytest.mark.parametrize("kind", ["radical", "crystal"])
def test_same_numbers_as_ase(kind: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(kind)
    (step,) = read_vasprun(folder / "vasprun.xml").steps
    (printed,) = read_outcar(folder / "OUTCAR").steps
    for found, file, digits in ((step, "vasprun.xml", 1e-10), (printed, "OUTCAR", 1e-10)):
        atoms = read(folder / file)
        results = atoms.calc.results
        assert found.free_energy == pytest.approx(results["free_energy"], abs=digits)
        assert found.energy_sigma_0 == pytest.approx(results["energy"], abs=digits)
        assert found.forces is not None and found.stress is not None
        np.testing.assert_allclose(found.forces, results["forces"], atol=digits)
        np.testing.assert_allclose(found.stress, results["stress"], atol=1e-8)
    shift = step.scaled - read(folder / "POSCAR").get_scaled_positions(wrap=False)
    np.testing.assert_allclose(shift, np.round(shift), atol=1e-8)  # other images, same atoms
    assert step.free_energy != step.energy_sigma_0 or kind == "crystal"


@pytest.mark.proves("energy", "forces", "stress", code="vasp (stand-in)")
@pytest.mark.parametrize("kind", ["radical", "crystal"])
@pytest.mark.skipif(importlib.util.find_spec("pymatgen") is None, reason="no pymatgen installed")
def test_same_numbers_as_pymatgen(kind: str, request: pytest.FixtureRequest) -> None:
    from pymatgen.io.vasp import Outcar, Vasprun

    folder: Path = request.getfixturevalue(kind)
    theirs = Vasprun(str(folder / "vasprun.xml"), parse_potcar_file=False)
    (step,) = read_vasprun(folder / "vasprun.xml").steps
    assert theirs.converged
    assert step.energy_sigma_0 == pytest.approx(float(theirs.final_energy), abs=1e-8)
    np.testing.assert_allclose(step.forces, theirs.ionic_steps[0]["forces"], atol=1e-8)
    outcar, printed = Outcar(str(folder / "OUTCAR")), read_outcar(folder / "OUTCAR")
    assert outcar.nelect == printed.n_electrons
    assert outcar.final_fr_energy == pytest.approx(step.free_energy, abs=1e-7)
    if kind == "radical":
        moments = [atom["tot"] for atom in outcar.magnetization]
        np.testing.assert_allclose(printed.steps[0].moments, moments)


@pytest.mark.proves("mesh", code="vasp (stand-in)")
def test_settings_of_a_run(radical: Path, crystal: Path) -> None:
    vasprun, outcar = read_vasprun(radical / "vasprun.xml"), read_outcar(radical / "OUTCAR")
    assert vasprun.problem == ""
    assert vasprun.parameter("NELECT") == outcar.n_electrons == 7.0
    assert vasprun.parameter("NELM") == outcar.nelm == 100
    assert outcar.ediff == vasprun.parameter("EDIFF") == 1e-5
    assert vasprun.elements == ("O", "H", "H")
    assert vasprun.potcars == outcar.titles
    assert vasprun.atoms_per_species == (1, 2)
    (step,) = outcar.steps
    assert outcar.converged(step)
    assert step.electronic_steps == len(vasprun.steps[0].scf_energies)
    assert step.total_moment == pytest.approx(1.0, abs=1e-3)
    assert step.moments is not None and len(step.moments) == 3
    mesh = read_vasprun(crystal / "vasprun.xml")
    assert (mesh.mesh, mesh.divisions) == ("Monkhorst-Pack", (2, 2, 1))
    assert read_outcar(crystal / "OUTCAR").steps[0].moments is None


def test_a_file_cut_anywhere_is_never_whole(radical: Path, tmp_path: Path) -> None:
    whole = (radical / "vasprun.xml").read_text()
    cut = tmp_path / "vasprun.xml"
    for share in np.linspace(0.0, 0.999, 40):
        cut.write_text(whole[: int(share * len(whole))])
        found = read_vasprun(cut)
        assert found.problem, f"cut at {share:.1%}"
    cut.write_text(whole[: whole.index("</scstep>", whole.index("</scstep>") + 1)])
    assert read_vasprun(cut).problem == (
        "it ends inside <modeling/calculation/scstep> after 2 electronic steps"
    )
    cut.write_text(whole[: whole.index("</calculation>") + len("</calculation>")])
    found = read_vasprun(cut)
    assert found.problem == "it ends inside <modeling>"
    assert len(found.steps) == 1
    cut.write_text("")
    assert read_vasprun(cut).problem == "it is empty"
    cut.write_text("NaN")
    assert "no XML" in read_vasprun(cut).problem


def test_an_outcar_cut_anywhere_is_never_converged(radical: Path, tmp_path: Path) -> None:
    whole = (radical / "OUTCAR").read_text()
    cut = tmp_path / "OUTCAR"
    ended = whole.index("aborting loop") / len(whole)
    for share in np.linspace(0.0, ended - 0.001, 20):
        cut.write_text(whole[: int(share * len(whole))])
        found = read_outcar(cut)
        assert not found.finished
        assert not any(found.converged(step) for step in found.steps)


def calculation(last_scf: str, final: str) -> str:
    """A vasprun.xml of one atom with given energies in its last electronic step and at its end."""
    array = (
        '<varray name="{}"><v> 1.0 0.0 0.0 </v><v> 0.0 1.0 0.0 </v><v> 0.0 0.0 1.0 </v></varray>'
    )
    geometry = (
        f"<structure><crystal>{array.format('basis')}</crystal>"
        '<varray name="positions"><v> 0.0 0.0 0.0 </v></varray></structure>'
    )
    return (
        f"<modeling><calculation><scstep><energy>{last_scf}</energy></scstep>{geometry}"
        f'<varray name="forces"><v> -1234.12345678-1234.87654321 ************** </v></varray>'
        f"{array.format('stress')}<energy>{final}</energy></calculation></modeling>"
    )


def energies(free: float, without: float, sigma_0: float) -> str:
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    values = zip(names, (free, without, sigma_0), strict=True)
    return "".join(f'<i name="{name}"> {value:.8f} </i>' for name, value in values)


@pytest.mark.parametrize(
    "final",
    [
        energies(-11.217323, -11.13480014, -11.18981538),  # VASP 6
        energies(-11.217323, -11.18981538, -0.08252286),  # VASP 5: other numbers, same names
    ],
)
def test_energies_of_both_generations(final: str, tmp_path: Path) -> None:
    path = tmp_path / "vasprun.xml"
    path.write_text(calculation(energies(-11.217323, -11.13480014, -11.18981538), final))
    (step,) = read_vasprun(path).steps
    assert step.free_energy == -11.217323
    assert step.energy_without_entropy == pytest.approx(-11.13480014)
    assert step.energy_sigma_0 == pytest.approx(-11.18981538)


def test_a_dispersion_correction_is_in_the_last_energy_only(tmp_path: Path) -> None:
    path = tmp_path / "vasprun.xml"
    path.write_text(calculation(energies(-10.0, -9.0, -9.5), energies(-12.0, -9.5, -2.0)))
    (step,) = read_vasprun(path).steps
    assert (step.free_energy, step.energy_without_entropy, step.energy_sigma_0) == (-12, -11, -11.5)


def test_columns_that_ran_together(tmp_path: Path) -> None:
    path = tmp_path / "vasprun.xml"
    path.write_text(calculation(energies(1, 1, 1), energies(1, 1, 1)))
    (step,) = read_vasprun(path).steps
    assert step.forces is not None
    np.testing.assert_array_equal(step.forces, [[-1234.12345678, -1234.87654321, np.nan]])
    assert step.stress == pytest.approx([-0.1 * GPA] * 3 + [0.0] * 3)


def test_numbers_as_fortran_writes_them() -> None:
    assert number("0.27-111") == 0.27e-111
    assert number("-.17E-03") == -0.17e-3
    assert np.isnan(number("*****"))
    assert row("1.0 2.0 3.0", 3) == [1.0, 2.0, 3.0]
    assert np.isnan(row("1.0 2.0", 3)).all()


OUTCAR = """ vasp.5.4.4.18Apr17 (build) complex
   TITEL  = PAW_PBE H 15Jun2001
   NELM   =     {nelm};   NELMIN=  2; NELMDL= -5     # of ELM steps
   EDIFF  = 0.1E-05   stopping-criterion for ELM
   NELECT =       1.0000    total number of electrons
{steps}
------------------------ aborting loop {ended} ----------------------------------------
"""
STEP = """--------------------------------- Iteration      1({step:4d})  ----------------------
 total energy-change (2. order) :{change}  ({band})
"""
REACHED, NOT_REACHED = "because EDIFF is reached", "EDIFF was not reached (unconverged)"


@pytest.mark.parametrize(
    ("nelm", "last", "band", "ended", "converged"),
    [
        (60, "-0.2E-07", "-0.1E-07", REACHED, True),
        (3, "-0.2356191E-02", "-0.4892725E-04", REACHED, False),  # VASP 5 at NELM says so too
        (3, "-0.6032322E-06", "-0.2854416E-08", REACHED, True),  # just in time
        (3, "-0.6032322E-06", "-0.2854416E-04", REACHED, False),
        (3, "-0.6E-06", " 0.2737684-111", REACHED, True),
        (3, "-0.2E-02", "-0.4E-04", NOT_REACHED, False),  # VASP 6
        (60, "-0.2E-07", "-0.1E-07", "because hard stop was set", False),
    ],
)
def test_convergence_is_not_taken_from_one_line(
    nelm: int, last: str, band: str, ended: str, converged: bool, tmp_path: Path
) -> None:
    steps = "".join(STEP.format(step=step, change="0.1E+01", band="0.1E+01") for step in (1, 2))
    steps += STEP.format(step=3, change=last, band=band)
    path = tmp_path / "OUTCAR"
    path.write_text(OUTCAR.format(nelm=nelm, steps=steps, ended=ended))
    found = read_outcar(path)
    assert (found.version, found.nelm, found.ediff) == ("5.4.4.18Apr17", nelm, 1e-6)
    (step,) = found.steps
    assert step.electronic_steps == 3
    assert found.converged(step) is converged


def test_moments_of_a_single_atom_have_no_sum(tmp_path: Path) -> None:
    table = (
        " magnetization (x)\n\n# of ion       s       p       d       tot\n"
        "------------------------------------------\n    1       -0.007  -0.038   2.261   2.215\n"
        " \n  in kB       1.0 2.0 3.0 4.0 5.0 6.0\n"
    )
    path = tmp_path / "OUTCAR"
    steps = STEP.format(step=1, change="0.0", band="0.0")
    path.write_text(OUTCAR.format(nelm=60, steps=steps, ended=REACHED) + table)
    (step,) = read_outcar(path).steps
    assert step.moments is not None and step.moments.tolist() == [2.215]
    assert step.stress is not None  # in kB are xx yy zz xy yz zx, of the other sign
    np.testing.assert_allclose(step.stress, -0.1 * GPA * np.array([1, 2, 3, 5, 6, 4]))

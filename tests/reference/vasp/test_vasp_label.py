"""Labels by VASP end to end: numbers, order, failures, remedies, restart, MPI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vasp_library import REAL, write_potcar

from bnnflow import codec
from bnnflow.records import Failure, FailureCause, Handling, Label, LabelRequest, Structure
from bnnflow.reference import label
from bnnflow.reference.vasp import read_outcar
from bnnflow.units import tensor_from_voigt

Ask = Callable[..., LabelRequest]
Vasp = Callable[..., dict[str, Any]]

standin_only = pytest.mark.skipif(REAL, reason="the real VASP cannot be made to fail on request")
MPIRUN = "mpirun --allow-run-as-root --oversubscribe -np 2"
with_mpi = pytest.mark.skipif(
    shutil.which("mpirun") is None, reason="no mpirun on PATH: apt-get install openmpi-bin"
)


def good(outcome: Label | Failure) -> Label:
    assert isinstance(outcome, Label), outcome
    return outcome


def failing(mode: str, **incar: Any) -> dict[str, Any]:
    return {"incar": {"SYSTEM": f"standin {mode}", **incar}}


def attempt(outcome: Label | Failure, number: int = 1) -> Path:
    folder = Path(outcome.directory)
    folder = folder if isinstance(outcome, Label) else folder.parent
    return folder / f"attempt-{number:02d}"


@pytest.mark.proves("energy", "forces", code="vasp (stand-in)")
def test_forces_are_minus_the_slope_of_the_energy(vasp: Vasp, water: Structure, ask: Ask) -> None:
    """With hot electrons the three energies of VASP differ, and only one has these forces."""
    options = vasp(sigma_eV=1.0, ediff_eV=1e-8)
    middle = good(label(ask(water, **options)))
    step, atom, axis = 0.005, 1, 1
    ends = []
    for index, sign in enumerate((1, -1)):
        positions = water.positions.copy()
        positions[atom, axis] += sign * step
        moved = replace(water, positions=positions)
        ends.append(good(label(ask(moved, folder=f"{index}", **options))))

    def slope(energies: list[float]) -> float:
        return -(energies[0] - energies[1]) / (2 * step)

    force = middle.forces[atom, axis]
    assert slope([end.energy for end in ends]) == pytest.approx(force, abs=2e-3)
    for other in ("energy_without_entropy_eV", "energy_sigma_0_eV"):
        assert abs(slope([end.details[other] for end in ends]) - force) > 5e-3
    assert middle.details["energy_kind"].startswith("free energy TOTEN")
    assert middle.stress is None


@pytest.mark.proves("stress", code="vasp (stand-in)")
def test_stress_is_the_slope_along_a_strain(vasp: Vasp, copper: Structure, ask: Ask) -> None:
    options = vasp(kpoints=[2, 2, 2])
    middle = good(label(ask(copper, **options)))
    assert middle.stress is not None
    strain = np.array([[1.0, 0.8, 0.0], [0.8, -0.4, 0.3], [0.0, 0.3, 0.2]])
    step, volume = 1e-3, float(np.linalg.det(copper.cell))
    ends = []
    for folder, sign in (("plus", 1), ("minus", -1)):
        change = np.eye(3) + sign * step * strain
        strained = replace(copper, positions=copper.positions @ change, cell=copper.cell @ change)
        ends.append(good(label(ask(strained, folder=folder, **options))).energy)
    expected = float((tensor_from_voigt(middle.stress) * strain).sum())
    assert (ends[0] - ends[1]) / (2 * step * volume) == pytest.approx(expected, abs=2e-5)
    assert abs(expected) > 1e-3
    assert middle.details["k_points"] == "2x2x2 Gamma-centred k-points"


@pytest.mark.proves("energy", "forces", code="vasp (stand-in)")
def test_the_order_of_atoms_is_nobodys_business(vasp: Vasp, ask: Ask) -> None:
    """O H H shuffled, one atom moved to another image: same energy, forces with their atoms."""
    positions = np.array([[1.0, 1.1, 1.2], [1.9, 1.2, 1.3], [0.7, 2.0, 1.1], [5.0, 5.0, 5.2]])
    crystal = Structure(
        np.array([8, 1, 1, 14]), positions, cell=9.0 * np.eye(3), pbc=np.ones(3, dtype=bool)
    )
    order = np.array([2, 3, 0, 1])
    away = positions.copy()
    away[0] -= [9.0, 0.0, 18.0]
    shuffled = replace(crystal, numbers=crystal.numbers[order], positions=away[order])
    options = vasp(kpoints=[1, 1, 1], ispin=2, magmom={"O": 1.0, "Si": 2.0})
    one = good(label(ask(crystal, **options)))
    other = good(label(ask(shuffled, folder="0002", **options)))
    assert other.energy == pytest.approx(one.energy, abs=1e-6)
    np.testing.assert_allclose(other.forces, one.forces[order], atol=1e-4)
    np.testing.assert_array_equal(other.structure.positions, away[order])
    np.testing.assert_allclose(
        np.array(other.details["moments_muB"]),
        np.array(one.details["moments_muB"])[order],
        atol=0.01,
    )


@pytest.mark.proves("charge", "spin", code="vasp (stand-in)")
@pytest.mark.parametrize(("charge", "multiplicity"), [(1, 2), (-1, 2), (0, 3)])
def test_charge_and_spin_are_counted_back(
    charge: int, multiplicity: int, vasp: Vasp, water: Structure, ask: Ask
) -> None:
    found = good(label(ask(replace(water, charge=charge, multiplicity=multiplicity), **vasp())))
    assert found.details["n_electrons"] == pytest.approx(8 - charge)
    assert found.details["total_moment_muB"] == pytest.approx(multiplicity - 1, abs=0.01)
    assert any("charged cell" in line for line in found.details["warnings"]) == bool(charge)


def test_what_stays_of_a_good_label(vasp: Vasp, water: Structure, ask: Ask) -> None:
    found = good(label(ask(water, **vasp())))
    kept = {path.name for path in attempt(found).iterdir()}
    assert {"POSCAR", "INCAR", "KPOINTS", "OUTCAR", "vasprun.xml", "output.log"} <= kept
    assert not kept & {"POTCAR", "WAVECAR", "CHGCAR", "DOSCAR"}
    assert [item["name"] for item in found.details["potcars"]] == ["O", "H"]
    assert found.details["incar"]["ENCUT"] == "400"
    assert found.details["converged"] is True
    assert found.level.startswith("PBE, 400 eV, Gamma point")


@pytest.mark.proves("two ranks", code="vasp (stand-in)")
@with_mpi
def test_two_ranks_and_one_agree(
    vasp: Vasp, water: Structure, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMPI_MCA_oob_tcp_if_include", "lo")
    serial = good(label(ask(water, **vasp())))
    handling = Handling(timeout_s=60.0, launcher=MPIRUN)
    parallel = good(label(ask(water, folder="mpi", handling=handling, **vasp())))
    assert parallel.energy == pytest.approx(serial.energy, abs=1e-6)
    np.testing.assert_allclose(parallel.forces, serial.forces, atol=1e-5)


@with_mpi
def test_a_launcher_without_the_program_says_so(vasp: Vasp, water: Structure, ask: Ask) -> None:
    handling = Handling(timeout_s=60.0, launcher=MPIRUN)
    found = label(ask(water, handling=handling, **vasp(program="vasp_nosuch")))
    assert isinstance(found, Failure)
    assert found.cause is FailureCause.BAD_INPUT
    assert "correct program" in found.message


@pytest.mark.proves("crash", code="vasp (stand-in)")
@standin_only
@pytest.mark.parametrize(
    ("mode", "cause", "message"),
    [
        ("crash", FailureCause.CRASHED, "set incar.ISYM to 0"),
        ("disk", FailureCause.NO_DISK_SPACE, "No space left on device"),
        ("memory", FailureCause.OUT_OF_MEMORY, "insufficient virtual memory"),
        ("truncated", FailureCause.CRASHED, "vasprun.xml is not whole: it ends inside <modeling/"),
        ("killed", FailureCause.CRASHED, "signal 9"),
        ("geometry", FailureCause.WRONG_GEOMETRY, "an atom is 0.01 Å from where it was sent"),
        ("nan", FailureCause.NON_FINITE, "not finite"),
    ],
)
def test_failures(
    mode: str, cause: FailureCause, message: str, vasp: Vasp, water: Structure, ask: Ask
) -> None:
    found = label(ask(water, **vasp(**failing(mode))))
    assert isinstance(found, Failure)
    assert found.cause is cause
    assert message in found.message
    assert len(list(attempt(found).parent.glob("attempt-*"))) == 1
    assert (attempt(found) / "POTCAR").is_file()


@pytest.mark.proves("crash", code="vasp (stand-in)")
@standin_only
def test_a_rank_that_is_killed_is_no_label(vasp: Vasp, water: Structure, ask: Ask) -> None:
    if shutil.which("mpirun") is None:
        pytest.skip("no mpirun on PATH: apt-get install openmpi-bin")
    handling = Handling(timeout_s=60.0, launcher=MPIRUN)
    found = label(ask(water, handling=handling, **vasp(**failing("killed"))))
    assert isinstance(found, Failure)
    assert found.cause is FailureCause.CRASHED


@pytest.mark.proves("time limit", code="vasp (stand-in)")
@standin_only
def test_a_vasp_that_hangs_is_ended_with_all_its_ranks(
    vasp: Vasp, water: Structure, ask: Ask
) -> None:
    launcher = MPIRUN if shutil.which("mpirun") else ""
    handling = Handling(timeout_s=6.0, launcher=launcher)
    found = label(ask(water, handling=handling, **vasp(**failing("hang"))))
    assert isinstance(found, Failure)
    assert found.cause is FailureCause.TIMED_OUT
    assert _at_work_in(attempt(found)) == []


WORKER = """
import sys
from bnnflow import codec
from bnnflow.records import LabelRequest
from bnnflow.reference import label
label(codec.load_record(sys.argv[1], LabelRequest))
"""


@pytest.mark.proves("killed worker", code="vasp (stand-in)")
@standin_only
@with_mpi
def test_a_killed_worker_leaves_no_rank(
    vasp: Vasp, water: Structure, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMPI_MCA_oob_tcp_if_include", "lo")
    handling = Handling(timeout_s=100.0, launcher=MPIRUN)
    request = ask(water, handling=handling, **vasp(**failing("hang")))
    codec.save_record(tmp_path / "request.h5", request)
    folder = Path(request.directory) / "attempt-01"
    command = [sys.executable, "-c", WORKER, str(tmp_path / "request.h5")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=environment) as worker:
        assert _wait_for(lambda: len(_at_work_in(folder)) >= 2)  # mpirun and the rank that hangs
        worker.kill()
    assert _wait_for(lambda: not _at_work_in(folder))
    assert not (folder.parent / "result.h5").exists()


def _wait_for(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60.0
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


def _at_work_in(folder: Path) -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/cwd") if _leads_to(path, str(folder))]


def _leads_to(link: Path, folder: str) -> bool:
    try:
        return str(link.readlink()) == folder
    except OSError:
        return False


@pytest.mark.proves("remedies", code="vasp (stand-in)")
def test_too_few_steps_are_made_up_for(vasp: Vasp, water: Structure, ask: Ask) -> None:
    """NELM 5 does not suffice; the first remedy gives it more, and the same energy."""
    enough = good(label(ask(water, folder="enough", **vasp())))
    few = good(label(ask(water, folder="few", **vasp(incar={"NELM": 5}))))
    assert few.details["remedies"][0].startswith("ALGO Normal, 12 steps before mixing")
    assert few.level == enough.level
    assert few.energy == pytest.approx(enough.energy, abs=1e-5)
    np.testing.assert_allclose(few.forces, enough.forces, atol=1e-3)
    tags = (attempt(few, 2) / "INCAR").read_text()
    assert "AMIX = 0.1" in tags and "NELM = 15" in tags
    assert read_outcar(attempt(few) / "OUTCAR").steps[0].electronic_steps == 5


@pytest.mark.proves("remedies", code="vasp (stand-in)")
@standin_only
@pytest.mark.parametrize(
    ("mode", "used"), [("sloshing", ["ALGO Normal"]), ("zhegv", ["ALGO Normal", "ALGO All"])]
)
def test_remedies_by_kind_of_trouble(
    mode: str, used: list[str], vasp: Vasp, water: Structure, ask: Ask
) -> None:
    found = good(label(ask(water, **vasp(**failing(mode)))))
    tried = found.details["remedies"]
    assert [name.partition(",")[0] for name in tried] == used
    assert len(list(Path(found.directory).glob("attempt-*"))) == 1 + len(used)


@pytest.mark.proves("not converged", code="vasp (stand-in)")
@standin_only
def test_remedies_that_do_not_help_are_named(vasp: Vasp, water: Structure, ask: Ask) -> None:
    found = label(ask(water, **vasp(**failing("unconverged", NELM=4))))
    assert isinstance(found, Failure)
    assert found.cause is FailureCause.NOT_CONVERGED
    assert "did not converge in 4 steps (NELM 4)" in found.message
    assert "ALGO Damped, TIME 0.1, NELM 20" in found.message
    assert len(list(attempt(found).parent.glob("attempt-*"))) == 4


@pytest.mark.proves("restart", code="vasp (stand-in)")
def test_a_label_starts_from_the_one_before(vasp: Vasp, water: Structure, ask: Ask) -> None:
    options = vasp(restart=True)
    first = good(label(ask(water, **options)))
    assert (attempt(first) / "WAVECAR").is_file()
    moved = replace(water, positions=1.002 * water.positions)
    second = good(label(ask(moved, folder="0002", previous="0001", **options)))
    alone = good(label(ask(moved, folder="alone", **options)))
    assert second.details["restarted_from"] == "0001"
    assert second.details["incar"]["ISTART"] == second.details["incar"]["ICHARG"] == "1"
    assert alone.details["incar"]["ISTART"] == "0"
    assert second.details["iterations"] < alone.details["iterations"]
    assert second.energy == pytest.approx(alone.energy, abs=1e-5)
    assert not (attempt(first) / "WAVECAR").exists()


@pytest.mark.proves("restart", code="vasp (stand-in)")
def test_a_wavecar_that_does_not_fit_costs_one_attempt(
    vasp: Vasp, water: Structure, ask: Ask
) -> None:
    options = vasp(restart=True)
    first = good(label(ask(water, **options)))
    for name in ("WAVECAR", "CHGCAR"):
        (attempt(first) / name).write_bytes(b"of another calculation\n")
    second = good(label(ask(water, folder="0002", previous="0001", **options)))
    if not REAL:
        assert second.details["remedies"] == ["from atomic densities"]
    assert second.energy == pytest.approx(first.energy, abs=1e-5)


@standin_only
def test_other_potcars_than_those_checked_are_noticed(
    vasp: Vasp, water: Structure, ask: Ask, tmp_path: Path
) -> None:
    """A program that puts its own POTCAR in place, as a wrapper script might."""
    write_potcar(tmp_path / "swapped", "O_s", zval=6.0)
    write_potcar(tmp_path / "H", "H", zval=1.0)
    script = tmp_path / "wrapper.sh"
    program = vasp()["program"]
    script.write_text(f"cat {tmp_path}/swapped {tmp_path}/H > POTCAR\nexec {program}\n")
    found = label(ask(water, **vasp(program=f"sh {script}")))
    assert isinstance(found, Failure)
    assert found.cause is FailureCause.BAD_INPUT
    assert "VASP used the POTCARs PAW_PBE O_s" in found.message


@standin_only
def test_another_number_of_electrons_is_noticed(
    vasp: Vasp, water: Structure, ask: Ask, tmp_path: Path
) -> None:
    script = tmp_path / "wrapper.sh"
    script.write_text(f"echo 'NELECT = 6' >> INCAR\nexec {vasp()['program']}\n")
    found = label(ask(water, **vasp(program=f"sh {script}")))
    assert isinstance(found, Failure)
    assert "counted 6 electrons, expected 8" in found.message


@standin_only
@pytest.mark.parametrize("missing", ["vasprun.xml", "OUTCAR"])
def test_a_missing_file_is_named(
    missing: str, vasp: Vasp, water: Structure, ask: Ask, tmp_path: Path
) -> None:
    script = tmp_path / "wrapper.sh"
    script.write_text(f"{vasp()['program']}\nrm {missing}\n")
    found = label(ask(water, **vasp(program=f"sh {script}")))
    assert isinstance(found, Failure)
    assert f"wrote no {missing}" in found.message


@pytest.mark.proves("wrong input", code="vasp (stand-in)")
@standin_only
@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("POTCAR", None, "no POTCAR file found"),
        ("INCAR", None, "No INCAR found"),
        ("POTCAR", "head -9 POTCAR > P; mv P POTCAR", "incompatible with number of species"),
        ("INCAR", "echo 'MAGMOM = 1 2' >> INCAR; sed -i 's/ISPIN = 1/ISPIN = 2/' INCAR", "MAGMOM"),
    ],
)
def test_the_stand_in_refuses_what_vasp_refuses(
    file: str, edit: str | None, message: str, vasp: Vasp, water: Structure, tmp_path: Path
) -> None:
    from bnnflow.reference import build_reference

    build_reference(vasp()).prepare(water, tmp_path)
    subprocess.run(edit or f"rm {file}", shell=True, cwd=tmp_path, check=True)
    ended = subprocess.run(
        vasp()["program"].split(), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert message in ended.stdout
    assert "I REFUSE TO CONTINUE" in ended.stdout

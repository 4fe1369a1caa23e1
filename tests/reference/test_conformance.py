"""What every electronic-structure code must do, for each code that is installed.

A code joins with one entry in `CODES`. Numbers are compared with the code's own printout, with
finite differences of its energy, and between one process and two ranks. Each test names in
`proves` which column of the table in docs/reference-codes.md it fills.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from bnnflow import codec
from bnnflow.errors import UserError
from bnnflow.records import Failure, FailureCause, Handling, Label, LabelRequest, Structure
from bnnflow.reference import build_reference, label
from bnnflow.reference.meshes import Mesh
from bnnflow.units import BOHR, HARTREE, tensor_from_voigt

MPIRUN = "mpirun --allow-run-as-root --oversubscribe -np 2"
RYDBERG = HARTREE / 2
Options = Mapping[str, Any]
Printed = tuple[float, np.ndarray]


@dataclass(frozen=True)
class Code:
    """A code under test.

    crystal, molecule: options that calculate them in a few seconds; converged: options on top, with
    which energies are smooth enough for finite differences of a strained cell; few_steps: options
    that cannot converge; wrong_input: what only the code itself can refuse; wrong_core: a
    pseudopotential, or what stands for it, that does not exist; printed: energy in eV and forces in
    eV/Å as the code printed them; k_points: those it printed, in units of reciprocal vectors;
    digits: of the printed energy and forces; ranks_differ_by: eV and eV/Å between one process and
    two ranks; slopes: eV/Å and eV/Å³ that finite differences may be off; quick: whether a label
    takes a second or two.
    """

    name: str
    missing: str
    crystal: Options
    molecule: Options
    converged: Options
    few_steps: Options
    wrong_input: Options
    wrong_core: Options
    printed: Callable[[Path], Printed]
    k_points: Callable[[Path, Structure], np.ndarray]
    digits: tuple[float, float] = (2e-7, 1e-6)
    ranks_differ_by: tuple[float, float] = (1e-6, 2e-4)
    slopes: tuple[float, float] = (1e-3, 2e-4)
    quick: bool = False
    launcher: str = MPIRUN


def program(name: str) -> str:
    """Why a program cannot be run here, "" when it can."""
    return "" if shutil.which(name) and shutil.which("mpirun") else f"{name} or mpirun is missing"


def attempt(folder: Path) -> Path:
    return sorted(folder.glob("attempt-*"))[-1]


def text_of(folder: Path, name: str = "output.log") -> str:
    return (attempt(folder) / name).read_text()


def numbers(rows: list[tuple[str, ...]]) -> np.ndarray:
    return np.array([[float(value) for value in row] for row in rows])


NUMBER = r"\s+(-?\d+\.\d+(?:E[-+]\d+)?)"
THREE = NUMBER * 3


def printed_by_espresso(folder: Path) -> Printed:
    text = text_of(folder)
    (energy,) = re.findall(r"^! +total energy +=\s+(\S+) Ry", text, re.M)
    block = text[text.index("Forces acting on atoms") : text.index("Total force =")]
    forces = numbers(re.findall(rf"atom +\d+ type +\d+ +force ={THREE}", block))
    return float(energy) * RYDBERG, forces * RYDBERG / BOHR


def k_points_of_espresso(folder: Path, structure: Structure) -> np.ndarray:
    text = text_of(folder)
    (alat,) = re.findall(r"lattice parameter \(alat\) += +(\S+) +a\.u\.", text)
    rows = re.findall(r"k\( *\d+\) = \( *(\S+) +(\S+) +(\S+)\), wk", text)
    return numbers(rows) / (float(alat) * BOHR) @ structure.cell.T


def printed_by_gpaw(folder: Path) -> Printed:
    text = text_of(folder, "gpaw.txt")
    (energy,) = re.findall(r"^  Free energy: +(\S+)", text, re.M)
    block = text[text.index("Forces  # eV/Ang") :]
    forces = numbers(re.findall(r"^\| +(-?\d\S+) \| +(-?\d\S+) \| +(-?\d\S+) \|  #", block, re.M))
    return float(energy), forces


def k_points_of_gpaw(folder: Path, structure: Structure) -> np.ndarray:
    text = text_of(folder, "gpaw.txt")
    rows = re.findall(r"^\| *\d+ \| \(([^,)]+),([^,)]+),([^,)]+)\) \| +\d+\.\d+ \|$", text, re.M)
    return numbers(rows)


def printed_by_cp2k(folder: Path) -> Printed:
    text = text_of(folder)
    (energy,) = re.findall(r"^ ENERGY\| Total FORCE_EVAL .*:\s+(\S+)$", text, re.M)
    block = text[text.index("ATOMIC FORCES in [a.u.]") : text.index("SUM OF ATOMIC FORCES")]
    forces = numbers(re.findall(rf"^ +\d+ +\d+ +[A-Z][a-z]?{THREE}$", block, re.M))
    return float(energy) * HARTREE, forces * HARTREE / BOHR


def k_points_of_cp2k(folder: Path, structure: Structure) -> np.ndarray:
    rows = re.findall(rf"^ BRILLOUIN\| +\d+ +0\.\d+{THREE}$", text_of(folder), re.M)
    return numbers(rows)


GPAW_PYTHON = os.environ.get("BNNFLOW_TEST_GPAW_PYTHON", "")
GPAW_HERE = GPAW_PYTHON or importlib.util.find_spec("gpaw") is not None
LDA_BOX: Options = {"functional": "LDA", "box_A": 8.0}

CODES = [
    Code(
        name="espresso",
        missing=program("pw.x"),
        crystal={"ecutwfc_eV": 220.0, "pseudopotentials": {"Si": "Si.pbe-rrkj.UPF"}},
        molecule={
            **LDA_BOX,
            "ecutwfc_eV": 180.0,
            "pseudopotentials": {"Si": "Si.pz-vbc.UPF", "H": "H.pz-vbc.UPF"},
        },
        converged={"ecutwfc_eV": 400.0, "conv_thr_eV": 1e-9},
        few_steps={"max_steps": 2},
        wrong_input={"extra": {"system": {"nonsense": 1}}},
        wrong_core={"pseudopotentials": {"Si": "Si.nowhere.UPF"}},
        printed=printed_by_espresso,
        k_points=k_points_of_espresso,
        quick=True,
    ),
    Code(
        name="gpaw",
        missing="" if GPAW_HERE and shutil.which("mpirun") else "GPAW or mpirun is missing",
        crystal={"cutoff_eV": 250.0, "python": GPAW_PYTHON},
        molecule={**LDA_BOX, "cutoff_eV": 250.0, "python": GPAW_PYTHON},
        converged={"cutoff_eV": 500.0, "conv_density": 1e-7},
        few_steps={"max_steps": 2},
        wrong_input={"functional": "nonsense"},
        wrong_core={"setups": {"Si": "nowhere"}},
        printed=printed_by_gpaw,
        k_points=k_points_of_gpaw,
        digits=(1e-6, 1e-5),
    ),
    Code(
        name="cp2k",
        missing=program("cp2k.psmp"),
        crystal={"cutoff_eV": 2700.0, "relative_cutoff_eV": 400.0, "basis": "SZV-MOLOPT-SR-GTH"},
        molecule={**LDA_BOX, "cutoff_eV": 2700.0, "relative_cutoff_eV": 540.0},
        converged={"cutoff_eV": 5400.0, "relative_cutoff_eV": 800.0, "eps_scf": 1e-8},
        few_steps={"max_steps": 2},
        wrong_input={"functional": "nonsense", "potential": "GTH-PBE"},
        wrong_core={"potential": "GTH-NOWHERE"},
        printed=printed_by_cp2k,
        k_points=k_points_of_cp2k,
    ),
]


def cases(*, slow: bool = False, only_quick: bool = False) -> list[Any]:
    """The codes as parameters; a test of one that is not quick is slow."""
    chosen = [code for code in CODES if code.quick or not only_quick]
    return [
        pytest.param(
            code,
            id=code.name,
            marks=[
                pytest.mark.skipif(bool(code.missing), reason=code.missing),
                *([pytest.mark.slow] if slow or not code.quick else []),
            ],
        )
        for code in chosen
    ]


every_code = pytest.mark.parametrize("code", cases())
every_code_slowly = pytest.mark.parametrize("code", cases(slow=True))
MESH = {"k_points": [3, 3, 3]}


def silicon(*, rattled: float = 0.06) -> Structure:
    """Two silicon atoms away from their places, in a cell without symmetry."""
    atoms = bulk("Si", a=5.43)
    strained = np.array([[1.01, 0.02, 0.0], [0.0, 0.98, 0.01], [0.0, 0.0, 1.0]])
    atoms.set_cell(atoms.cell.array @ strained)
    atoms.set_scaled_positions([[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]])
    atoms.rattle(rattled, seed=3)
    return Structure.from_atoms(atoms)


def silylene(*, charge: int = 0, multiplicity: int = 1) -> Structure:
    """SiH2, bent and without symmetry: a singlet whose triplet lies 0.9 eV above it."""
    atoms = Atoms("SiH2", positions=[[0.0, 0.0, 0.0], [1.09, 1.05, 0.1], [-1.15, 1.01, -0.05]])
    return Structure.from_atoms(atoms, charge=charge, multiplicity=multiplicity)


@pytest.fixture(autouse=True)
def _one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """MPI of one machine: loopback alone, and ranks that wait without burning their core."""
    for name, value in {
        "OMPI_MCA_oob_tcp_if_include": "lo",
        "OMPI_MCA_btl_tcp_if_include": "lo",
        "OMPI_MCA_mpi_yield_when_idle": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
    }.items():
        monkeypatch.setenv(name, value)


Run = Callable[..., Label | Failure]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Calculate a structure with a code; what was calculated before comes from its folder."""
    root = tmp_path_factory.mktemp("labels")
    folders: dict[str, str] = {}

    def calculate(
        code: Code,
        structure: Structure,
        *,
        launcher: str | None = None,
        timeout_s: float = 280.0,
        **more: Any,
    ) -> Label | Failure:
        usual = {**code.crystal, **MESH} if structure.pbc.any() else code.molecule
        words = code.launcher if launcher is None else launcher
        spec = {"engine": code.name, **usual, **more}
        atoms = (structure.positions, structure.cell, structure.charge, structure.multiplicity)
        key = repr((spec, words, [np.asarray(part).tolist() for part in atoms]))
        folder = folders.setdefault(key, str(root / f"{len(folders):04d}"))
        handling = Handling(timeout_s=timeout_s, launcher=words)
        return label(LabelRequest(spec, structure, folder, handling))

    return calculate


def good(outcome: Label | Failure) -> Label:
    assert isinstance(outcome, Label), outcome
    return outcome


def bad(outcome: Label | Failure, cause: FailureCause) -> Failure:
    assert isinstance(outcome, Failure)
    assert outcome.cause is cause, outcome
    return outcome


STRUCTURES = {"crystal": silicon(), "molecule": silylene()}
each_structure = pytest.mark.parametrize("what", STRUCTURES)


@pytest.mark.proves("energy", "forces")
@each_structure
@every_code
def test_energy_and_forces_are_those_of_the_printout(code: Code, what: str, run: Run) -> None:
    found = good(run(code, STRUCTURES[what]))
    energy, forces = code.printed(Path(found.directory))
    assert found.energy == pytest.approx(energy, abs=code.digits[0])
    np.testing.assert_allclose(found.forces, forces, atol=code.digits[1])
    assert np.abs(forces).max() > 0.3
    assert found.details["energy_kind"] == "total energy"
    assert found.details["version"]
    assert found.details["iterations"] > 2


@pytest.mark.proves("forces")
@each_structure
@every_code_slowly
def test_forces_are_minus_the_slope(code: Code, what: str, run: Run) -> None:
    """Along the forces and a random direction, so that every component has its share."""
    structure, tight = STRUCTURES[what], {**code.converged, "launcher": ""}
    forces = good(run(code, structure, **tight)).forces
    random = np.random.default_rng(1).normal(size=forces.shape)
    direction = forces / np.linalg.norm(forces) + random / np.linalg.norm(random)
    step, ends = 0.01, []
    for sign in (step, -step):
        moved = replace(structure, positions=structure.positions + sign * direction)
        ends.append(good(run(code, moved, **tight)).energy)
    expected = -float(np.sum(forces * direction))
    assert abs(expected) > 0.2
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(expected, abs=code.slopes[0])


@pytest.mark.proves("stress")
@pytest.mark.parametrize("seed", [1, 2])
@every_code_slowly
def test_stress_is_the_slope_under_strain(code: Code, seed: int, run: Run) -> None:
    """Along a random strain, in which all six components have their share."""
    structure, tight = silicon(), {**code.converged, "launcher": ""}
    strain = np.random.default_rng(seed).normal(size=(3, 3))
    strain = (strain + strain.T) / np.linalg.norm(strain + strain.T)
    step, ends = 0.004, []
    for sign in (step, -step):
        deform = np.eye(3) + sign * strain
        strained = replace(
            structure, cell=structure.cell @ deform, positions=structure.positions @ deform
        )
        ends.append(good(run(code, strained, **tight)).energy)
    volume = abs(np.linalg.det(structure.cell))
    stress = good(run(code, structure, **tight)).stress
    assert stress is not None
    expected = float(np.sum(tensor_from_voigt(stress) * strain))
    assert abs(expected) > 5e-3
    assert (ends[0] - ends[1]) / (2 * step) / volume == pytest.approx(expected, abs=code.slopes[1])


@pytest.mark.proves("stress")
@every_code
def test_a_molecule_has_no_stress_and_a_crystal_one_under_tension(code: Code, run: Run) -> None:
    assert good(run(code, silylene())).stress is None
    structure = silicon(rattled=0.0)
    wide = replace(structure, cell=structure.cell * 1.06, positions=structure.positions * 1.06)
    stress = good(run(code, wide)).stress
    assert stress is not None
    assert stress[:3].mean() > 0.01


@pytest.mark.proves("two ranks")
@each_structure
@every_code
def test_one_process_and_two_ranks_agree(code: Code, what: str, run: Run) -> None:
    two = good(run(code, STRUCTURES[what]))
    one = good(run(code, STRUCTURES[what], launcher=""))
    assert one.directory != two.directory
    assert one.energy == pytest.approx(two.energy, abs=code.ranks_differ_by[0])
    np.testing.assert_allclose(one.forces, two.forces, atol=code.ranks_differ_by[1])


@pytest.mark.proves("charge")
@every_code
def test_the_charge_reaches_the_code(code: Code, run: Run) -> None:
    """Ionising SiH2 costs 9 eV, less the attraction of its images and background, about 3 eV."""
    neutral = good(run(code, silylene()))
    ion = good(run(code, silylene(charge=1, multiplicity=2)))
    assert 4.0 < ion.energy - neutral.energy < 10.0
    assert ion.details["charge"] == 1


@pytest.mark.proves("spin")
@every_code
def test_the_multiplicity_reaches_the_code(code: Code, run: Run) -> None:
    singlet = good(run(code, silylene()))
    triplet = good(run(code, silylene(multiplicity=3)))
    assert 0.5 < triplet.energy - singlet.energy < 1.6
    assert triplet.details["spin_polarized"]
    moments = [triplet.details.get(key, 0.0) for key in ("magnetization", "absolute_magnetization")]
    assert max(moments) == pytest.approx(2.0, abs=0.4)
    with pytest.raises(UserError, match="correct charge or multiplicity"):
        reference_of(code).check(silylene(multiplicity=2))


def reference_of(code: Code, **more: Any) -> Any:
    return build_reference({"engine": code.name, **code.molecule, **more})


@pytest.mark.proves("mesh")
@pytest.mark.parametrize("kind", ["gamma", "monkhorst-pack"])
@every_code
def test_a_stated_mesh_is_the_mesh_of_the_code(code: Code, kind: str, run: Run) -> None:
    structure = silicon()
    found = good(run(code, structure, k_points=[2, 3, 1], k_mesh=kind))
    used = code.k_points(Path(found.directory), structure)
    expected = Mesh((2, 3, 1), kind).points
    assert {folded(point) for point in used} == {folded(point) for point in expected}
    assert found.details["k_points"] == str(Mesh((2, 3, 1), kind))


def folded(point: np.ndarray) -> tuple[float, ...]:
    """A point and its time reversal as one, modulo reciprocal vectors."""
    ends = [np.round(np.round(sign * point, 4) % 1.0, 4) % 1.0 for sign in (1, -1)]
    return min(tuple(end.tolist()) for end in ends)


@pytest.mark.proves("not converged")
@every_code
def test_no_convergence_is_a_failure_with_its_remedies_named(code: Code, run: Run) -> None:
    failure = bad(run(code, silylene(), **code.few_steps), FailureCause.NOT_CONVERGED)
    assert "2 iterations; tried too: " in failure.message
    remedies = reference_of(code, **code.few_steps).remedies()
    assert all(remedy.name in failure.message for remedy in remedies)


@pytest.mark.proves("wrong input")
@every_code
def test_what_the_code_refuses_is_bad_input(code: Code, run: Run) -> None:
    failure = bad(run(code, silylene(), **code.wrong_input), FailureCause.BAD_INPUT)
    assert "nonsense" in failure.message


@pytest.mark.proves("missing core")
@every_code
def test_a_missing_pseudopotential_is_one_line(code: Code, run: Run) -> None:
    failure = bad(run(code, silylene(), **code.wrong_core), FailureCause.BAD_INPUT)
    assert "nowhere" in failure.message.lower()


def long_one() -> Structure:
    """Sixteen atoms, which take any of the codes a while."""
    return Structure.from_atoms(bulk("Si", cubic=True).repeat((2, 1, 1)))


def ranks_in(folder: Path) -> list[int]:
    """Living processes that work inside a folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            state = (link.parent / "stat").read_text().rpartition(")")[2].split()[0]
            if folder in (target := link.resolve(), *target.parents) and state != "Z":
                found.append(int(link.parent.name))
    return found


def wait_for(condition: Callable[[], bool], *, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.proves("time limit")
@every_code
def test_the_time_limit_leaves_no_rank(code: Code, tmp_path: Path) -> None:
    spec = {"engine": code.name, **code.crystal, **code.converged, **MESH}
    handling = Handling(timeout_s=4.0, launcher=code.launcher)
    seen: list[int] = []
    watcher = threading.Thread(target=lambda: seen.extend(most_ranks(tmp_path, within_s=4.0)))
    watcher.start()
    failure = bad(
        label(LabelRequest(spec, long_one(), str(tmp_path / "1"), handling)), FailureCause.TIMED_OUT
    )
    watcher.join()
    assert len(seen) >= 2
    assert failure.seconds < 4.0 + 8.0
    assert not ranks_in(tmp_path)


def most_ranks(folder: Path, *, within_s: float) -> list[int]:
    """The largest number of processes seen at work in a folder."""
    end, most = time.monotonic() + within_s, list[int]()
    while time.monotonic() < end:
        most = max(most, ranks_in(folder), key=len)
        time.sleep(0.05)
    return most


WORKER = """
import json, sys
from bnnflow.records import Handling, LabelRequest
from bnnflow.reference import label
from bnnflow import codec
from bnnflow.records import Structure
spec, folder, launcher = json.loads(sys.argv[1])
structure = codec.load_record(sys.argv[2], Structure)
print(label(LabelRequest(spec, structure, folder, Handling(launcher=launcher))))
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[[Code], subprocess.Popen[bytes]]]:
    """Start a long label in a process of its own."""
    started = []

    def start(code: Code) -> subprocess.Popen[bytes]:
        spec = {"engine": code.name, **code.crystal, **code.converged, **MESH}
        codec.save_record(tmp_path / "structure.h5", long_one())
        arguments = json.dumps([spec, str(tmp_path / "1"), code.launcher])
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", WORKER, arguments, str(tmp_path / "structure.h5")]
        with (tmp_path / "said").open("wb") as said:
            process = subprocess.Popen(command, env=environment, stdout=said)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def at_work(folder: Path) -> bool:
    """Whether the launcher and both ranks are there."""
    return len(ranks_in(folder)) >= 3


@pytest.mark.proves("killed worker")
@every_code
def test_a_killed_worker_leaves_no_rank(
    code: Code, tmp_path: Path, worker: Callable[[Code], subprocess.Popen[bytes]]
) -> None:
    process = worker(code)
    assert wait_for(lambda: at_work(tmp_path / "1"), within_s=60.0)
    process.kill()
    process.wait()
    assert wait_for(lambda: not ranks_in(tmp_path / "1"), within_s=15.0)
    assert not (tmp_path / "1" / "result.h5").exists()


@pytest.mark.proves("crash")
@every_code
def test_a_rank_that_dies_is_a_crash(
    code: Code, tmp_path: Path, worker: Callable[[Code], subprocess.Popen[bytes]]
) -> None:
    process = worker(code)
    assert wait_for(lambda: at_work(tmp_path / "1"), within_s=60.0)
    time.sleep(1.0)
    os.kill(max(ranks_in(tmp_path / "1")), signal.SIGKILL)
    assert process.wait(30.0) == 0
    said = (tmp_path / "said").read_text()
    assert "FailureCause.CRASHED" in said
    assert not ranks_in(tmp_path / "1")


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_remedies_keep_the_level(code: Code) -> None:
    if code.missing:
        pytest.skip(code.missing)
    for options in (code.molecule, {**code.crystal, **MESH}):
        reference = build_reference({"engine": code.name, **options})
        remedies = reference.remedies()
        assert len({remedy.name for remedy in remedies}) == len(remedies) >= 2
        assert all(remedy.reference.level == reference.level for remedy in remedies)

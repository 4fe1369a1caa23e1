"""The papers' runs with VASP, dry: the shipped configs and scripts, shrunk, with the stand-in."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.io import write

from bnnflow.config import RunConfig, load_config
from bnnflow.data import RunData, read_run
from bnnflow.reference import build_reference, read_label
from workflows.configs import find_config, shipped_configs
from workflows.console import guarded

sys.path.insert(0, str(Path(__file__).parents[1] / "standins"))

PRESETS = ("cazrs3-vasp", "choline-chloride-vasp", "ethanol-vasp", "lamno3-vasp")


@pytest.fixture(scope="session")
def shrunk(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides that leave a run its physics and take its size: a random model, few steps.

    At this confidence the fixed energy noise alone is too much, so that every step is labelled.
    """
    from tiny_mace import build
    from vasp_library import PROGRAM, library

    from bnnflow.potentials.mace_files import save_mace

    folder = tmp_path_factory.mktemp("shrunk")
    model = folder / "tiny.safetensors"
    elements = (1, 6, 7, 8, 16, 17, 20, 25, 27, 40, 57)
    save_mace(build("8x0e", dtype=torch.float32, elements=elements), model)
    return [
        f"potential.model={model}",
        "sampler.chains=2",
        "sampler.steps=4",
        "threshold.confidence=0.9999",
        "dynamics.checkpoint_every_steps=2",
        f"reference.options.program={PROGRAM}",
        f"reference.options.potcar_folder={library(folder)}",
        "reference.free_disk_GB=0.1",
    ]


@pytest.fixture
def script(
    monkeypatch: pytest.MonkeyPatch, shrunk: list[str], tmp_path: Path
) -> Callable[..., RunData]:
    """Run a script inline in a folder of this test, and read a run that it leaves."""

    def call(main: Callable[[], None], *arguments: str, run: str = ".") -> RunData:
        command = ["script", "--inline", "--folder", str(tmp_path / "run"), *arguments]
        monkeypatch.setattr("sys.argv", [*command, *shrunk])
        assert guarded(main) == 0
        return read_run(tmp_path / "run" / run)

    return call


def loaded(name: str) -> RunConfig:
    return load_config(find_config(name))


def test_presets_ship_and_load() -> None:
    assert set(PRESETS) <= set(shipped_configs())
    for name in PRESETS:
        config = loaded(name)
        assert config.material.name == name
        assert config.reference.engine == "vasp"
        assert config.schedule().name == "published"
        build_reference(config.reference.spec())


def test_levels_of_theory_are_those_of_the_papers() -> None:
    """METHOD 9: cutoff, functional, U, mesh; EDIFF 1e-6, 1e-4, 1e-4, 1e-5 eV."""
    levels = {name: build_reference(loaded(name).reference.spec()).level for name in PRESETS}
    for name, parts in {
        "ethanol-vasp": ["B3LYP, 800 eV, Gamma point", "EDIFF 1e-06"],
        "lamno3-vasp": [
            "PBE+U (Mn d: U 3.9",
            "500 eV, 4x4x4 Gamma-centred",
            "EDIFF 0.0001",
            "spin",
        ],
        "cazrs3-vasp": ["PBE, 510 eV, 2x2x2 Gamma-centred k-points", "EDIFF 0.0001"],
        "choline-chloride-vasp": ["PBE+U (Co d: U 5.76", "smearing 0.1 eV", "EDIFF 1e-05"],
    }.items():
        for part in parts:
            assert part in levels[name]
    assert "D3" not in levels["cazrs3-vasp"]


def test_dynamics_are_those_of_the_papers() -> None:
    manganite, sulphide = loaded("lamno3-vasp").dynamics, loaded("cazrs3-vasp").dynamics
    assert manganite.corners == ((0, 300), (25_000, 800), (125_000, 800), (150_000, 300))
    assert manganite.barostat_factor_GPa_fs2 == 160 * 0.1 * 75**2
    assert (sulphide.kind, sulphide.equilibration_ps, sulphide.timestep_fs) == ("verlet", 1.0, 1.5)
    assert loaded("cazrs3-vasp").material.charge == 2
    assert loaded("choline-chloride-vasp").dynamics.thermostat_time_fs == 50


def check_labels(run: RunData, folder: Path, n_steps: int) -> None:
    """A label of the first frame and of every step, all by VASP."""
    assert len(run.trajectory.steps) == n_steps
    assert len(run.labels.name) == n_steps + 1
    for name in run.labels.name:
        label = read_label(folder / "labels" / name)
        assert label is not None
        assert label.details["code"] == "VASP"


def test_ethanol(script: Callable[..., RunData], tmp_path: Path) -> None:
    from workflows.ethanol_vasp import main

    short = ["dynamics.length_ps=0.001", "reference.options.box_A=12"]
    run = script(main, *short)
    check_labels(run, tmp_path / "run", 2)
    label = read_label(tmp_path / "run" / "labels" / "0000")
    assert label is not None
    assert label.details["incar"]["GGA"] == "B3"
    assert label.stress is None
    assert script(main, *short).trajectory.steps.tolist() == run.trajectory.steps.tolist()


def test_bnnflow_run_of_a_molecule_in_a_box(
    shrunk: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the command line, VASP under MPI where there is one."""
    from workflows.cli import main

    launcher = "mpirun --allow-run-as-root --oversubscribe -np 2" if shutil.which("mpirun") else ""
    folder = tmp_path / "run"
    arguments = [
        *("run", "ethanol-vasp", "--inline", "--folder", str(folder)),
        *("material.structure=H2O", "dynamics.length_ps=0.0005", "reference.options.box_A=10"),
        f"reference.launcher={launcher}",
    ]
    monkeypatch.setattr("sys.argv", ["bnnflow", *arguments, *shrunk])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    check_labels(read_run(folder), folder, 1)
    assert (folder / "report.html").is_file()


def test_lanthanum_manganite(script: Callable[..., RunData], tmp_path: Path) -> None:
    from workflows.lamno3_vasp import main

    run = script(main, "dynamics.length_ps=0.001", "reference.options.kpoints=[1,1,1]")
    check_labels(run, tmp_path / "run", 2)
    label = read_label(tmp_path / "run" / "labels" / run.labels.name[-1])
    assert label is not None
    assert label.stress is not None
    assert label.details["incar"]["LDAUU"] == "0 3.9 0"  # La Mn O
    manganese = label.structure.numbers == 25
    np.testing.assert_allclose(label.details["moments_muB"], 4.0 * manganese, atol=1.0)
    assert label.details["restarted_from"] == run.labels.name[-2]
    assert np.ptp(run.trajectory.cells[:, 0, 0]) > 0  # the cell breathes


@pytest.mark.slow
def test_calcium_zirconium_sulphide(script: Callable[..., RunData], tmp_path: Path) -> None:
    from workflows.cazrs3_vasp import main

    run = script(
        main,
        "--productions=1",
        "--production-ps=0.0045",
        "dynamics.length_ps=0.006",
        "dynamics.equilibration_ps=0.003",
        "reference.options.kpoints=[1,1,1]",
        "reference.options.ismear=0",
        run="K5",
    )
    for threshold in ("K15", "K5"):
        check_labels(read_run(tmp_path / "run" / threshold), tmp_path / "run" / threshold, 4)
        assert list((tmp_path / "run" / threshold / "production" / "00").glob("[0-9]*.h5"))
    label = read_label(tmp_path / "run" / "K5" / "labels" / run.labels.name[0])
    assert label is not None
    assert label.details["n_electrons"] == 1280  # as in the published input


def test_choline_chloride_takes_the_users_cell(
    script: Callable[..., RunData], tmp_path: Path
) -> None:
    from workflows.choline_chloride_vasp import main

    atoms = molecule("CH3CH2OH", cell=[9.0, 9.5, 10.0], pbc=True)
    atoms.center()
    write(tmp_path / "cell.extxyz", atoms)
    run = script(main, "--structure", str(tmp_path / "cell.extxyz"), "dynamics.length_ps=0.001")
    check_labels(run, tmp_path / "run", 2)

"""`bnnflow analyse` on runs, production runs and files, through the console script's function."""

from __future__ import annotations

import inspect
import json
import re
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from bnnflow.analysis.motion import Study
from bnnflow.analysis.report import write_report
from workflows import cli
from workflows.analyse import analyse
from workflows.production import produce


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run `bnnflow analyse ARGUMENTS` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["bnnflow", "analyse", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return command


@pytest.fixture
def salt(tmp_path) -> Path:
    """Rock salt that shakes about its places for 120 frames."""
    crystal = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(120):
        frame = crystal.copy()
        frame.positions += rng.normal(scale=0.05, size=(8, 3))
        frames.append(frame)
    write(tmp_path / "salt.extxyz", frames)
    return tmp_path / "salt.extxyz"


def test_a_file_of_another_program(call, salt) -> None:
    code, out, err = call(
        "salt.extxyz", "--timestep-fs", 2, "--bonds", "Na-Cl", "--rdf", "Na-Cl", "--json"
    )
    assert (code, err) == (0, "")
    (found,) = json.loads(out)["trajectories"]
    assert (found["trajectory"], found["frames"], found["frame_fs"]) == ("salt.extxyz", 120, 2.0)
    # transverse vibration lengthens a bond of 2.8 Å by 2 x 0.05^2 / 2.8 on average
    assert found["bonds"]["Na-Cl"]["mean_A"]["value"] == pytest.approx(2.8018, abs=0.002)
    assert found["rdf"]["Na-Cl"]["first_shell_neighbours"] == pytest.approx(6.0, abs=0.01)
    code, out, _ = call("salt.extxyz", "--timestep-fs", 2, "--bonds", "Na-Cl:1", "--every", 2)
    assert code == 0
    assert out.startswith("salt.extxyz: 8 atoms, 60 frames 4 fs apart, 0 to 0.236 ps\n  Na-Cl mean")


def test_a_run_its_production_and_its_report(call, finished, tmp_path) -> None:
    import shutil

    run = Path(shutil.copytree(finished, tmp_path / "run"))
    for seed in (1, 2):
        out = run / f"production-{seed}"
        produce(finished, out=out, length_ps=0.02, seed=seed, inline=True)
    runs = ["run", "run/production-1", "run/production-2"]
    code, out, err = call(*runs, "--bonds", "O-H:2", "--json", "--blocks", 2, "--into", "run")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert [found["frames"] for found in figures["trajectories"]] == [24, 40, 40]
    lengths = [found["bonds"]["O-H"]["mean_A"]["value"] for found in figures["trajectories"]]
    assert figures["together"]["O-H mean length"]["value"] == pytest.approx(np.mean(lengths))
    page = write_report(run).read_text(encoding="utf-8")
    assert '<section id="bonds-O-H">' in page and "means of 3 trajectories" in page
    assert (
        'id="bonds-'
        not in write_report(Path(shutil.copytree(finished, tmp_path / "plain"))).read_text()
    )


def test_labels_of_a_run_are_those_asked_for_along_it(call, finished) -> None:
    """Two hydrogens of a water cannot jump: the command says so in one line."""
    code, out, err = call(finished, "--jumps", "H:O")
    assert (code, out) == (2, "")
    assert "H cannot jump between 1 O atoms" in err and err.count("\n") == 1


def test_options_default_to_those_of_the_study() -> None:
    options = {name: item.default for name, item in inspect.signature(analyse).parameters.items()}
    known = {"margin_A": "margin", "bound_A": "bound", "reach_A": "reach", "fit_ps": "fit_fs"}
    renamed = {known.get(name, name): value for name, value in options.items()}
    for item in fields(Study):
        assert (renamed[item.name] or ()) == (item.default or ()), item.name


def test_the_page_about_it_names_only_options_that_exist(call) -> None:
    page = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text(encoding="utf-8")
    named = set(re.findall(r"--[a-z][A-Za-z-]*", page))
    code, help_, _ = call("--help")
    assert code == 0 and len(named) > 15
    assert [option for option in sorted(named) if option not in help_] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["salt.extxyz"], "nothing to analyse"),
        (["salt.extxyz", "--bonds", "Na-Cl"], "give --timestep-fs"),
        (["salt.extxyz", "--timestep-fs", "1", "--bonds", "Na+Cl"], "'Na+Cl' is not understood"),
        (["salt.extxyz", "--timestep-fs", "1", "--msd", "Mn"], "found no Mn atom"),
        (["nowhere", "--msd", "H"], "nowhere does not exist"),
        (["salt.extxyz", "--msd", "Na", "--into", "."], "holds no run"),
        (["--msd", "H"], "Missing argument"),
    ],
)
def test_bad_input_is_one_line(call, salt, arguments, words) -> None:
    code, out, err = call(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert words in err


def test_a_molecule_in_a_file_is_not_periodic(call, tmp_path) -> None:
    frames = [Atoms("OH", [[0, 0, 0], [0, 0, 0.97 + 0.01 * step]]) for step in range(20)]
    write(tmp_path / "oh.xyz", frames)
    code, out, _ = call("oh.xyz", "--timestep-fs", 1, "--bonds", "O-H:1", "--json")
    assert code == 0
    length = json.loads(out)["trajectories"][0]["bonds"]["O-H"]["mean_A"]["value"]
    assert length == pytest.approx(0.97 + 0.01 * 9.5)

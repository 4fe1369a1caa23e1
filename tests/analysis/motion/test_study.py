"""What is asked for on the command line, and the trajectories it is asked of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write

from bnnflow.analysis.motion import read_source
from bnnflow.analysis.motion import study as asked
from bnnflow.analysis.run import load
from bnnflow.errors import ConfigError, RunFolderError, StructureError


def test_requests_are_understood() -> None:
    assert asked.parse_bonds("Mn-O") == asked.Bond("Mn", "O", 6)
    assert asked.parse_bonds("Zr-S:8") == asked.Bond("Zr", "S", 8)
    assert asked.parse_angle("O-Mn-O:2.6") == asked.Angle(("O", "Mn", "O"), 2.6)
    assert asked.parse_jump("H:S") == ("H", "S")
    assert asked.parse_pair("Cl-H") == ("Cl", "H")
    assert (asked.parse_species("H"), asked.parse_species("all")) == ("H", "all")


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (asked.parse_bonds, "Mn"),
        (asked.parse_bonds, "Mn-Ox"),
        (asked.parse_bonds, "Mn-O:six"),
        (asked.parse_bonds, "Mn-O:0"),
        (asked.parse_angle, "O-Mn-O"),
        (asked.parse_angle, "O-Mn:2.6"),
        (asked.parse_angle, "O-Mn-O:inf"),
        (asked.parse_jump, "H-S"),
        (asked.parse_pair, "H:S"),
        (asked.parse_species, "proton"),
    ],
)
def test_what_is_not_understood_shows_how_to_write_it(parse, text: str) -> None:
    with pytest.raises(ConfigError, match=f"'{text}' is not understood: write "):
        parse(text)


def test_neighbours_are_whole() -> None:
    with pytest.raises(ConfigError, match="write a whole number"):
        asked.parse_bonds("Mn-O:2.5")


def test_a_study_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to analyse: ask for --bonds"):
        asked.Study()


def test_the_same_bonds_twice_are_refused() -> None:
    with pytest.raises(ConfigError, match="asked for twice"):
        asked.Study(bonds=(asked.Bond("Mn", "O", 6), asked.Bond("Mn", "O", 4)))


def test_a_run_gives_its_steps_and_the_labels_that_were_asked_for(make_run) -> None:
    folder = make_run()
    source = read_source(folder)
    table = load(folder).data.trajectory
    assert np.array_equal(source.motion.positions, table.positions)
    assert np.array_equal(source.times, table.time_fs)
    assert source.labels is not None
    assert source.labels.tolist() == [30.0, 60.0, 90.0, 120.0]  # not the first frame
    assert source.motion.timestep == 0.5
    assert not source.motion.pbc.any()


def test_thinning_keeps_the_times_at_which_labels_could_be_asked_for(make_run) -> None:
    source = read_source(make_run(), first_ps=0.05, last_ps=0.1, every=7)
    assert source.motion.timestep == 3.5
    assert source.motion.times[0] == source.times[0] == 50.0
    assert (len(source.times), source.times[-1]) == (101, 100.0)


def test_a_run_without_steps_is_refused(make_run) -> None:
    with pytest.raises(StructureError, match="found 0 frames"):
        read_source(make_run(labels=0, stretch=0))


@pytest.mark.parametrize("name", ["water.extxyz", "water.traj"])
def test_a_file_needs_the_time_between_its_frames(tmp_path: Path, name: str) -> None:
    frames = [molecule("H2O") for _ in range(4)]
    for step, frame in enumerate(frames):
        frame.positions += 0.1 * step
    write(tmp_path / name, frames)
    source = read_source(tmp_path / name, timestep_fs=2.0, every=2)
    assert source.motion.times.tolist() == [0.0, 4.0]
    assert source.motion.positions[1] == pytest.approx(frames[2].positions)
    assert source.labels is None
    with pytest.raises(ConfigError, match="give --timestep-fs"):
        read_source(tmp_path / name)


def test_what_is_no_trajectory_is_refused_in_one_line(tmp_path: Path, make_run) -> None:
    (tmp_path / "notes.txt").write_text("not a trajectory\n")
    write(tmp_path / "mixed.extxyz", [molecule("H2O"), molecule("H2")])
    (tmp_path / "empty").mkdir()
    for name, kind, words in [
        ("notes.txt", StructureError, "is no trajectory that ASE reads"),
        ("mixed.extxyz", StructureError, "frames of different atoms"),
        ("nowhere.xyz", ConfigError, "does not exist"),
        ("empty", RunFolderError, "holds neither a run nor production MD"),
    ]:
        timestep = None if name == "empty" else 1.0
        with pytest.raises(kind, match=words):
            read_source(tmp_path / name, timestep_fs=timestep)
    with pytest.raises(ConfigError, match="knows its time step"):
        read_source(make_run(), timestep_fs=1.0)

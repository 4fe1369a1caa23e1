"""Frames and labels: reproducible, one folder each, and a second call makes only what is missing.

GFN2-xTB stands in for B3LYP, which takes seconds per label.
"""

from __future__ import annotations

import shutil
from argparse import Namespace

import heldout
import numpy as np
import pytest
from heldout_study import labels as study_labels
from heldout_study.frames import frames
from heldout_study.labels import collect, label_all, load

from bnnflow.errors import ConfigError, FaultError, RunFolderError
from bnnflow.training.frames import Plan

GFN2 = {"engine": "tblite"}
SHORT = Plan(timestep_fs=0.5, spacing_fs=2.0, equilibration_fs=2.0, friction_per_fs=0.01)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heldout_study.frames.PLAN", SHORT)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    """A folder with 4 training and 2 test labels, to be copied."""
    folder = tmp_path_factory.mktemp("heldout") / "work"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("heldout_study.frames.PLAN", SHORT)
        found = frames(folder, train=4, test=2)
    list(label_all(folder, found, procs=1, reference=GFN2))
    return folder


@pytest.fixture
def made(tmp_path, finished):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return frames(tmp_path, train=4, test=2)


def test_the_same_frames_come_back(tmp_path, short) -> None:
    first = frames(tmp_path, train=3, test=2)
    again = frames(tmp_path, train=3, test=2)
    other = frames(tmp_path / "other", train=3, test=2)
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one.positions, two.positions)
        np.testing.assert_array_equal(one.positions, three.positions)
    assert [(f.info["set"], f.info["index"]) for f in first] == [
        ("train", 0), ("train", 1), ("train", 2), ("test", 0), ("test", 1),
    ]  # fmt: skip
    apart = [
        np.abs(a.positions - b.positions).max() for a, b in zip(first, first[1:], strict=False)
    ]
    assert min(apart) > 1e-3


def test_labels_are_those_of_the_reference(tmp_path, made) -> None:
    from bnnflow.training.frames import gfn2

    found = [*load(tmp_path, "train"), *load(tmp_path, "test")]
    assert len(found) == 6
    for one, frame in zip(found, made, strict=True):
        atoms = frame.copy()
        atoms.calc = gfn2()
        assert one.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(one.forces, atoms.get_forces(), atol=1e-5)


def test_a_second_call_makes_only_what_is_missing(tmp_path, made) -> None:
    before = (tmp_path / study_labels.LABELS_FILE).read_text()
    assert list(label_all(tmp_path, made, procs=1, reference=GFN2)) == []
    shutil.rmtree(tmp_path / "labels" / "train-002")
    again = list(label_all(tmp_path, made, procs=1, reference=GFN2))
    assert [frame.info["index"] for frame in again] == [2]
    assert (tmp_path / study_labels.LABELS_FILE).read_text() == before


def test_labels_after_a_gap_wait(tmp_path, made) -> None:
    shutil.rmtree(tmp_path / "labels" / "train-002")
    collect(tmp_path, made)
    assert len(load(tmp_path, "train")) == 2
    assert len(load(tmp_path, "test")) == 2


def test_a_label_that_failed_stops_with_its_reason(tmp_path, short) -> None:
    found = frames(tmp_path, train=1, test=1)
    with pytest.raises(FaultError, match="train frame 0 has no label"):
        list(label_all(tmp_path, found, procs=1, reference={"engine": "tblite", "method": "no"}))


def test_no_labels_at_all_say_what_to_do(tmp_path) -> None:
    with pytest.raises(RunFolderError, match=r"make it with `heldout\.py label"):
        load(tmp_path, "train")


def test_the_first_seed_keeps_the_order_and_others_shuffle_it(tmp_path, made) -> None:
    def energies(seed: int, most: int = 4) -> list[float]:
        options = Namespace(work=tmp_path, train=4, seed=seed)
        return [label.energy for label in heldout.training(options, most)]

    assert energies(0) == [label.energy for label in load(tmp_path, "train")]
    assert sorted(energies(1)) == sorted(energies(0))
    assert len({tuple(energies(seed)) for seed in range(6)}) > 3
    with pytest.raises(ConfigError, match="4 training labels are there, expected 5"):
        energies(0, 5)


def test_numbers_of_labels_are_read_as_ranges() -> None:
    assert heldout.counts_of("7") == [7]
    assert heldout.counts_of("3-6") == [3, 4, 5, 6]
    for wrong in ("0", "x", "3-", "3-x", ""):
        with pytest.raises(ConfigError, match="--frames"):
            heldout.counts_of(wrong)

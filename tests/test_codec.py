"""Records to HDF5 and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from bnnflow.codec import load_record, publish, save_record
from bnnflow.errors import RunFolderError
from bnnflow.records import (
    Asked,
    Calibration,
    Checkpoint,
    Commit,
    Decision,
    EnsembleRef,
    Estimates,
    Failed,
    Failure,
    FailureCause,
    ForceVerdict,
    Label,
    LoopState,
    Phase,
    Prediction,
    Reason,
    Spent,
    Structure,
)

ODD = np.array([0.1, -0.0, 1e-310, np.nextafter(1.0, 2.0), np.inf, -np.inf, np.nan])
"""Numbers that a text format loses."""


def structure() -> Structure:
    """Three atoms in a periodic cell."""
    positions = np.random.default_rng(0).normal(size=(3, 3))
    return Structure(
        np.array([8, 1, 1]), positions, np.eye(3), np.array([True, False, True]), -1, 2
    )


def checkpoint(rng: np.random.Generator) -> Checkpoint:
    """A walker with this noise stream."""
    integrator = {"eta": ODD, "half": {"on": True, "name": "npt"}, "corners": ((0.0, 1), ())}
    velocities = np.ones((3, 3)) / 3
    return Checkpoint(5, structure(), velocities, None, integrator, rng.bit_generator.state)


def round_trip(path: Path, record: object) -> object:
    """What comes back of a record."""
    save_record(path / "record.h5", record)
    return load_record(path / "record.h5", type(record))


def test_arrays_keep_every_bit_and_their_type(tmp_path: Path) -> None:
    found = round_trip(tmp_path, replace(checkpoint(np.random.default_rng(1)), velocities=ODD))
    assert isinstance(found, Checkpoint)
    assert found.velocities.tobytes() == ODD.tobytes()
    assert found.structure.numbers.dtype == np.int64
    assert found.structure.pbc.tolist() == [True, False, True]
    assert (found.structure.charge, found.structure.multiplicity) == (-1, 2)
    assert found.forcing is None


def test_arrays_and_tuples_inside_mappings(tmp_path: Path) -> None:
    found = round_trip(tmp_path, checkpoint(np.random.default_rng(1)))
    assert isinstance(found, Checkpoint)
    assert found.integrator["eta"].tobytes() == ODD.tobytes()
    assert found.integrator["half"] == {"on": True, "name": "npt"}
    assert found.integrator["corners"] == ((0.0, 1), ())


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_noise_stream_goes_on(tmp_path: Path, kind: str) -> None:
    rng = np.random.Generator(getattr(np.random, kind)(3))
    rng.normal(size=7)
    found = round_trip(tmp_path, checkpoint(rng))
    assert isinstance(found, Checkpoint)
    again = np.random.Generator(getattr(np.random, kind)())
    again.bit_generator.state = dict(found.rng)
    assert np.array_equal(again.normal(size=1000), rng.normal(size=1000))


def test_events_of_several_kinds_keep_order_and_class(tmp_path: Path) -> None:
    decision = Decision(1, 0.5, np.nan, 0.2, 0.9, True, Reason.NON_FINITE_PROBABILITY)
    events = (Spent("md", 0.0, 1.0), Asked(decision), Spent("idle", 1.0, 0.5)) * 5
    rng = np.random.default_rng(1)
    state = LoopState(
        Phase.LABEL,
        checkpoint(rng),
        Calibration(1.5, 10.0),
        labels=("0000", "0002"),
        ensemble=EnsembleRef("ensemble/v0001", 1, 8),
    )
    found = round_trip(tmp_path, Commit(state, events))
    assert isinstance(found, Commit)
    assert [type(event) for event in found.events] == [type(event) for event in events]
    assert found.events[0] == events[0]
    assert isinstance(found.events[1], Asked)
    assert found.events[1].decision.reason is Reason.NON_FINITE_PROBABILITY
    assert found.state.phase is Phase.LABEL
    assert found.state.labels == ("0000", "0002")
    assert found.state.ensemble == state.ensemble
    assert found.state.calibration == state.calibration


def test_no_events(tmp_path: Path) -> None:
    state = LoopState(Phase.DONE, checkpoint(np.random.default_rng(1)), Calibration(1.5, 10.0))
    found = round_trip(tmp_path, Commit(state, ()))
    assert isinstance(found, Commit)
    assert found.events == () and found.state.labels == ()


def test_records_written_before_a_field_existed_have_its_default(tmp_path: Path) -> None:
    """As in run folders older than moving averages, audits and the force criterion."""
    state = LoopState(
        Phase.DONE, checkpoint(np.random.default_rng(1)), Calibration(1.5, 10.0, 3, 2.0)
    )
    save_record(tmp_path / "record.h5", state)
    with h5py.File(tmp_path / "record.h5", "r+") as file:
        del file["estimates"]
        del file["calibration"].attrs["decay"]
    found = load_record(tmp_path / "record.h5", LoopState)
    assert found.calibration == state.calibration
    assert (found.reason, found.estimates) == (None, Estimates())


def test_estimates_and_verdicts_come_back_equal(tmp_path: Path) -> None:
    moving = Calibration(1.5, 10.0, 1.75, 3.25, decay=0.5)
    verdict = ForceVerdict(2, 0.1, 0.2, 0.97)
    decision = Decision(1, 0.5, 0.1, 0.2, 0.9, True, Reason.UNCERTAIN_FORCES, verdict)
    for estimates in (Estimates(), Estimates(moving), Estimates(moving, (moving,) * 2, (moving,))):
        assert round_trip(tmp_path, estimates) == estimates
    assert round_trip(tmp_path, Asked(decision)) == Asked(decision)


@pytest.mark.parametrize("length", [0, 1, 32768, 70000, 1_000_000])
def test_text_of_any_length(tmp_path: Path, length: int) -> None:
    failure = Failure("label", FailureCause.CRASHED, "å\n\0", traceback="é" * length)
    assert round_trip(tmp_path, Failed(failure, "retry")) == Failed(failure, "retry")


def test_long_details_of_a_label(tmp_path: Path) -> None:
    details = {"energies": np.linspace(0, 1, 20000), "empty": {}}
    label = Label(structure(), 0.1, np.zeros((3, 3)), None, "PBE", "d", 1.0, "h", details)
    found = round_trip(tmp_path, label)
    assert isinstance(found, Label)
    assert np.array_equal(found.details["energies"], details["energies"])
    assert found.details["empty"] == {} and found.stress is None


def test_another_record_is_refused(tmp_path: Path) -> None:
    save_record(tmp_path / "record.h5", structure())
    with pytest.raises(RunFolderError, match="holds Structure, expected Prediction"):
        load_record(tmp_path / "record.h5", Prediction)


def test_failed_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.h5"
    save_record(path, Calibration(1.5, 10.0))
    details = {"object": object()}
    bad = Label(structure(), 0.1, np.zeros((3, 3)), None, "PBE", "d", 1.0, "h", details)
    with pytest.raises(TypeError, match="expected plain data"):
        save_record(path, bad)
    assert load_record(path, Calibration) == Calibration(1.5, 10.0)


def test_publish_replaces_in_one_step(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "name").write_text("old")
    publish(tmp_path / "new", tmp_path / "name")
    assert (tmp_path / "name").read_text() == "new"
    assert not (tmp_path / "new").exists()


def test_file_is_readable_without_bnnflow(tmp_path: Path) -> None:
    save_record(tmp_path / "record.h5", structure())
    with h5py.File(tmp_path / "record.h5") as file:
        assert file.attrs["record"] == "Structure"
        assert file["numbers"][:].tolist() == [8, 1, 1]

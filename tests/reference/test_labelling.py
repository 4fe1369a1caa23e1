"""One request, one verdict: what is kept, what is refused and what is harvested."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnnflow import codec
from bnnflow.records import Failure, FailureCause, Label, LabelRequest, Structure
from bnnflow.reference import label, read_label
from bnnflow.reference.evidence import LOG

Ask = Callable[..., LabelRequest]


def refused(request: LabelRequest) -> Failure:
    """Label, and insist that it failed, left no number and kept its evidence."""
    outcome = label(request)
    assert isinstance(outcome, Failure)
    assert outcome.task == "label"
    assert "\n" not in outcome.message
    assert outcome.host
    assert read_label(Path(request.directory)) is None
    kept = codec.load_record(Path(request.directory) / "failure.h5", Failure)
    assert kept == outcome
    return outcome


@pytest.mark.parametrize(
    ("name", "cause", "message"),
    [
        ("Raises", FailureCause.CRASHED, "the disk is on fire"),
        ("Exits", FailureCause.CRASHED, "exit code 3"),
        ("Killed", FailureCause.CRASHED, "signal 9"),
    ],
)
@pytest.mark.proves("crash", code="ase")
def test_a_crash_in_its_own_process_is_a_failure(
    name: str, cause: FailureCause, message: str, bad: str, water: Structure, ask: Ask
) -> None:
    failure = refused(ask(water, engine="ase", calculator=f"{bad}.{name}"))
    assert failure.cause is cause
    assert message in failure.message
    assert (Path(failure.directory) / "input.h5").is_file()
    assert (Path(failure.directory) / LOG).is_file()


@pytest.mark.parametrize(
    ("name", "cause", "message"),
    [
        ("Raises", FailureCause.CRASHED, "RuntimeError: the disk is on fire"),
        ("Moves", FailureCause.WRONG_GEOMETRY, "0.0001 Å"),
        ("Sorts", FailureCause.WRONG_GEOMETRY, "order"),
        ("Nan", FailureCause.NON_FINITE, "finite"),
        ("Unconverged", FailureCause.NOT_CONVERGED, "converge"),
        ("RaisesSCF", FailureCause.NOT_CONVERGED, "converge"),
    ],
)
@pytest.mark.proves("not converged", code="ase")
def test_a_bad_result_is_a_failure(
    name: str, cause: FailureCause, message: str, bad: str, water: Structure, ask: Ask
) -> None:
    request = ask(water, engine="ase", calculator=f"{bad}.{name}", isolated=False)
    failure = refused(request)
    assert failure.cause is cause
    assert message in failure.message


def test_a_traceback_is_kept(bad: str, water: Structure, ask: Ask) -> None:
    failure = refused(ask(water, engine="ase", calculator=f"{bad}.Raises", isolated=False))
    assert "bad_calculators.py" in failure.traceback


def test_infinite_stress_is_a_failure(bad: str, water: Structure, ask: Ask) -> None:
    crystal = replace(water, cell=8.0 * np.eye(3), pbc=np.ones(3, dtype=bool))
    failure = refused(ask(crystal, engine="ase", calculator=f"{bad}.NanStress", isolated=False))
    assert failure.cause is FailureCause.NON_FINITE


def alive(process_id: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(process_id: int, *, within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while alive(process_id) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(process_id)


@pytest.mark.proves("time limit", code="ase")
def test_the_time_limit_kills_the_whole_group(bad: str, water: Structure, ask: Ask) -> None:
    failure = refused(ask(water, engine="ase", calculator=f"{bad}.Hangs", timeout_s=4.0))
    assert failure.cause is FailureCause.TIMED_OUT
    assert 4.0 <= failure.seconds < 15.0
    assert gone(int((Path(failure.directory) / "child.pid").read_text()))


CALLER = """
import signal
import sys
from pathlib import Path
from bnnflow.reference.process import run_command
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored when started with &
sleeper = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
run_command(sleeper, Path("."), timeout_s=60.0, log=Path("log"))
"""


@pytest.mark.proves("killed worker", code="ase")
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_a_calculation_dies_with_its_caller(blow: signal.Signals, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER],
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 20.0
    while not (tmp_path / "log").is_file() or not (tmp_path / "log").read_text().endswith("\n"):
        assert time.monotonic() < end
        time.sleep(0.05)
    caller.send_signal(blow)
    caller.wait(10.0)
    assert gone(int((tmp_path / "log").read_text()))


def test_a_finished_label_is_harvested_not_recomputed(bad: str, water: Structure, ask: Ask) -> None:
    first = label(ask(water, engine="tblite"))
    assert isinstance(first, Label)
    again = label(ask(water, engine="tblite"))
    assert isinstance(again, Label)
    assert len(list(Path(first.directory).glob("attempt-*"))) == 1
    assert again.energy == first.energy
    assert again.level == first.level
    np.testing.assert_array_equal(again.forces, first.forces)
    np.testing.assert_array_equal(again.structure.positions, water.positions)
    harvested = read_label(Path(first.directory))
    assert harvested is not None
    assert (harvested.energy, harvested.seconds, harvested.host) == (
        first.energy,
        first.seconds,
        first.host,
    )


@pytest.mark.parametrize("change", ["positions", "charge", "multiplicity"])
def test_a_finished_label_of_another_structure_is_not_taken(
    change: str, water: Structure, ask: Ask
) -> None:
    first = label(ask(water, engine="tblite"))
    others = {
        "positions": replace(water, positions=water.positions * 1.01),
        "charge": replace(water, charge=2),
        "multiplicity": replace(water, multiplicity=3),
    }
    second = label(ask(others[change], engine="tblite"))
    assert isinstance(first, Label)
    assert isinstance(second, Label)
    assert abs(second.energy - first.energy) > 1e-4
    aside = codec.load_record(Path(first.directory) / "replaced.h5", Label)
    assert aside.energy == first.energy


def test_an_interrupted_folder_is_done_again(water: Structure, ask: Ask) -> None:
    request = ask(water, engine="tblite")
    interrupted = Path(request.directory) / "attempt-01"
    interrupted.mkdir(parents=True)
    (interrupted / "output.h5").write_bytes(b"half a fi")
    assert read_label(Path(request.directory)) is None
    outcome = label(request)
    assert isinstance(outcome, Label)
    assert (interrupted / "output.h5").read_bytes() == b"half a fi"


def test_a_damaged_result_is_no_label(water: Structure, ask: Ask) -> None:
    request = ask(water, engine="tblite")
    assert isinstance(label(request), Label)
    result = Path(request.directory) / "result.h5"
    result.write_bytes(result.read_bytes()[:500])
    assert read_label(Path(request.directory)) is None
    assert isinstance(label(request), Label)


def test_a_failure_never_blocks_another_attempt(bad: str, water: Structure, ask: Ask) -> None:
    failure = refused(ask(water, engine="ase", calculator=f"{bad}.Raises", isolated=False))
    outcome = label(ask(water, engine="tblite"))
    assert isinstance(outcome, Label)
    assert not (Path(outcome.directory) / "failure.h5").exists()
    assert (Path(failure.directory) / "input.h5").is_file()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"engine": "tblight"}, "did you mean tblite?"),
        ({"engine": "pyscf", "basis": "def2-NOSUCH"}, "def2-NOSUCH"),
        ({"engine": "ase", "calculator": "ase.calculators.emt.EMTT"}, "EMTT"),
    ],
)
def test_a_request_that_makes_no_sense_is_a_failure(
    spec: dict[str, str], message: str, water: Structure, ask: Ask
) -> None:
    failure = refused(ask(water, **spec))
    assert failure.cause is FailureCause.BAD_INPUT
    assert message in failure.message


def test_an_odd_electron_count_is_bad_input(water: Structure, ask: Ask) -> None:
    failure = refused(ask(replace(water, charge=1), engine="pyscf"))
    assert failure.cause is FailureCause.BAD_INPUT
    assert "9 electrons" in failure.message


def test_a_folder_that_cannot_be_made_is_a_failure(tmp_path: Path, water: Structure) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = label(LabelRequest({"engine": "tblite"}, water, str(tmp_path / "file" / "1")))
    assert isinstance(outcome, Failure)
    assert outcome.cause is FailureCause.CRASHED


def test_a_label_of_another_reference_is_not_taken_for_this_one(water: Structure, ask: Ask) -> None:
    second = label(ask(water, engine="tblite", method="GFN2-xTB"))
    first = label(ask(water, engine="tblite", method="GFN1-xTB"))
    assert isinstance(first, Label)
    assert isinstance(second, Label)
    assert abs(first.energy - second.energy) > 1.0
    tighter = label(ask(water, engine="tblite", method="GFN1-xTB", accuracy=0.01))
    assert isinstance(tighter, Label)
    assert len(list(Path(tighter.directory).glob("attempt-*"))) == 3

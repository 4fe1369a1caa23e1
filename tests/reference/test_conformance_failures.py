"""What must become of calculations that fail, for every electronic-structure code.

Real ones: the code runs under its launcher and is stopped, killed or given what it cannot do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ase.build import bulk
from codes import CODES, MESH, Code, bad, every_code, reference_of, silylene

from bnnflow import codec
from bnnflow.records import Failure, FailureCause, Handling, Label, LabelRequest, Structure
from bnnflow.reference import build_reference, label

Run = Callable[..., Label | Failure]
Start = Callable[[Code], subprocess.Popen[bytes]]


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
def worker(tmp_path: Path) -> Iterator[Start]:
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
def test_a_killed_worker_leaves_no_rank(code: Code, tmp_path: Path, worker: Start) -> None:
    process = worker(code)
    assert wait_for(lambda: at_work(tmp_path / "1"), within_s=60.0)
    process.kill()
    process.wait()
    assert wait_for(lambda: not ranks_in(tmp_path / "1"), within_s=15.0)
    assert not (tmp_path / "1" / "result.h5").exists()


@pytest.mark.proves("crash")
@every_code
def test_a_rank_that_dies_is_a_crash(code: Code, tmp_path: Path, worker: Start) -> None:
    process = worker(code)
    assert wait_for(lambda: at_work(tmp_path / "1"), within_s=60.0)
    time.sleep(1.0)
    os.kill(max(ranks_in(tmp_path / "1")), signal.SIGKILL)
    assert process.wait(30.0) == 0
    said = (tmp_path / "said").read_text()
    assert "FailureCause.CRASHED" in said
    assert not ranks_in(tmp_path / "1")


@pytest.mark.proves("remedies")
@pytest.mark.parametrize("code", CODES, ids=str)
def test_remedies_keep_the_level(code: Code) -> None:
    if code.missing:
        pytest.skip(code.missing)
    for options in (code.molecule, {**code.crystal, **MESH}):
        reference = build_reference({"engine": code.name, **options})
        remedies = reference.remedies()
        assert len({remedy.name for remedy in remedies}) == len(remedies) >= 2
        assert all(remedy.reference.level == reference.level for remedy in remedies)

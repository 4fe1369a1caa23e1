"""Labels that go wrong: no convergence, a hang, another geometry, a full disk, a killed process."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bnnflow.data import is_run, read_run
from fault_study.reference import plan
from fault_study.study import Study, Tally, finish

HANG_TIMEOUT_S = 8.0
DISK = "size=6m"


def not_converged(study: Study, rng: random.Random) -> Tally:
    """The self-consistent field of a random label does not converge."""
    return _gone_wrong(study, rng, "not_converged")


def other_geometry(study: Study, rng: random.Random) -> Tally:
    """A random label is calculated for a geometry 0.01 Å away, and comes back as that."""
    return _gone_wrong(study, rng, "other_geometry", isolated=True)


def hang(study: Study, rng: random.Random) -> Tally:
    """A random label never ends by itself."""
    return _gone_wrong(study, rng, "hang", isolated=True, timeout_s=HANG_TIMEOUT_S)


def _gone_wrong(
    study: Study, rng: random.Random, fault: str, *, isolated: bool = False, timeout_s: float = 600
) -> Tally:
    config = study.config(isolated=isolated, reference={"timeout_s": timeout_s})
    with study.try_folder() as run:
        plan(study.armed, fault, rng.randrange(3))
        finish(config, run)
        failed = read_run(run).failures.cause if is_run(run) else ()
        return study.judge(run, idle=int(not failed))


def full_disk(study: Study, rng: random.Random) -> Tally:
    """A random label fills the disk that holds the run; once the run stops, room is made."""
    config = study.config(isolated=True)
    with study.try_folder() as run, _disk(run):
        plan(study.armed, "full_disk", rng.randrange(3))
        folder = run / "run"
        with suppress(Exception):
            finish(config, folder)
        filled = list(folder.glob("labels/*/attempt-*/scratch"))
        for path in filled:
            path.unlink()
        finish(config, folder)
        return study.judge(folder, idle=int(not filled))


def can_mount(folder: Path) -> bool:
    """Whether this process may have a disk of its own."""
    try:
        with _disk(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """A small disk of its own; needs root."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def label_process(study: Study, rng: random.Random) -> Tally:
    """SIGKILL of a label's process at a random moment."""
    config = study.config(isolated=True)
    with study.try_folder() as run:
        plan(study.armed)
        ended = threading.Event()
        killed: list[int] = []
        arguments = (run, rng.randrange(3), rng.uniform(0.0, 1.0), ended, killed)
        hunter = threading.Thread(target=_hunt, args=arguments)
        hunter.start()
        finish(config, run)
        ended.set()
        hunter.join()
        return study.judge(run, idle=int(not killed))


def _hunt(run: Path, skip: int, delay_s: float, ended: threading.Event, killed: list[int]) -> None:
    """Kill the process of a label of the run, the one after `skip` others."""
    seen: set[int] = set()
    while not ended.is_set():
        for process in _label_processes(run):
            if len(seen | {process}) > skip:
                time.sleep(delay_s)
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
                    return
            seen.add(process)
        time.sleep(0.02)


def _label_processes(run: Path) -> Iterator[int]:
    words = (b"bnnflow.reference.run_ase", str(run).encode())
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = path.read_bytes()
            if all(word in line for word in words):
                yield int(path.parent.name)

"""Run one external command in a session of its own, with a log, a time limit and no survivors."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bnnflow.errors import ReferenceError

PATIENCE_S = 5.0
"""Seconds that a launcher gets to end its ranks before all is killed."""

_TAIL_LINES = 30


@dataclass(frozen=True)
class Ended:
    """How a command ended. exit_code: None when it was killed at the time limit."""

    exit_code: int | None
    seconds: float

    @property
    def how(self) -> str:
        """In words."""
        if self.exit_code is None:
            return "killed at the time limit"
        if self.exit_code < 0:
            return f"killed by signal {-self.exit_code}"
        return f"ended with exit code {self.exit_code}"


def run_command(
    command: Sequence[str], directory: Path, *, timeout_s: float, log: Path, gently: bool = False
) -> Ended:
    """Run a command inside a directory, stdout and stderr going to `log`.

    timeout_s: seconds until all of its processes are killed; inf waits for ever. The command
    dies with the process that started it, also when that one is killed. gently: it is asked to
    end first, as a launcher must be to end its ranks, on other nodes too.
    Raises ReferenceError when the program does not exist.
    """
    started = time.monotonic()
    with log.open("ab") as stream:
        process = subprocess.Popen(
            bound_to_parent(command, gently=gently),
            cwd=directory,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        exit_code = _wait(process, timeout_s, patience_s=PATIENCE_S if gently else 0.0)
    return Ended(exit_code, time.monotonic() - started)


def bound_to_parent(command: Sequence[str], *, gently: bool = False) -> list[str]:
    """The command, wrapped so that the kernel ends it when its parent dies (Linux)."""
    if shutil.which(command[0]) is None:
        raise ReferenceError(f"program {command[0]} was not found: install it or add it to PATH")
    setpriv = shutil.which("setpriv")
    number = "TERM" if gently else "KILL"
    return [setpriv, "--pdeathsig", number, *command] if setpriv else list(command)


def child_environment() -> dict[str, str]:
    """The environment in which a Python child finds the modules that this process finds."""
    entries = [str(Path(entry).absolute()) for entry in sys.path if entry]
    return os.environ | {"PYTHONPATH": os.pathsep.join(entries)}


def log_tail(log: Path) -> str:
    """The last lines of a log, "" when there is none."""
    if not log.is_file():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])


def _wait(process: subprocess.Popen[bytes], timeout_s: float, *, patience_s: float) -> int | None:
    """Wait for the end; on the time limit, or when we are interrupted, end the whole session."""
    try:
        return process.wait(None if math.isinf(timeout_s) else max(0.0, timeout_s))
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None and patience_s:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
        _kill_session(process.pid)
        process.wait()


def _kill_session(session: int) -> None:
    """Kill every process of a session; launchers give their ranks process groups of their own."""
    while members := _running_members(session):
        for member in members:
            with suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        time.sleep(0.01)


def _running_members(session: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            state, _, _, belongs_to = path.read_text().rpartition(")")[2].split()[:4]
            if int(belongs_to) == session and state not in "ZX":
                found.append(int(path.parent.name))
    return found

"""Child processes of the tests: `run_child.py kill SCENARIO TEMPLATE OUT` and `... write RUN`.

kill: do the scenario in a copy of TEMPLATE once per write point, killed with SIGKILL there; prints
one JSON line [point, folder, signal] each. write: commit until killed, printing each number.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import run_building as building

from bnnflow.data import create_run, open_run

OnWrite = Callable[[str], None]


def create(folder: Path, on_write: OnWrite) -> None:
    """Make a run in a folder."""
    create_run(
        folder,
        config_text=building.CONFIG,
        metadata=building.METADATA,
        state=building.state(0),
        on_write=on_write,
    ).close()


def commit(folder: Path, on_write: OnWrite) -> None:
    """Open a run and add a commit to it."""
    with open_run(folder, on_write=on_write) as store:
        store.commit(building.commit(store.number + 1))


def reopen(folder: Path, on_write: OnWrite) -> None:
    """Open a run, which puts its run.h5 right."""
    open_run(folder, on_write=on_write).close()


def kill(scenario: str, template: Path, out: Path) -> None:
    """Kill a scenario at each of the points that a clean one passes."""
    action = {"create": create, "commit": commit, "reopen": reopen}[scenario]
    points: list[str] = []
    action(_copy(template, out / "clean"), points.append)
    for index, point in enumerate(points):
        folder = _copy(template, out / f"{index:03d}")
        print(json.dumps([point, str(folder), _killed(action, folder, index)]), flush=True)


def write(folder: Path) -> None:
    """Commit for ever; a number is printed when `commit` has returned it."""
    with open_run(folder) as store:
        while True:
            # Lines of 64 bytes: a pipe that nobody empties soon stops the writer.
            print(f"{store.commit(building.commit(store.number + 1)):<63}", flush=True)


def _copy(template: Path, folder: Path) -> Path:
    return Path(shutil.copytree(template, folder))


def _killed(action: Callable[[Path, OnWrite], None], folder: Path, index: int) -> int:
    child = os.fork()
    if child:
        return os.WTERMSIG(os.waitpid(child, 0)[1])
    passed = count()

    def on_write(_point: str) -> None:
        if next(passed) == index:
            os.kill(os.getpid(), signal.SIGKILL)

    action(folder, on_write)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        kill(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        write(Path(sys.argv[2]))

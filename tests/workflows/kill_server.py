"""A parent whose forks go on with runs and are killed: `kill_server.py MODEL LENGTH_PS [cold]`.

Reads one JSON object per line: {"folder": F, "kill_at": K or null, "kill_after_s": T or null}. A
fork starts the run in F, or resumes it; it kills itself at its K-th write point, or is killed with
its process group after T seconds. Prints {"signal": S, "code": C, "points": [names passed]}.
The parent warms up with a run of its own, which saves time; `cold` forks are as new as a process
that a worker starts in.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "data"), str(HERE.parents[1])]

import torch  # noqa: E402
from tiny_runs import settings  # noqa: E402

from bnnflow import codec  # noqa: E402
from bnnflow.config import RunConfig  # noqa: E402
from bnnflow.data import is_run  # noqa: E402
from workflows import session  # noqa: E402

sampling = import_module("bnnflow.training.sample")  # the package has a function of this name
OnWrite = Callable[[str], None]


def go_on(config: RunConfig, folder: Path) -> None:
    """Start a run, or resume it."""
    with contextlib.redirect_stdout(io.StringIO()):
        if is_run(folder):
            session.resume([folder], inline=True)
        else:
            session.fine_tune([config], folders=[folder], inline=True)


def watch(on_write: OnWrite) -> None:
    """Announce what the coordinator writes, and files of labels and ensemble members as well."""
    session.create_run = partial(session.create_run, on_write=on_write)  # type: ignore[assignment]
    session.open_run = partial(session.open_run, on_write=on_write)  # type: ignore[assignment]
    codec.publish = announced("label.publish", codec.publish, on_write)
    sampling.save_member = announced("member.save", sampling.save_member, on_write)


def announced(name: str, write: Callable[..., None], on_write: OnWrite) -> Callable[..., None]:
    """The same write between two announcements."""

    def announce(*arguments: Any, **keywords: Any) -> None:
        on_write(f"{name}:before")
        write(*arguments, **keywords)
        on_write(f"{name}:after")

    return announce


def child(config: RunConfig, order: dict[str, Any], passed: int) -> None:
    """In the fork: go on until done or killed; write point names go to the pipe `passed`."""
    os.setsid()
    count = 0

    def on_write(point: str) -> None:
        nonlocal count
        os.write(passed, f"{point}\n".encode())
        if count == order["kill_at"]:
            os.killpg(0, signal.SIGKILL)
        count += 1

    try:
        watch(on_write)
        go_on(config, Path(order["folder"]))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def serve(config: RunConfig, order: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait, and say how it ended."""
    with tempfile.TemporaryFile() as passed:
        process = os.fork()
        if process == 0:
            child(config, order, passed.fileno())
        if order["kill_after_s"] is not None:
            time.sleep(order["kill_after_s"])
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)  # before its group exists, or after it is gone
                os.killpg(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
        passed.seek(0)
        points = passed.read().decode().splitlines()
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    return {"signal": os.WTERMSIG(status), "code": code, "points": points}


def main(model: Path, length_ps: float, *, warm: bool) -> None:
    """Warm up unless told not to, then serve."""
    torch.set_num_threads(1)
    config = settings(model, dynamics={"length_ps": length_ps})
    if warm:
        with tempfile.TemporaryDirectory() as folder:
            go_on(config, Path(folder) / "warm")
    for line in sys.stdin:
        print(json.dumps(serve(config, json.loads(line))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), warm=sys.argv[3:] != ["cold"])

"""Tasks that say what a node of a pool offers: devices, MPI ranks, the shared folder, its clock."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from executors.blocks.start import LAUNCHER_VARIABLE

_RANK = "import os; print('bnnflow-rank', os.environ.get('SLURMD_NODENAME') or os.uname().nodename)"
LAUNCH_S = 120.0
"""Longest time that starting the ranks may take."""
_SHOWN = 400


@dataclass(frozen=True)
class Ranks:
    """What the launcher started: ranks in all, on which nodes, and its words; output: its last
    words where something is wrong."""

    launcher: str
    ranks: int
    nodes: tuple[str, ...]
    seconds: float
    output: str


def probe_devices(_request: None) -> tuple[str, ...]:
    """Names of the GPUs that torch sees in this worker."""
    import torch

    return tuple(torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count()))


def probe_ranks(_request: None) -> Ranks:
    """Start a tiny program with the launcher of this pool, and count who answers."""
    words = shlex.split(os.path.expandvars(os.environ.get(LAUNCHER_VARIABLE, "")))
    started = time.perf_counter()
    output = _run([*words, sys.executable, "-c", _RANK])
    lines = [line.split() for line in output.splitlines() if "bnnflow-rank" in line]
    return Ranks(
        launcher=shlex.join(words),
        ranks=len(lines),
        nodes=tuple(sorted({line[-1] for line in lines})),
        seconds=round(time.perf_counter() - started, 2),
        output=" ".join(output.split())[-_SHOWN:],
    )


def probe_folder(request: tuple[str, str]) -> str:
    """Read `asked-TOKEN` in a folder, and answer beside it; returns "" or what is wrong.

    request: the folder's path and the token.
    """
    folder, token = Path(request[0]), request[1]
    try:
        found = (folder / f"asked-{token}").read_text(encoding="utf-8")
        (folder / f"answered-{token}").write_text(found, encoding="utf-8")
    except OSError as error:
        return f"{platform.node()}: {error}"
    return ""


def probe_clock(_request: None) -> float:
    """This node's time, s since 1970."""
    return time.time()


def _run(command: list[str]) -> str:
    """What a command prints; how it failed is part of it."""
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LAUNCH_S,
            text=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ended.stdout

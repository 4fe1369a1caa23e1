"""How the workers of a block are started: shell lines before them, and their own command."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD

from executors.pool_config import DftPool, PoolConfig
from executors.provenance import check_one_place

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
LAUNCHER_VARIABLE = "BNNFLOW_LAUNCHER"
"""Holds the words before an MPI code's command; see bnnflow.reference."""
ACCELERATOR_VARIABLE = "BNNFLOW_ACCELERATOR_KIND"
"""Tells a worker whose devices it is pinned to, where they are not NVIDIA's."""

PARSL = "parsl.executors.high_throughput"
PYTHON_OPTIONS = ("-P", "-m")


def block_start(pool: PoolConfig, watch: str = "") -> str:
    """Shell lines before the workers of a pool start: the site's own, then ours.

    Thread counts are set here, before any library that reads them is imported. watch: lines that
    bind a block on this machine to this process.
    """
    modules = [f"module load {shlex.quote(name)}" for name in pool.modules]
    threads = [f"export {name}={pool.threads_per_worker}" for name in THREAD_VARIABLES]
    lines = [*modules, pool.worker_init, *_environment(pool), *threads, *_launcher(pool)]
    if pool.accelerator_kind != "nvidia":
        lines.append(f"export {ACCELERATOR_VARIABLE}={pool.accelerator_kind}")
    return "\n".join([*lines, watch])


def manager_command(pool: PoolConfig, run_dir: Path) -> str:
    """Parsl's own command, by module: no script of that name need be on PATH."""
    start = shlex.join([*_python(pool, run_dir), *PYTHON_OPTIONS, f"{PARSL}.process_worker_pool"])
    # Parsl fills in twice, its sizes and then the block's number
    literal = start.replace("{", "{{{{").replace("}", "}}}}")
    return str(DEFAULT_LAUNCH_CMD).replace("process_worker_pool.py", literal, 1)


def module_path() -> str:
    """PYTHONPATH with which a child finds the modules that this process finds."""
    entries = [Path(entry) for entry in sys.path if entry]
    return os.pathsep.join(str(entry.absolute()) for entry in entries if entry.exists())


def _python(pool: PoolConfig, run_dir: Path) -> Sequence[str]:
    if pool.container is not None:
        box = pool.container
        inside = ["exec", "--bind", str(run_dir), *shlex.split(box.options), box.image]
        return [box.runtime, *inside, box.python]
    if pool.environment:
        return [str(Path(pool.environment) / "bin" / "python")]
    return [sys.executable]


def _environment(pool: PoolConfig) -> list[str]:
    """What makes the workers' Python find bnnflow: this one's modules, or its own."""
    if pool.container is not None:
        return []
    if not pool.environment:
        return [f"export PYTHONPATH={shlex.quote(module_path())}"]
    programs = shlex.quote(str(Path(pool.environment) / "bin"))
    home = check_one_place()
    checkout = (
        [] if "site-packages" in home.parts else [f"export PYTHONPATH={shlex.quote(str(home))}"]
    )
    return [f"export PATH={programs}:$PATH", *checkout]


def _launcher(pool: PoolConfig) -> list[str]:
    """The variable keeps its own $NAMEs: they are for the worker, at each label."""
    mpi = pool.mpi if isinstance(pool, DftPool) else None
    return [f"export {LAUNCHER_VARIABLE}={shlex.quote(mpi.prefix())}"] if mpi else []

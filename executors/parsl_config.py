"""From a site config to Parsl's: three HighThroughputExecutors, one per pool."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.jobs.error_handlers import windowed_error_handler

from executors.base import Pool
from executors.local_blocks import LocalBlocks
from executors.logs import BoundedLogging
from executors.pool_config import PoolConfig
from executors.site import SiteConfig

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_PARSL = "parsl.executors.high_throughput"
_PYTHON = (sys.executable, "-P", "-m")


def parsl_config(site: SiteConfig, *, run_dir: Path, watch: str) -> Config:
    """Parsl's configuration of a site.

    run_dir: where Parsl writes; watch: shell lines that bind a block to this process (`Lifeline`).
    One block per pool: idle blocks stay, with the models they have loaded, and a lost one is
    replaced, until three in a row have failed.
    """
    return Config(
        executors=[_executor(site, pool, watch) for pool in Pool],
        run_dir=str(run_dir),
        initialize_logging=BoundedLogging(),
        strategy="simple",
        strategy_period=0.2,
        usage_tracking=0,
    )


def _executor(site: SiteConfig, pool: Pool, watch: str) -> HighThroughputExecutor:
    config: PoolConfig = getattr(site.pools, pool.value)
    return HighThroughputExecutor(
        label=pool.value,
        address=site.address,
        encrypted=site.encrypted,
        max_workers_per_node=config.workers_per_node,
        cores_per_worker=1e-6,  # never the limit: the site says how many workers there are
        available_accelerators=config.worker_accelerators,
        heartbeat_period=site.heartbeat_period_s,
        heartbeat_threshold=site.heartbeat_threshold_s,
        poll_period=100,  # ms between checks of an idle process; messages wake it at once
        block_error_handler=windowed_error_handler,
        interchange_launch_cmd=_interchange_command(),
        launch_cmd=_manager_command(),
        provider=LocalBlocks(
            init_blocks=1, min_blocks=1, max_blocks=1, worker_init=block_start(config, watch)
        ),
    )


def block_start(config: PoolConfig, watch: str) -> str:
    """Shell lines before the workers of a pool start: the site's own, then ours.

    Thread counts are set here, before any library that reads them is imported.
    """
    threads = [f"export {name}={config.threads_per_worker}" for name in THREAD_VARIABLES]
    path = f"export PYTHONPATH={shlex.quote(_module_path())}"
    return "\n".join([config.worker_init, *threads, path, watch])


def _interchange_command() -> list[str]:
    """In a session of its own, out of reach of Ctrl-C, and ended by the kernel with its parent.

    The parent is the thread that starts it: that thread must live as long as the pools.
    """
    bound = ["setsid", "setpriv", "--pdeathsig", "TERM"]
    return [*bound, "env", f"PYTHONPATH={_module_path()}", *_PYTHON, f"{_PARSL}.interchange"]


def _manager_command() -> str:
    """Parsl's own command, by module: no script of that name need be on PATH."""
    start = shlex.join([*_PYTHON, f"{_PARSL}.process_worker_pool"])
    return str(DEFAULT_LAUNCH_CMD).replace("process_worker_pool.py", start, 1)


def _module_path() -> str:
    """PYTHONPATH with which a child finds the modules that this process finds."""
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)

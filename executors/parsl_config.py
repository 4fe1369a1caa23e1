"""From a site config to Parsl's: one executor per pool."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from parsl.config import Config

from executors.base import Pool
from executors.blocks.addresses import site_address
from executors.blocks.build import scheduler_blocks
from executors.blocks.failing import GiveUpAfterThree
from executors.blocks.local import LocalBlocks
from executors.blocks.scaling import WholeNodes, Workers
from executors.blocks.start import (
    PARSL,
    PYTHON_OPTIONS,
    block_start,
    manager_command,
    module_path,
)
from executors.logs import BoundedLogging
from executors.monitoring import monitoring_hub
from executors.pool_config import DftPool, PoolConfig
from executors.site import SiteConfig

QUICK_S = 0.2
"""How often Parsl looks whether a pool needs blocks."""


def parsl_config(
    site: SiteConfig,
    *,
    run_dir: Path,
    watch: str,
    answered: Callable[[Pool], int],
    on_submit: Callable[[str], None] = lambda _: None,
) -> Config:
    """Parsl's configuration of a site.

    run_dir: where Parsl writes; watch: shell lines that bind a block on this machine to this
    process (`Lifeline`); answered: how many tasks of a pool have come back so far; on_submit: told
    the command that ends each job of a scheduler.

    On this machine a pool has one block: an idle one stays, with the models it has loaded, and a
    lost one is replaced, until three in a row have failed to no avail. A scheduler's blocks come
    with the tasks, and go when they have been idle.
    """
    return Config(
        executors=[
            _executor(site, pool, run_dir, watch, on_submit, partial(answered, pool))
            for pool in Pool
        ],
        run_dir=str(run_dir),
        initialize_logging=BoundedLogging(),
        strategy="htex_auto_scale",
        strategy_period=QUICK_S,
        max_idletime=site.idle_s,
        usage_tracking=0,
        monitoring=monitoring_hub(site.monitoring),
    )


def _executor(
    site: SiteConfig,
    pool: Pool,
    run_dir: Path,
    watch: str,
    on_submit: Callable[[str], None],
    answered: Callable[[], int],
) -> Workers:
    config: PoolConfig = getattr(site.pools, pool.value)
    scheduler = config.scheduler
    common = {
        "label": pool.value,
        "address": site_address(site),
        "encrypted": site.encrypted,
        "heartbeat_period": site.heartbeat_period_s,
        "heartbeat_threshold": site.heartbeat_threshold_s,
        "poll_period": 100,  # ms between checks of an idle process; messages wake it at once
        "block_error_handler": GiveUpAfterThree(answered),
        "launch_cmd": manager_command(config, run_dir),
        "drain_period": scheduler.drain_s if scheduler else None,
        "provider": _provider(config, watch, on_submit),
    }
    executor = _by_placement(config, common)
    executor.remote_monitoring_radio = None  # its router process would outlive this one
    executor.interchange_launch_cmd = _interchange_command()
    return executor


def _by_placement(config: PoolConfig, common: dict[str, Any]) -> Workers:
    """Whole nodes for each label, or workers of a size."""
    if isinstance(config, DftPool) and config.mpi is not None and config.whole_nodes:
        known = config.mpi.launcher if config.mpi.launcher in ("srun", "aprun") else "mpiexec"
        many = config.workers_per_node
        return WholeNodes(max_workers_per_block=many, mpi_launcher=known, **common)
    return Workers(
        max_workers_per_node=config.workers_per_node,
        cores_per_worker=1e-6,  # never the limit: the site says how many workers there are
        available_accelerators=config.worker_accelerators,
        **common,
    )


def _provider(config: PoolConfig, watch: str, on_submit: Callable[[str], None]) -> Any:
    if config.scheduler is not None:
        start = block_start(config)
        return scheduler_blocks(config, config.scheduler, start=start, on_submit=on_submit)
    start = block_start(config, watch)
    return LocalBlocks(init_blocks=1, min_blocks=1, max_blocks=1, worker_init=start)


def _interchange_command() -> list[str]:
    """In a session of its own, out of reach of Ctrl-C, and ended by the kernel with its parent.

    The parent is the thread that starts it: that thread must live as long as the pools.
    """
    bound = ["setsid", "setpriv", "--pdeathsig", "TERM", "env", f"PYTHONPATH={module_path()}"]
    return [*bound, sys.executable, *PYTHON_OPTIONS, f"{PARSL}.interchange"]

"""From a pool's provider keys to Parsl's provider with its launcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from parsl import launchers
from parsl.launchers.base import Launcher

from executors.blocks.flux import FluxBlocks, FluxLauncher
from executors.blocks.lsf import LsfBlocks
from executors.blocks.pbspro import PbsProBlocks
from executors.blocks.scheduler import SchedulerBlocks
from executors.blocks.slurm import SlurmBlocks
from executors.pool_config import DftPool, PoolConfig
from executors.schema.providers import (
    FluxProvider,
    LsfProvider,
    PbsProProvider,
    SchedulerProvider,
    SlurmProvider,
)


def scheduler_blocks(
    pool: PoolConfig, keys: SchedulerProvider, *, start: str, on_submit: Callable[[str], None]
) -> SchedulerBlocks:
    """The provider of a pool whose blocks are jobs of a scheduler.

    start: shell lines before the workers; on_submit: told the command that ends each new job.
    """
    common = {
        "launcher": _launcher(pool, keys),
        "nodes_per_block": keys.nodes_per_block,
        "init_blocks": keys.min_blocks,
        "min_blocks": keys.min_blocks,
        "max_blocks": keys.max_blocks,
        "walltime": keys.walltime,
        "cmd_timeout": keys.command_timeout_s,
        "worker_init": start,
    }
    blocks = _BUILDERS[keys.kind](keys, keys.account, common)
    blocks.settle(poll_s=keys.poll_s, on_submit=on_submit)
    return blocks


def _slurm(keys: SlurmProvider, pays: str, common: Mapping[str, Any]) -> SlurmBlocks:
    own = ["--no-requeue", *keys.scheduler_options]
    return SlurmBlocks(
        **common,
        account=pays or None,
        partition=keys.partition or None,
        qos=keys.qos or None,
        constraint=keys.constraint or None,
        clusters=keys.clusters or None,
        cores_per_node=keys.cores_per_node,
        mem_per_node=keys.memory_GB_per_node,
        gpus_per_node=keys.gpus_per_node,
        gres=keys.gres or None,
        exclusive=keys.exclusive,
        scheduler_options=_head("#SBATCH", own),
    )


def _pbspro(keys: PbsProProvider, pays: str, common: Mapping[str, Any]) -> PbsProBlocks:
    """Queue and account stand in the script's head: Parsl would give them to qsub, unseen."""
    own = [f"-q {keys.queue}"] if keys.queue else []
    own += [f"-A {pays}"] if pays else []
    return PbsProBlocks(
        **common,
        cpus_per_node=keys.cores_per_node,
        select_options=keys.select_options,
        scheduler_options=_head("#PBS", [*own, *keys.scheduler_options]),
    )


def _lsf(keys: LsfProvider, pays: str, common: Mapping[str, Any]) -> LsfBlocks:
    cores = keys.cores_per_node or 0
    return LsfBlocks(
        **common,
        project=pays or None,
        queue=keys.queue or None,
        request_by_nodes=keys.by_nodes,
        cores_per_node=keys.cores_per_node,
        cores_per_block=cores * keys.nodes_per_block or None,
        bsub_redirection=keys.redirect,
        scheduler_options=_head("#BSUB", keys.scheduler_options),
    )


def _flux(keys: FluxProvider, pays: str, common: Mapping[str, Any]) -> FluxBlocks:
    size = [f"--nodes={keys.nodes_per_block}"]
    if keys.exclusive:
        size.append("--exclusive")
    else:
        size += [f"--nslots={keys.nodes_per_block}", f"--cores-per-slot={keys.cores_per_node}"]
        size += [f"--gpus-per-slot={keys.gpus_per_node}"] if keys.gpus_per_node else []
    payer = [f"--bank={pays}"] if pays else []
    queue = [f"--queue={keys.queue}"] if keys.queue else []
    return FluxBlocks(options=[*size, *payer, *queue, *keys.scheduler_options], **common)


_BUILDERS: Mapping[str, Callable[[Any, str, Mapping[str, Any]], SchedulerBlocks]] = {
    "slurm": _slurm,
    "pbspro": _pbspro,
    "lsf": _lsf,
    "flux": _flux,
}


def _head(directive: str, options: tuple[str, ...] | list[str]) -> str:
    return "\n".join(f"{directive} {option}" for option in options)


def _launcher(pool: PoolConfig, keys: SchedulerProvider) -> Launcher:
    """What starts the workers on each node; Parsl's MPIExecutor wants none of it."""
    options = keys.launcher_options
    if isinstance(pool, DftPool) and pool.whole_nodes:
        return launchers.SimpleLauncher(debug=False)
    return _LAUNCHERS[keys.worker_launcher](keys, options)


# A step that holds all cores, and shares them with the steps of the labels: without --overlap
# these would wait for ever, without --cpus-per-task the workers would sit on one core.
_SRUN = "--ntasks-per-node=1 --cpus-per-task=$SLURM_CPUS_ON_NODE --overlap"

_LAUNCHERS: Mapping[str, Callable[[SchedulerProvider, str], Launcher]] = {
    "single": lambda keys, options: launchers.SingleNodeLauncher(debug=False),  # noqa: ARG005
    "srun": lambda keys, options: launchers.SrunLauncher(False, f"{_SRUN} {options}"),  # noqa: ARG005
    "mpiexec": lambda keys, options: launchers.MpiExecLauncher(False, keys.launcher_bind, options),
    "mpirun": lambda keys, options: launchers.MpiRunLauncher(False, overrides=options),  # noqa: ARG005
    "aprun": lambda keys, options: launchers.AprunLauncher(False, options),  # noqa: ARG005
    "jsrun": lambda keys, options: launchers.JsrunLauncher(False, options),  # noqa: ARG005
    "flux": lambda keys, options: FluxLauncher(options),  # noqa: ARG005
}

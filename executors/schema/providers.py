"""Who starts the workers of a pool: this machine, or a scheduler and what it has to be told."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from bnnflow.config.base import Section
from executors.schema.values import FromEnvironment, Walltime, as_walltime, seconds

START_S = 60
"""Allowance for a block's workers to start, kept free of tasks at its end."""

WorkerLauncher = Literal["auto", "single", "srun", "mpiexec", "mpirun", "aprun", "jsrun", "flux"]


class LocalProvider(Section):
    """Workers are started on this machine."""

    kind: Literal["local"] = Field(default="local", description="who starts the workers")

    @property
    def nodes(self) -> int:
        """Nodes of all blocks together."""
        return 1


class SchedulerProvider(Section):
    """What every scheduler is told. A block is one job of the scheduler."""

    auto_launcher: ClassVar[str] = "single"
    """What starts the workers of a block with several nodes, where the file says auto."""

    kind: str = Field(description="who starts the workers: slurm, pbspro, lsf or flux")
    account: FromEnvironment = Field(
        default="",
        description="project that pays; here and in partition, qos and queue, $NAME stands for "
        "the value of that environment variable",
    )
    walltime: Walltime = Field(default="01:00:00", description="of one block, HH:MM:SS")
    longest_task: Walltime | None = Field(
        default=None,
        description="no task is started in a block with less time left, HH:MM:SS; default: a "
        "quarter of walltime. A label's timeout should not be longer",
    )
    nodes_per_block: int = Field(default=1, gt=0, description="nodes of one job")
    min_blocks: int = Field(default=0, ge=0, description="jobs kept while there is nothing to do")
    max_blocks: int = Field(default=1, gt=0, description="jobs in the queue and running, at most")
    cores_per_node: int | None = Field(default=None, gt=0, description="cores asked for per node")
    launcher: WorkerLauncher = Field(
        default="auto",
        description="starts the workers on each node of a block; auto: none for a single node",
    )
    launcher_options: str = Field(default="", description="words added to the launcher's command")
    launcher_bind: str = Field(
        default="--bind-to", description="mpiexec's word for binding: --cpu-bind for PALS"
    )
    scheduler_options: tuple[str, ...] = Field(
        default=(), description="more options for the head of the batch script, one per entry"
    )
    poll_s: int = Field(default=30, gt=0, description="how often the queue is looked at")
    command_timeout_s: int = Field(
        default=60, gt=0, description="longest time a command of the scheduler may take"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_blocks > self.max_blocks:
            raise ValueError(
                f"has min_blocks {self.min_blocks}, expected at most max_blocks {self.max_blocks}"
            )
        if self.drain_s <= 0:
            raise ValueError(
                f"has walltime {self.walltime}, expected more than longest_task "
                f"({as_walltime(self.longest_task_s)}) and {START_S} s to start: no task would "
                "ever be started"
            )
        return self

    @property
    def nodes(self) -> int:
        """Nodes of all blocks together."""
        return self.nodes_per_block * self.max_blocks

    @property
    def longest_task_s(self) -> int:
        """Time that a task may need, s."""
        if self.longest_task is None:
            return seconds(self.walltime) // 4
        return seconds(self.longest_task)

    @property
    def drain_s(self) -> int:
        """Age of a block after which it takes no more tasks, s."""
        return seconds(self.walltime) - self.longest_task_s - START_S

    @property
    def worker_launcher(self) -> str:
        """`launcher` with auto resolved."""
        if self.launcher != "auto":
            return self.launcher
        return "single" if self.nodes_per_block == 1 else self.auto_launcher


class SlurmProvider(SchedulerProvider):
    """Blocks are jobs of Slurm (sbatch, squeue, scancel)."""

    auto_launcher: ClassVar[str] = "srun"

    kind: Literal["slurm"] = Field(description="who starts the workers")
    partition: FromEnvironment = Field(default="", description="--partition")
    qos: FromEnvironment = Field(default="", description="--qos")
    constraint: str = Field(default="", description="--constraint")
    clusters: str = Field(default="", description="--clusters")
    exclusive: bool = Field(
        default=True, description="whole nodes; with false, give cores_per_node"
    )
    memory_GB_per_node: int | None = Field(default=None, gt=0, description="--mem, GB")
    gpus_per_node: int | None = Field(default=None, gt=0, description="--gpus-per-node")
    gres: str = Field(default="", description="--gres, where a centre wants it instead")


class PbsProProvider(SchedulerProvider):
    """Blocks are jobs of PBS Pro or OpenPBS (qsub, qstat, qdel)."""

    auto_launcher: ClassVar[str] = "mpiexec"

    kind: Literal["pbspro"] = Field(description="who starts the workers")
    queue: FromEnvironment = Field(default="", description="-q")
    cores_per_node: int = Field(gt=0, description="ncpus of the select statement")
    select_options: str = Field(
        default="", description="added to the select statement, e.g. ngpus=4:system=name"
    )


class LsfProvider(SchedulerProvider):
    """Blocks are jobs of LSF (bsub, bjobs, bkill)."""

    auto_launcher: ClassVar[str] = "jsrun"

    kind: Literal["lsf"] = Field(description="who starts the workers")
    queue: FromEnvironment = Field(default="", description="-q")
    by_nodes: bool = Field(
        default=True, description="ask for -nnodes; false: -n cores, with cores_per_node given"
    )
    redirect: bool = Field(
        default=True, description="submit with `bsub < script`, without which most LSF read no head"
    )

    @model_validator(mode="after")
    def _sized(self) -> Self:
        if not self.by_nodes and self.cores_per_node is None:
            raise ValueError("has by_nodes false, expected cores_per_node with it")
        return self


class FluxProvider(SchedulerProvider):
    """Blocks are jobs of Flux (flux batch, flux jobs, flux cancel)."""

    auto_launcher: ClassVar[str] = "flux"

    kind: Literal["flux"] = Field(description="who starts the workers")
    queue: FromEnvironment = Field(default="", description="--queue")
    exclusive: bool = Field(default=True, description="whole nodes")
    gpus_per_node: int | None = Field(
        default=None, gt=0, description="--gpus-per-slot, a slot being a node"
    )

    @model_validator(mode="after")
    def _sized(self) -> Self:
        if not self.exclusive and self.cores_per_node is None:
            raise ValueError("has exclusive false, expected cores_per_node with it")
        return self


Provider = Annotated[
    LocalProvider | SlurmProvider | PbsProProvider | LsfProvider | FluxProvider,
    Field(discriminator="kind"),
]

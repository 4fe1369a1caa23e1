"""The pools of a site: how many workers of which size, and who starts them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from bnnflow.config.base import Section
from bnnflow.records import PoolSize
from executors.machine import usable_accelerators, usable_cores
from executors.schema.container import ContainerConfig
from executors.schema.mpi import MpiConfig
from executors.schema.providers import LocalProvider, Provider, SchedulerProvider
from executors.schema.sizes import Machine, sized


def _count(value: Any) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"is {value!r}, expected a whole number above 0, or auto")
    return value


def _size(value: Any) -> Any:
    if value == "auto":
        raise ValueError("is auto, expected a number, or provider.cores_per_node to find it from")
    return value


def _names(value: Any) -> Any:
    if value == "auto":
        raise ValueError(
            "is auto, expected how many a node has: auto counts those of this machine, which are "
            "not those of a scheduler's nodes"
        )
    return value


class PoolConfig(Section):
    """One pool. `auto` stands for what this machine offers, or what the provider's keys say."""

    most_auto_workers: ClassVar[int] = 8
    """Workers that `auto` gives at most, without accelerators: one per chain of the ensemble."""

    workers_per_node: Annotated[int, BeforeValidator(_size)] = Field(
        gt=0, description="worker processes, or auto"
    )
    threads_per_worker: Annotated[int, BeforeValidator(_size)] = Field(
        gt=0, description="cores of each worker, or auto"
    )
    accelerators: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        description="GPUs of a node that workers are pinned to: how many, or their names (for "
        "CUDA_VISIBLE_DEVICES; one name may be a pair, '0,1'), or auto on this machine"
    )
    accelerator_kind: Literal["nvidia", "amd", "intel"] = Field(
        default="nvidia", description="whose variables pin a worker to its accelerator"
    )
    workers_per_accelerator: int = Field(
        default=1, gt=0, description="what workers_per_node: auto puts on each accelerator"
    )
    provider: Provider = Field(
        default_factory=LocalProvider, description="local, slurm, pbspro, lsf or flux; see below"
    )
    modules: tuple[str, ...] = Field(default=(), description="loaded with `module load`, in order")
    worker_init: str = Field(default="", description="shell lines run before the workers start")
    environment: str = Field(
        default="",
        description="folder of the virtual or conda environment of the workers, if not this one; "
        "it holds the same bnnflow, Parsl and minor version of Python",
    )
    container: ContainerConfig | None = Field(
        default=None, description="image that the workers run in; see below"
    )

    @model_validator(mode="before")
    @classmethod
    def _sized(cls, values: Any) -> Any:
        """Put numbers where the file says auto, or nothing."""
        if not isinstance(values, Mapping):
            return values
        here = Machine(usable_cores, usable_accelerators)
        return sized(values, here, most_auto_workers=cls.most_auto_workers)

    @model_validator(mode="after")
    def _shareable(self) -> Self:
        """Parsl shares devices evenly, and only those numbered from 0."""
        many, few = self.workers_per_node, len(self.accelerators)
        numbered = self.accelerators == tuple(str(number) for number in range(few))
        if few and many > few and (many % few or not numbered):
            raise ValueError(
                f"cannot share accelerators {', '.join(self.accelerators)} among {many} workers: "
                f"give at most {few} workers, or a multiple of devices numbered from 0"
            )
        return self

    @model_validator(mode="after")
    def _one_python(self) -> Self:
        if self.container is not None and self.environment:
            raise ValueError("has environment and container, expected one: a container's Python")
        return self

    @property
    def scheduler(self) -> SchedulerProvider | None:
        """The provider, unless workers are started on this machine."""
        return self.provider if isinstance(self.provider, SchedulerProvider) else None

    @property
    def total_workers(self) -> int:
        """Workers of all nodes of all blocks."""
        return self.workers_per_node * self.provider.nodes

    @property
    def size(self) -> PoolSize:
        """Workers of all blocks, and the cores and devices of one."""
        shared = min(1.0, len(self.accelerators) / self.workers_per_node)
        nodes = 1.0 / self.workers_per_node
        return PoolSize(self.total_workers, self.threads_per_worker, shared, nodes)

    @property
    def worker_accelerators(self) -> tuple[str, ...]:
        """One name per worker, as Parsl wants them: it shares NVIDIA's numbers out in equal
        blocks, by what nvidia-smi counts; other devices are named once per worker.
        """
        many = self.workers_per_node
        if not self.accelerators or many <= len(self.accelerators):
            return self.accelerators[:many]
        if self.accelerator_kind == "nvidia":
            return tuple(str(number) for number in range(many))
        share = many // len(self.accelerators)
        return tuple(name for name in self.accelerators for _ in range(share))


class GpuPool(PoolConfig):
    """The pool that samples posterior chains."""

    chains_per_task: Annotated[int | Literal["auto"], PlainValidator(_count)] = Field(
        default="auto", description="chains in one task, or auto: spread over all workers"
    )

    def chains(self, n_chains: int) -> int:
        """Chains that one task holds when `n_chains` are to be advanced."""
        if self.chains_per_task == "auto":
            return math.ceil(n_chains / self.total_workers)
        return min(n_chains, self.chains_per_task)


class DftPool(PoolConfig):
    """The pool that computes reference labels."""

    mpi: MpiConfig | None = Field(
        default=None, description="for MPI codes; without it labels are serial. See below"
    )

    @model_validator(mode="after")
    def _labels_fit(self) -> Self:
        """Parsl would wait for ever for nodes that a block does not have."""
        fault = self.mpi and (self.mpi.fault() or self._misfit(self.mpi))
        if fault:
            raise ValueError(fault)
        return self

    @property
    def whole_nodes(self) -> bool:
        """Whether labels get whole nodes, handed out by Parsl's MPIExecutor."""
        return self.mpi is not None and self.mpi.placement == "nodes"

    @property
    def total_workers(self) -> int:
        """Labels that run at once in all blocks."""
        if not self.whole_nodes:
            return super().total_workers
        scheduler = self.scheduler
        return self.workers_per_node * (scheduler.max_blocks if scheduler else 1)

    @property
    def size(self) -> PoolSize:
        """Labels at once, and the cores and devices of one: with MPI those of its ranks."""
        if self.mpi is None:
            return super().size
        mpi = self.mpi
        devices = float(mpi.gpus_per_node * mpi.nodes_per_label) or super().size.accelerators
        nodes = float(mpi.nodes_per_label) if self.whole_nodes else super().size.nodes
        return PoolSize(self.total_workers, mpi.ranks * mpi.threads_per_rank, devices, nodes)

    def _misfit(self, mpi: MpiConfig) -> str | None:
        cores = self.scheduler.cores_per_node if self.scheduler else None
        used = mpi.ranks_per_node * mpi.threads_per_rank
        if cores is not None and used > cores:
            return (
                f"has mpi with {mpi.ranks_per_node} ranks of {mpi.threads_per_rank} threads per "
                f"node, expected at most provider.cores_per_node ({cores}) of them"
            )
        if mpi.placement == "pack":
            return (
                f"has mpi.nodes_per_label {mpi.nodes_per_label} with placement pack, expected 1: "
                "use placement nodes"
                if mpi.nodes_per_label > 1
                else None
            )
        if self.provider.kind not in ("slurm", "pbspro"):
            return (
                f"has mpi.placement nodes with provider {self.provider.kind}, expected slurm or "
                "pbspro, whose node lists Parsl can read: use placement pack"
            )
        if self.accelerators:
            return (
                "has accelerators with mpi.placement nodes, whose labels have all devices of their "
                "nodes: remove accelerators, and give mpi.gpus_per_node"
            )
        nodes = self.scheduler.nodes_per_block if self.scheduler else 1
        wanted = self.workers_per_node * mpi.nodes_per_label
        if wanted > nodes:
            return (
                f"wants {self.workers_per_node} labels at once of mpi.nodes_per_label "
                f"{mpi.nodes_per_label}, expected at most provider.nodes_per_block ({nodes}) nodes"
            )
        return None


class MdPool(PoolConfig):
    """The pool that propagates walkers: one by one unless there are several accelerators."""

    most_auto_workers: ClassVar[int] = 1

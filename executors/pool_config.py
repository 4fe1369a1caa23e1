"""The pools of a site: how many workers of which size, and who starts them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PlainValidator, model_validator

from bnnflow.config.base import Section
from executors.machine import usable_accelerators, usable_cores


def _count(value: Any) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"is {value!r}, expected a whole number above 0, or auto")
    return value


class LocalProvider(Section):
    """Workers are started on this machine."""

    kind: Literal["local"] = Field(default="local", description="who starts the workers")


class PoolConfig(Section):
    """One pool. `auto` in the first three keys stands for what this machine offers."""

    most_auto_workers: ClassVar[int] = 8
    """Workers that `auto` gives at most, without accelerators: one per chain of the ensemble."""

    workers_per_node: int = Field(gt=0, description="worker processes, or auto")
    threads_per_worker: int = Field(gt=0, description="cores of each worker, or auto")
    accelerators: tuple[str, ...] = Field(
        description="names for CUDA_VISIBLE_DEVICES, shared out over the workers, or auto"
    )
    provider: LocalProvider = Field(default_factory=LocalProvider)
    worker_init: str = Field(default="", description="shell lines run before the workers start")

    @model_validator(mode="before")
    @classmethod
    def _sized(cls, values: Any) -> Any:
        """Put numbers where the file says auto, or nothing."""
        if not isinstance(values, Mapping):
            return values
        accelerators = _accelerators(values.get("accelerators", ()))
        cores = usable_cores()
        workers = values.get("workers_per_node", "auto")
        if workers == "auto":
            workers = len(accelerators) or min(cores, cls.most_auto_workers)
        threads = values.get("threads_per_worker", 1)
        if threads == "auto":
            threads = max(1, cores // workers) if isinstance(workers, int) and workers > 0 else 1
        sizes = {"workers_per_node": workers, "threads_per_worker": threads}
        return {**values, **sizes, "accelerators": accelerators}

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

    @property
    def worker_accelerators(self) -> tuple[str, ...]:
        """One name per worker, as Parsl wants them: it shares numbers out in equal blocks."""
        many = self.workers_per_node
        if not self.accelerators or many <= len(self.accelerators):
            return self.accelerators[:many]
        return tuple(str(number) for number in range(many))


class GpuPool(PoolConfig):
    """The pool that samples posterior chains."""

    chains_per_task: Annotated[int | Literal["auto"], PlainValidator(_count)] = Field(
        default="auto", description="chains in one task, or auto: spread over the workers"
    )

    def chains(self, n_chains: int) -> int:
        """Chains that one task holds when `n_chains` are to be advanced."""
        if self.chains_per_task == "auto":
            return math.ceil(n_chains / self.workers_per_node)
        return min(n_chains, self.chains_per_task)


class MdPool(PoolConfig):
    """The pool that propagates walkers: one by one unless there are several accelerators."""

    most_auto_workers: ClassVar[int] = 1


def _accelerators(value: Any) -> Any:
    if value == "auto":
        return usable_accelerators()
    return [str(name) for name in value] if isinstance(value, (list, tuple)) else value

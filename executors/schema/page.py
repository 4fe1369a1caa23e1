"""Every key of a site file as a page: `python -m executors.schema.page > docs/sites.md`."""

from __future__ import annotations

from pydantic import BaseModel

from bnnflow.config.page import table
from executors.pool_config import DftPool, GpuPool, PoolConfig
from executors.schema.container import ContainerConfig
from executors.schema.coordinator import CoordinatorConfig
from executors.schema.guide import GUIDE
from executors.schema.monitoring import MonitoringConfig
from executors.schema.mpi import MpiConfig
from executors.schema.providers import (
    FluxProvider,
    LsfProvider,
    PbsProProvider,
    SchedulerProvider,
    SlurmProvider,
)
from executors.schema.shipped import shipped_table
from executors.site import SiteConfig

TITLES: tuple[tuple[str, str, type[BaseModel], type[BaseModel] | None], ...] = (
    ("The site", "The keys at the left margin.", SiteConfig, None),
    (
        "monitoring",
        "`monitoring`: what Parsl notes about its tasks, for those who know it.",
        MonitoringConfig,
        None,
    ),
    (
        "coordinator",
        "`coordinator`: the job that `bnnflow submit` writes and submits.",
        CoordinatorConfig,
        None,
    ),
    ("A pool", "`pools.gpu`, `pools.dft` and `pools.md`.", PoolConfig, None),
    ("gpu", "Beside the keys of a pool, `pools.gpu` has", GpuPool, PoolConfig),
    ("dft", "Beside the keys of a pool, `pools.dft` has", DftPool, PoolConfig),
    ("mpi", "`pools.dft.mpi`: how MPI codes are started.", MpiConfig, None),
    ("container", "`pools.POOL.container`: workers inside an image.", ContainerConfig, None),
    ("provider", "`pools.POOL.provider` of every scheduler.", SchedulerProvider, None),
    ("slurm", "More keys with `kind: slurm`.", SlurmProvider, SchedulerProvider),
    ("pbspro", "More keys with `kind: pbspro`.", PbsProProvider, SchedulerProvider),
    ("lsf", "More keys with `kind: lsf`.", LsfProvider, SchedulerProvider),
    ("flux", "More keys with `kind: flux`.", FluxProvider, SchedulerProvider),
)
"""Heading, the line under it, whose keys, and whose keys are in a table above."""


def page() -> str:
    """The whole page: how to write a site file, the shipped ones, then one table per section."""
    return "\n".join([GUIDE, shipped_table(), *(_part(*row) for row in TITLES)])


def _part(title: str, about: str, section: type[BaseModel], above: type[BaseModel] | None) -> str:
    known = above.model_fields if above else {}
    fields = {
        name: field
        for name, field in section.model_fields.items()
        if name not in known or field.is_required() != known[name].is_required()
    }
    return table(title, about, fields)


if __name__ == "__main__":
    print(page(), end="")

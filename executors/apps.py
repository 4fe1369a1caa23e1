"""The Parsl apps: one per pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from parsl import python_app
from parsl.dataflow.dflow import DataFlowKernel

from executors.base import Pool, Request, Result
from executors.devices import settle_pinning
from executors.schema.mpi import MpiConfig
from executors.site import SiteConfig

App = Callable[[Callable[[Any], Any], Any], Future[Any]]
"""Takes a task and its request."""


def call(task: Callable[[Request], Result], request: Request) -> Result:
    """What runs on a worker, which has imported the task by its name."""
    settle_pinning()
    return task(request)


def call_on_nodes(
    task: Callable[[Request], Result],
    request: Request,
    parsl_resource_specification: Mapping[str, Any],  # noqa: ARG001 - Parsl hands it on
) -> Result:
    """The same where Parsl hands out whole nodes: it needs to be told how many."""
    return task(request)


def pool_apps(kernel: DataFlowKernel, site: SiteConfig) -> Mapping[Pool, App]:
    """One app per pool, bound to this kernel and not to Parsl's global one."""
    apps = {
        pool: python_app(call, data_flow_kernel=kernel, executors=[pool.value]) for pool in Pool
    }
    mpi = site.pools.dft.mpi
    if mpi is not None and site.pools.dft.whole_nodes:
        apps[Pool.DFT] = _on_nodes(kernel, mpi)
    return apps


def _on_nodes(kernel: DataFlowKernel, mpi: MpiConfig) -> App:
    app = python_app(call_on_nodes, data_flow_kernel=kernel, executors=[Pool.DFT.value])

    def submit(task: Callable[[Any], Any], request: Any) -> Future[Any]:
        future: Future[Any] = app(
            task,
            request,
            parsl_resource_specification={  # Parsl writes into it
                "num_nodes": mpi.nodes_per_label,
                "ranks_per_node": mpi.ranks_per_node,
                "num_ranks": mpi.ranks,
            },
        )
        return future

    return submit

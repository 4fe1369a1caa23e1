"""The Parsl apps: one per pool, the same line in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from parsl import python_app
from parsl.dataflow.dflow import DataFlowKernel

from executors.base import Pool, Request, Result

App = Callable[[Callable[[Any], Any], Any], Future[Any]]
"""Takes a task and its request."""


def call(task: Callable[[Request], Result], request: Request) -> Result:
    """What runs on a worker, which has imported the task by its name."""
    return task(request)


def pool_apps(kernel: DataFlowKernel) -> Mapping[Pool, App]:
    """One app per pool, bound to this kernel and not to Parsl's global one."""
    return {
        Pool.GPU: python_app(call, data_flow_kernel=kernel, executors=["gpu"]),
        Pool.DFT: python_app(call, data_flow_kernel=kernel, executors=["dft"]),
        Pool.MD: python_app(call, data_flow_kernel=kernel, executors=["md"]),
    }

"""Start and stop one Parsl kernel; neither can hang, nor leave a process behind."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import zmq
from parsl.config import Config
from parsl.dataflow.dflow import DataFlowKernel

from bnnflow.errors import PoolLostError
from executors.signals import stop_signals_held

STOP_S = 10.0
"""Longest time that Parsl's own shut-down gets before its processes are ended for it."""

WRITE_S = 60.0
"""The same where its monitoring has still to write to its database."""

SEND_S = 5.0
"""Longest time that handing a task to an interchange may take; it blocks where none is left."""

_log = logging.getLogger("parsl.bnnflow")


@contextmanager
def running_kernel(config: Config) -> Iterator[DataFlowKernel]:
    """A kernel of its own, not Parsl's global one; stopped at the end without waiting for tasks."""
    stopping = threading.Event()
    kernel = None
    try:
        kernel = DataFlowKernel(config)
        for executor in config.executors:
            _bound_sending(executor)
            _start_thread(_watch_interchange, executor, stopping)
        yield kernel
    finally:
        stopping.set()
        with stop_signals_held():
            _stop(config, kernel)


def _stop(config: Config, kernel: DataFlowKernel | None) -> None:
    """End everything; kernel: None when it was interrupted, or failed, while it started."""
    if kernel is not None:
        patience = STOP_S if config.monitoring is None else WRITE_S
        _start_thread(_clean_up, kernel).join(patience)
    for executor in config.executors:
        _end(executor)


def _clean_up(kernel: DataFlowKernel) -> None:
    """Parsl's own shut-down, which waits for ever for an interchange that is gone."""
    try:
        kernel.cleanup()
    except Exception:
        _log.exception("Parsl's shut-down failed; its processes are ended without it")


def _end(executor: Any) -> None:
    """End what Parsl's shut-down may have left of one executor."""
    if executor.interchange_proc is not None:
        executor.interchange_proc.kill()
        executor.interchange_proc.wait()
    executor.provider.cancel_rest()


def _bound_sending(executor: Any) -> None:
    """Let a task that is sent as its interchange dies fail; Parsl's one sending thread would hang,
    and with it every pool and the end of this program.
    """
    executor.outgoing_q.zmq_socket.setsockopt(zmq.SNDTIMEO, round(1000 * SEND_S))


def _watch_interchange(executor: Any, stopping: threading.Event) -> None:
    """Fail the pool's tasks when its interchange dies; Parsl would let them wait for ever."""
    with suppress(ChildProcessError):  # Parsl has collected it during a shut-down
        os.waitid(os.P_PID, executor.interchange_proc.pid, os.WEXITED | os.WNOWAIT)
    if not stopping.is_set():
        lost = PoolLostError(f"pool {executor.label} lost its interchange process: resume the run")
        executor.set_bad_state_and_fail_all(lost)


def _start_thread(target: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread

"""SIGKILL of the coordinator, of a worker, and of a manager of workers."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Self

from bnnflow.config import RunConfig
from executors.base import Pool
from executors.pools import ParslExecutor
from executors.probe import probe
from executors.site import parse_site
from fault_study.reference import plan
from fault_study.study import Study, Tally, finish, go_on
from workflows import session
from workflows.submission import Submission

ONE = {"workers_per_node": 1, "threads_per_worker": 1}
SITE = {"name": "x", "pools": dict.fromkeys(("gpu", "dft", "md"), ONE)}
_usual = session.open_executor
QUICK = {"heartbeat_period_s": 2, "heartbeat_threshold_s": 10}


def coordinator(study: Study, rng: random.Random) -> Tally:
    """SIGKILL of the coordinator with its whole process group, then the run is gone on with."""
    config = study.config()
    whole = study.uninterrupted("inline", config)
    with study.try_folder() as run:
        plan(study.armed)
        commits = len(list(whole.glob("commits/*.h5")))
        killed = _killed(config, run, rng.randrange(commits), rng.uniform(0.0, 0.3))
        finish(config, run)
        return study.judge(run, like=whole, idle=int(not killed))


def _killed(config: RunConfig, run: Path, commits: int, after_s: float) -> bool:
    """Run in a fork that is killed some time after a commit; whether it was still at work."""
    process = os.fork()
    if process == 0:
        os.setsid()
        with suppress(BaseException):
            go_on(config, run)
        os._exit(0)
    while len(list(run.glob("commits/*.h5"))) < commits:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.WIFSIGNALED(status)
        time.sleep(0.01)
    time.sleep(after_s)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
        os.killpg(process, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def worker(study: Study, rng: random.Random) -> Tally:
    """SIGKILL of the worker that is at work at a random moment."""
    return _in_pools(study, rng, lambda process: process)


def manager(study: Study, rng: random.Random) -> Tally:
    """SIGKILL of the manager of the worker that is at work at a random moment."""
    return _in_pools(study, rng, _parent)


def _in_pools(study: Study, rng: random.Random, victim: Callable[[int], int]) -> Tally:
    """A try counts as a hit when a task was lost, and sent again."""
    config = study.config()
    pools = _pools(study)
    whole = study.uninterrupted("pools", config)
    seconds = study.usual_seconds("pools", config)
    with study.try_folder() as run:
        plan(study.armed)
        workers = [Submission(pools, pool, probe, ()).result().process for pool in Pool]
        over = threading.Event()
        killer = threading.Timer(rng.uniform(0.0, seconds), _strike, (workers, victim, over))
        killer.start()
        try:
            finish(config, run)
        finally:
            over.set()
            killer.cancel()
            killer.join()
        hit = "Submitted again" in (run / "run.log").read_text()
        return study.judge(run, like=whole, idle=int(not hit))


def _strike(workers: list[int], victim: Callable[[int], int], over: threading.Event) -> None:
    """Kill the victim that goes with the first worker that is seen at work, unless all is over."""
    while not over.is_set():
        for process in workers:
            if _at_work(process):
                with suppress(FileNotFoundError, ProcessLookupError):
                    os.kill(victim(process), signal.SIGKILL)
                return
        time.sleep(0.001)


def _at_work(process: int) -> bool:
    """Whether a process has a core, or waits for one."""
    try:
        return _stat(process)[0] == "R"
    except FileNotFoundError:
        return False


def _parent(process: int) -> int:
    return int(_stat(process)[1])


def _stat(process: int) -> list[str]:
    """State, parent and more of a process."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


class _Kept:
    """Pools that stay open from one run to the next."""

    def __init__(self, pools: ParslExecutor) -> None:
        self._pools = pools

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pools, name)


@cache
def _opened(folder: Path) -> ParslExecutor:
    return ParslExecutor(parse_site(SITE | QUICK), folder).__enter__()


def _pools(study: Study) -> ParslExecutor:
    """The pools, which runs of this process work in from now on."""
    pools = _opened(study.folder)
    kept: Any = _Kept(pools)
    session.open_executor = lambda *_, **__: kept
    for pool in Pool:
        Submission(pools, pool, probe, ()).result()  # it has its worker again
    return pools


def close_pools(study: Study) -> None:
    """End the pools, if there are any; runs work as before."""
    session.open_executor = _usual
    if _opened.cache_info().currsize:
        _opened(study.folder).__exit__(None, None, None)
        _opened.cache_clear()

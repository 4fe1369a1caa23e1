"""The three pools as real Parsl executors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bnnflow.errors import FaultError
from bnnflow.records import PoolSize
from executors.apps import App, pool_apps
from executors.base import Pool, Request, Result
from executors.blocks.failing import GiveUpAfterThree
from executors.blocks.reaper import Reaper
from executors.blocks.scheduler import SchedulerBlocks
from executors.kernel import running_kernel
from executors.lifeline import Lifeline, check_programs
from executors.notices import QueueNotices
from executors.outcomes import Outcomes
from executors.parsl_config import parsl_config
from executors.provenance import check_one_place
from executors.schema.blanks import require_filled
from executors.scratch import scratch_folder
from executors.signals import stop_signals_held
from executors.site import SiteConfig


class ParslExecutor:
    """Pools of worker processes; several executors can be open at once.

    site: sizes and providers; run_dir: run folder below which Parsl keeps its logs (None: a
    temporary folder); longest_label_s: how long a label may take, for a notice when the site's
    blocks do not allow for it. Open it in a thread that lives as long as the pools, and close it
    there. SIGINT and SIGTERM wait while it closes. Raises ConfigError when the site is not filled
    in, this machine lacks a program that is needed, or bnnflow's packages come from different
    places.
    """

    def __init__(
        self, site: SiteConfig, run_dir: Path | None = None, *, longest_label_s: float = 0.0
    ) -> None:
        require_filled(site.name, site.model_dump())
        check_one_place()
        check_programs()
        self._site = site
        self._run_dir = run_dir
        self._outcomes = Outcomes()
        self._apps: Mapping[Pool, App] = {}
        self._queues: Mapping[Pool, tuple[SchedulerBlocks, QueueNotices]] = {}
        self._failing: Mapping[Pool, GiveUpAfterThree] = {}
        self._open = ExitStack()
        self._first_notices = _too_long(site, longest_label_s)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._apps = stack.enter_context(self._started())
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with stop_signals_held():
            self._open.close()

    @property
    def site(self) -> str:
        """The site's name."""
        return self._site.name

    def submit(
        self, pool: Pool, task: Callable[[Request], Result], request: Request
    ) -> Future[Result]:
        """Send `task(request)` to a pool; see `Executor.submit`."""
        if pool not in self._apps:
            raise FaultError(f"pool {pool} is not open: submit inside `with ParslExecutor(...)`")
        return self._outcomes.follow(self._apps[pool](task, request), pool)

    def chains_per_task(self, n_chains: int) -> int:
        """What the site's gpu pool says."""
        return self._site.pools.gpu.chains(n_chains)

    def capacity(self, pool: Pool) -> int | None:
        """Workers of all blocks that the site allows; labels at once where they have nodes."""
        return self.sizes()[pool].workers

    def sizes(self) -> Mapping[Pool, PoolSize]:
        """As the site file sizes the pools."""
        return {Pool(name): pool.size for name, pool in self._site.pools}

    def notices(self) -> list[tuple[Pool, str]]:
        """Jobs that wait long, are held, or fail beside others that work, since the last call."""
        first, self._first_notices = self._first_notices, []
        queued = [
            (pool, line)
            for pool, (provider, said) in self._queues.items()
            for line in said.news(provider.waiting())
        ]
        failing = [
            (pool, f"pool {pool}: {line}")
            for pool, blocks in self._failing.items()
            for line in blocks.news()
        ]
        return first + queued + failing

    @contextmanager
    def _started(self) -> Iterator[Mapping[Pool, App]]:
        with ExitStack() as stack:
            folder = stack.enter_context(scratch_folder(self._run_dir, shared=self._site.remote))
            stack.callback(self._close_submission)
            lifeline = Lifeline()
            stack.callback(lifeline.cut)
            on_submit = Reaper(lifeline.path).remember if self._site.remote else _forget
            config = parsl_config(
                self._site,
                run_dir=folder,
                watch=lifeline.watch(),
                on_submit=on_submit,
                answered=self._outcomes.answered,
            )
            kernel: Any = stack.enter_context(running_kernel(config))
            self._queues = {
                Pool(executor.label): (executor.provider, QueueNotices(executor.label))
                for executor in config.executors
                if isinstance(executor.provider, SchedulerBlocks)
            }
            self._failing = {
                Pool(executor.label): executor.block_error_handler for executor in config.executors
            }
            yield pool_apps(kernel, self._site)

    def _close_submission(self) -> None:
        self._apps, self._queues, self._failing = {}, {}, {}
        self._outcomes.fail_all(FaultError("the pools were closed before this task ended"))


def _forget(_command: str) -> None:
    """Blocks on this machine need no reminder: each has a lifeline of its own."""


def _too_long(site: SiteConfig, label_s: float) -> list[tuple[Pool, str]]:
    """Whether a label may outlive the time that the blocks of its pool keep for it."""
    scheduler = site.pools.dft.scheduler
    if scheduler is None or label_s <= scheduler.longest_task_s:
        return []
    line = (
        f"pool dft: a label may take {label_s:.0f} s (reference.timeout_s), but a block still "
        f"starts one with {scheduler.longest_task_s} s left: set longest_task in the site file, "
        "or labels may be cut off and made again"
    )
    return [(Pool.DFT, line)]

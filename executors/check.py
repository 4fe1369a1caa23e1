"""`bnnflow site check NAME`: is the site config right, and do its pools work?"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnnflow.errors import ConfigError
from executors.base import Executor, Pool
from executors.blocks.render import batch_scripts
from executors.check_table import site_table
from executors.node_probes import probe_clock, probe_devices, probe_folder, probe_ranks
from executors.pool_config import DftPool, PoolConfig
from executors.pools import ParslExecutor
from executors.probe import Probe, probe
from executors.provenance import check_one_place
from executors.schema.blanks import blanks
from executors.site import SiteConfig, load_site

__all__ = ["PACKAGES", "check_site", "site_table"]

PACKAGES = ("bnnflow", "parsl", "torch", "mace-torch", "ase", "numpy", "pyscf", "tblite")
PATIENCE_S = 300.0
"""Longest wait for the first result of a pool, a queue's waiting time included."""
CLOCK_S = 5.0
"""Clocks that differ by more make times in a run's log misleading."""
ROUNDS = 3
"""Looks at a clock; the quickest one counts."""


def check_site(
    name_or_path: str | Path,
    *,
    run: bool = False,
    folder: Path | None = None,
    wait_s: float = PATIENCE_S,
) -> dict[str, Any]:
    """The site's settings with every size as a number; with `run`, what each pool reports.

    The batch script that each scheduler's pool would submit is among the figures. run: start the
    pools and send probes to each; folder: of the runs, on the shared file system (default: the
    current one); wait_s: longest wait for a pool. What is wrong with pools that do answer is in
    `problems`. Raises ConfigError when the config is wrong, TimeoutError when a pool does not
    answer, FaultError when its workers do not start.
    """
    site = load_site(name_or_path)
    place = (folder or Path.cwd()).absolute()
    figures: dict[str, Any] = {
        "site": site.model_dump(mode="json"),
        "code": str(check_one_place()),
        "notes": _notes(site),
        "scripts": batch_scripts(site, place / "parsl"),
    }
    return figures | (_probed(site, folder, wait_s) if run else {})


def _notes(site: SiteConfig) -> list[str]:
    left = blanks(site.model_dump())
    notes = [f"{key} is {text}: to be given before anything runs" for key, text in left.items()]
    return ["no public page stands behind this file: check every key"] * site.unverified + notes


def _probed(site: SiteConfig, folder: Path | None, wait_s: float) -> dict[str, Any]:
    with ParslExecutor(site, folder) as executor:
        round_ = _Round(site, executor, (folder or Path.cwd()).absolute(), wait_s)
        answers = round_.ask_all()
    return {"probes": answers, "problems": round_.problems}


@dataclass
class _Round:
    """One round of questions to all pools; problems: what is wrong with the answers."""

    site: SiteConfig
    executor: Executor
    folder: Path
    wait_s: float

    def __post_init__(self) -> None:
        self.problems: list[str] = []

    def ask_all(self) -> dict[str, dict[str, Any]]:
        """What each pool reports, by its name."""
        started = time.perf_counter()
        asked = {pool: self.executor.submit(pool, probe, PACKAGES) for pool in Pool}
        answers = {}
        for pool, future in asked.items():
            first = future.result(self.wait_s)
            seconds = time.perf_counter() - started
            answers[pool.value] = asdict(first) | {"first_result_s": round(seconds, 2)}
            config = getattr(self.site.pools, pool.value)
            _check_versions(pool, first, own=_own_python(config))
            answers[pool.value] |= self._ask(pool, config)
        return answers

    def _ask(self, pool: Pool, config: PoolConfig) -> dict[str, Any]:
        found: dict[str, Any] = {"shared_folder": self._shared(pool), **self._clock(pool)}
        if config.accelerators:
            found["devices"] = self._devices(pool)
        if isinstance(config, DftPool) and config.mpi is not None:
            found["mpi"] = self._ranks(pool, config)
        return found

    def _devices(self, pool: Pool) -> list[str]:
        devices = list(self._result(pool, probe_devices, None))
        if not devices and pool is not Pool.DFT:
            self.problems.append(
                f"pool {pool}: torch sees no GPU in its workers: install its CUDA or ROCm build "
                "there, or correct the pool's provider keys"
            )
        return devices

    def _ranks(self, pool: Pool, config: DftPool) -> dict[str, Any]:
        ranks = self._result(pool, probe_ranks, None)
        mpi = config.mpi
        if mpi is not None and ranks.ranks != mpi.ranks:
            self.problems.append(
                f"pool {pool}: {ranks.launcher} started {ranks.ranks} ranks, expected {mpi.ranks}: "
                f"correct pools.{pool}.mpi or worker_init ({ranks.output})"
            )
        return asdict(ranks)

    def _shared(self, pool: Pool) -> bool:
        """Whether what is written here is read there, and back."""
        token = f"{pool.value}-{time.time_ns()}"
        files = [self.folder / f"{word}-{token}" for word in ("asked", "answered")]
        try:
            files[0].write_text(token, encoding="utf-8")
            wrong = self._result(pool, probe_folder, (str(self.folder), token))
            back = files[1].read_text(encoding="utf-8") if files[1].is_file() else ""
        finally:
            for file in files:
                file.unlink(missing_ok=True)
        if wrong or back != token:
            self.problems.append(
                f"pool {pool} does not share {self.folder} with this machine: put runs on a file "
                f"system that all nodes see {f'({wrong})' if wrong else ''}".strip()
            )
        return not wrong and back == token

    def _clock(self, pool: Pool) -> dict[str, float]:
        """The pool's clock less this machine's, known to half of a round trip, both in s."""
        looks = []
        for _ in range(ROUNDS):
            sent = time.time()
            there = self._result(pool, probe_clock, None)
            took = time.time() - sent
            looks.append((took, there - sent - 0.5 * took))
        took, offset = min(looks)
        if abs(offset) > CLOCK_S + took:
            self.problems.append(
                f"pool {pool}: its clock is {offset:+.0f} s off: times in logs will not match"
            )
        return {"clock_offset_s": round(offset, 4), "round_trip_s": round(took, 4)}

    def _result(self, pool: Pool, task: Any, request: Any) -> Any:
        return self.executor.submit(pool, task, request).result(self.wait_s)


def _own_python(config: PoolConfig) -> bool:
    return config.container is not None or bool(config.environment)


def _check_versions(pool: Pool, answer: Probe, *, own: bool = False) -> None:
    """Workers run the same versions as this process; with a Python of their own, of what talks."""
    here = probe(PACKAGES)
    for name, version in here.packages.items():
        if answer.packages[name] != version and not (own and name not in ("bnnflow", "parsl")):
            raise ConfigError(
                f"pool {pool} has {name} {answer.packages[name]}, expected {version} as here: "
                "install the same versions there, or correct worker_init"
            )

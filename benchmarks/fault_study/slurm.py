"""Losses of whole blocks under a real Slurm of three nodes on this machine (tests/slurm).

The first attempt at every label hangs, until its block is lost; the second one does not.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from bnnflow.config import RunConfig
from bnnflow.data import read_run
from bnnflow.errors import FaultError, UserError
from fault_study.reference import calls_of, plan
from fault_study.study import TESTS, Study, Tally
from workflows import session

sys.path.append(str(TESTS / "slurm"))  # how they start their cluster, and end a node

from slurm_nodes import CLUSTER, QUICK, bring_back, lose_node, named, node_of, wait_until

MANY_CALLS = 1000
PATIENCE_S = 600.0
ALL_ASK = {"energy_kcal_per_mol": 1.0, "confidence": 1 - 1e-10}
"""Nothing is known so surely: every step is labelled."""
WALLTIME = {"walltime": "00:02:00", "longest_task": "00:00:20", "max_blocks": 8}


def scancel(study: Study, _rng: random.Random) -> Tally:
    """The block of every label's first attempt is cancelled."""

    def strike(_cluster: Path) -> None:
        (job,) = named("dft")
        subprocess.run(["scancel", job], check=True, timeout=10)

    return _one_run(study, strike)


def lost_node(study: Study, _rng: random.Random) -> Tally:
    """The node of every label's first attempt is lost, and back when Slurm has given it up."""

    def strike(cluster: Path) -> None:
        (job,) = named("dft")
        node = node_of(job)
        lose_node(cluster, node)
        wait_until(lambda: job not in named("dft"), PATIENCE_S)
        bring_back(cluster, node)

    return _one_run(study, strike)


def block_walltime(study: Study, _rng: random.Random) -> Tally:
    """Eight runs at once; the first attempt at each of their labels outlives its block."""
    configs = [_config(study, number) for number in range(8)]
    with _cluster(), study.try_folder() as folder:
        runs = [folder / str(number) for number in range(len(configs))]
        _drive(study, configs, runs, WALLTIME)
        return sum((_judge(study, run) for run in runs), Tally())


def _one_run(study: Study, strike: Callable[[Path], None]) -> Tally:
    config = _config(study, 0, threshold=ALL_ASK)
    over = threading.Event()
    with _cluster() as cluster, study.try_folder() as run:
        striker = threading.Thread(target=_strike_each, args=(study, strike, cluster, over))
        striker.start()
        try:
            _drive(study, [config], [run], {})
        finally:
            over.set()
            striker.join(PATIENCE_S)
        return _judge(study, run)


def _strike_each(
    study: Study, strike: Callable[[Path], None], cluster: Path, over: threading.Event
) -> None:
    """Strike once in every first attempt: after an odd number of calls, as all attempts are one."""
    struck = 0
    try:
        while not over.is_set():
            if calls_of(_armed(study, 0)) == 2 * struck + 1:
                strike(cluster)
                struck += 1
            time.sleep(0.1)
    except BaseException:
        os.kill(os.getpid(), signal.SIGINT)  # or the run would wait for the attempt that hangs
        raise


def _config(study: Study, number: int, **changes: dict[str, Any]) -> RunConfig:
    """A run whose first attempts hang; each has a file of its own to count its calls."""
    plan(_armed(study, number), "hang", *range(0, MANY_CALLS, 2))
    config = study.config(run={"seed": 14 + number}, **changes)
    arguments = {"armed": str(_armed(study, number))}
    options = {**config.reference.options, "arguments": arguments}
    reference = config.reference.model_copy(update={"options": options})
    return config.model_copy(update={"reference": reference})


def _armed(study: Study, number: int) -> Path:
    return study.folder / f"armed-{number}.json"


@contextmanager
def _cluster() -> Iterator[Path]:
    """The cluster of the tests; SLURM_CONF is set while it is up."""
    with tempfile.TemporaryDirectory(prefix="bnnflow-slurm-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # munge wants its socket where others could reach it
        before = os.environ.get("SLURM_CONF")
        try:
            up = [CLUSTER, "up", folder]
            subprocess.run(up, check=True, timeout=60, stdout=subprocess.DEVNULL)
            os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
            yield folder
        finally:
            subprocess.run([CLUSTER, "down", folder], check=True, timeout=60)
            os.environ.pop("SLURM_CONF", None)
            if before is not None:
                os.environ["SLURM_CONF"] = before


def _drive(
    study: Study, configs: Sequence[RunConfig], runs: Sequence[Path], blocks: dict[str, Any]
) -> None:
    """Run to the end on the cluster, unheard. blocks: keys of the labels' pool."""
    site = study.folder / "slurm.yaml"
    site.write_text(yaml.safe_dump(_site(blocks)))
    with redirect_stdout(StringIO()), suppress(FaultError, UserError):
        session.fine_tune(configs, folders=runs, site=str(site))


def _site(blocks: dict[str, Any]) -> dict[str, Any]:
    """Single workers; those of MD and chains in blocks of their own on the third node."""

    def pool(partition: str, **keys: Any) -> dict[str, Any]:
        provider = {**QUICK, "partition": partition, "cores_per_node": 1, **keys}
        return {"workers_per_node": 1, "threads_per_worker": 1, "provider": provider}

    pools = {"gpu": pool("gpu"), "md": pool("md"), "dft": pool("cpu", **blocks)}
    heartbeat = {"heartbeat_period_s": 1, "heartbeat_threshold_s": 5}
    return {
        "name": "onemachine",
        "address": "127.0.0.1",
        "idle_s": 300,
        **heartbeat,
        "pools": pools,
    }


def _judge(study: Study, run: Path) -> Tally:
    """A try for every label whose first attempt was lost."""
    found = study.judge(run)
    if found.not_resumed:
        return found
    lost = sum((path / "attempt-02").is_dir() for path in run.glob("labels/*"))
    booked = tuple(f"{cause} was booked" for cause in read_run(run).failures.cause)
    return found + Tally(tries=lost - 1, amiss=booked)

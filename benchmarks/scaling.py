"""How labels scale with label workers: real Parsl pools, tasks that take a known time.

    python benchmarks/scaling.py --json

32 runs with a label, an update of all chains and a stretch of MD in turn, in the published
proportions: 20 minutes for a label, 3 for an update on a worker of its own, 1 for MD, all scaled
down by the same factor. The wall time runs from the first label asked for, with all workers there,
to the last run's end. A figure is the parallel efficiency T(1) / (W T(W)) with W label workers, for
each policy of what MD does meanwhile; where one worker is not among those asked for, T(1) is the
time of all labels one after the other, which it cannot be less than. The defaults take an hour for
each policy.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from emulated_tasks import Emulated
from emulated_walkers import emulated_walker

from executors.base import Pool
from executors.pools import ParslExecutor
from executors.site import parse_site
from workflows.driver import drive

LABEL_MIN, UPDATE_MIN, MD_MIN = 20.0, 3.0, 1.0
WORKERS = (1, 2, 4, 8, 16, 32)


def site(workers: int, gpu: int, md: int) -> dict[str, object]:
    """Local pools; a worker that sleeps needs no core of its own."""

    def pool(count: int) -> dict[str, int]:
        return {"workers_per_node": count, "threads_per_worker": 1}

    return {
        "name": "scaling",
        "address": "127.0.0.1",
        "pools": {"dft": pool(workers), "gpu": pool(gpu), "md": pool(md)},
    }


def warm(executor: ParslExecutor, sizes: dict[Pool, int]) -> None:
    """Wait until every worker of every pool has had a task."""
    for pool, count in sizes.items():
        for future in [executor.submit(pool, time.sleep, 1.0) for _ in range(count)]:
            future.result(300)


def run(workers: int, policy: str, options: argparse.Namespace, folder: Path) -> float:
    """Wall seconds of all runs with so many label workers."""
    sizes = {Pool.DFT: workers, Pool.GPU: options.gpu_workers, Pool.MD: options.md_workers}
    minute = options.label_s / LABEL_MIN
    values = parse_site(site(workers, options.gpu_workers, options.md_workers))
    with ParslExecutor(values, folder / "pools") as executor:
        warm(executor, sizes)
        walkers = [
            emulated_walker(
                folder / str(number),
                label_s=options.label_s,
                update_s=UPDATE_MIN * minute,
                md_s=MD_MIN * minute,
                n_labels=options.labels,
                while_labelling=policy,
            )
            for number in range(options.walkers)
        ]
        began = time.monotonic()
        drive(walkers, Emulated(executor))
        wall = time.monotonic() - began
    for walker in walkers:
        assert len(walker.store.state.labels) == options.labels, "a run lost a label"
    return wall


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--walkers", type=int, default=32)
    parser.add_argument("--labels", type=int, default=5, help="of each run")
    parser.add_argument("--label-s", type=float, default=12.0, help="what 20 minutes become, s")
    parser.add_argument(
        "--gpu-workers", type=int, default=16, help="each updates all chains of a run"
    )
    parser.add_argument("--md-workers", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS))
    parser.add_argument("--policies", nargs="+", default=["wait", "rewind"])
    options = parser.parse_args()
    seconds: dict[str, float] = {}
    for policy in options.policies:
        for workers in options.workers:
            folder = Path(tempfile.mkdtemp(prefix="scaling-"))
            seconds[f"{policy}.{workers}"] = run(workers, policy, options, folder)
            shutil.rmtree(folder, ignore_errors=True)
            print(
                f"{policy} {workers:2d} workers: {seconds[f'{policy}.{workers}']:.1f} s", flush=True
            )
    labels_s = options.walkers * options.labels * options.label_s
    figures = {}
    for name, wall in seconds.items():
        policy, workers = name.split(".")
        alone = seconds.get(f"{policy}.1", labels_s)
        figures[f"efficiency.{name}"] = alone / (int(workers) * wall)
    for name, value in figures.items():
        print(f"{name:24s} {100 * value:5.1f} %")
    if options.json:
        settings = {**vars(options), "seconds": seconds}
        print(json.dumps({"benchmark": "scaling", "figures": figures, "settings": settings}))


if __name__ == "__main__":
    sys.exit(main())

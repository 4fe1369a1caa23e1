"""What the coordinator costs: CPU milliseconds per task and memory at 1, 100 and 1,000 materials.

    python benchmarks/coordinator.py --json

Real loops, driver, shares and run folders (commits are written and synchronised to disk); pools on
a simulated clock, so that all of the time is the coordinator's. A figure is the ratio of CPU time
per task at 1 material to that at so many: 1 is flat.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from emulated_tasks import EMULATED
from emulated_walkers import emulated_walker

from executors.base import Pool
from workflows.driver import Walker, drive
from workflows.jobs import place_of
from workflows.simulation import SimulatedPools

LENGTHS = {Pool.DFT: 1200.0, Pool.GPU: 180.0, Pool.MD: 60.0}


def walkers(count: int, labels: int, folder: Path) -> Iterator[Walker]:
    """Runs that are made when it is their turn."""
    for number in range(count):
        yield emulated_walker(folder / str(number), label_s=0, update_s=0, md_s=0, n_labels=labels)


def answered(counter: list[int], request: Any) -> Any:
    """What an emulated task gives, at once."""
    counter[0] += 1
    return EMULATED[place_of(request)[1].__name__](request)


def measure(count: int, options: argparse.Namespace) -> dict[str, float]:
    """CPU and wall ms per task, and memory that was added, MB."""
    folder = Path(tempfile.mkdtemp(prefix="coordinator-"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counter = [0]
    pools = SimulatedPools(
        {pool: max(1, count // 4) for pool in Pool},
        seconds=lambda pool, _: LENGTHS[pool],
        answer=partial(answered, counter),
    )
    cpu, wall = time.process_time(), time.monotonic()
    with mock.patch("time.sleep"):
        drive(walkers(count, options.labels, folder), pools, most_open=options.open, inbox=pools)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    shutil.rmtree(folder)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "tasks": counter[0],
        "cpu_ms": 1e3 * cpu / counter[0],
        "wall_ms": 1e3 * wall / counter[0],
        "memory_MB": (after - before) / 1024.0,
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--materials", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--labels", type=int, default=4, help="of each run")
    parser.add_argument("--open", type=int, default=200, help="runs that are open at once")
    options = parser.parse_args()
    measure(2, options)  # imports, caches
    costs = {count: measure(count, options) for count in options.materials}
    print("materials   tasks   CPU ms/task   wall ms/task   memory MB")
    for count, cost in costs.items():
        print(
            f"{count:9d} {cost['tasks']:7.0f} {cost['cpu_ms']:13.2f} {cost['wall_ms']:14.2f}"
            f" {cost['memory_MB']:11.1f}"
        )
    if options.json:
        first = costs[options.materials[0]]["cpu_ms"]
        figures = {f"flat.{count}": first / cost["cpu_ms"] for count, cost in costs.items()}
        settings = {**vars(options), "costs": costs}
        print(json.dumps({"benchmark": "coordinator", "figures": figures, "settings": settings}))


if __name__ == "__main__":
    sys.exit(main())

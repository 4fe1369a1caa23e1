"""The fault matrix: each fault, how often tried, and what became of labels and runs.

    PYTHONPATH=. python benchmarks/faults.py --json --repeats 20
    PYTHONPATH=. python benchmarks/faults.py --faults explosion hang
    PYTHONPATH=. python benchmarks/faults.py --faults scancel lost_node block_walltime

A try is a real run of water (a small random MACE, GFN2-xTB) into which one fault is injected at a
random moment, and which is then gone on with until it is done. Counted are labels lost (finished,
but not in the run's data set, or the other way round), wrong labels accepted (not what GFN2-xTB
says of the structure, calculated anew), runs not finished after five resumes, and, where the same
run to the bit is promised, runs that are not. A kill of a worker or a manager counts as a hit when
a task was lost, a walltime when work was left. Figures: 1 / (1 + what went wrong), so that higher
is better. Two materials are driven together in `hopeless_material`; the counts are of the healthy
one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from fault_study import kills, labels, science, walltime
from fault_study.study import Study, Tally

FAULTS: Mapping[str, Callable[[Study, random.Random], Tally]] = {
    "not_converged": labels.not_converged,
    "hang": labels.hang,
    "other_geometry": labels.other_geometry,
    "full_disk": labels.full_disk,
    "label_process": labels.label_process,
    "nan_chain": science.nan_chain,
    "nan_prediction": science.nan_prediction,
    "explosion": science.explosion,
    "hopeless_material": science.hopeless_material,
    "coordinator": kills.coordinator,
    "walltime": walltime.walltime,
    "worker": kills.worker,
    "manager": kills.manager,
}
"""Those in pools come last: runs of this process stay in them."""
ON_SLURM = ("scancel", "lost_node", "block_walltime")
"""Not by default: they start a Slurm of their own, as root (.ci/install-slurm). Every label that
was lost there is a try."""


def measure(names: list[str], *, repeats: int, seed: int, folder: Path) -> dict[str, Tally]:
    """Try each fault until it has hit a run `repeats` times, at most twice as often."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    study = Study(folder)
    found = {}
    try:
        for name in (each for each in (*FAULTS, *ON_SLURM) if each in names):
            began = time.monotonic()
            if name in ON_SLURM:
                kills.close_pools(study)  # they have pools of their own
            for total in _tried(_fault(name), study, random.Random(f"{seed} {name}"), repeats):
                found[name] = total
                row = f"{name}: {total}, {time.monotonic() - began:.0f} s"
                print(row, file=sys.stderr, flush=True)
    finally:
        kills.close_pools(study)
    return found


def _fault(name: str) -> Callable[[Study, random.Random], Tally]:
    if name in FAULTS:
        return FAULTS[name]
    from fault_study import slurm

    found: Callable[[Study, random.Random], Tally] = getattr(slurm, name)
    return found


def _tried(
    fault: Callable[[Study, random.Random], Tally],
    study: Study,
    rng: random.Random,
    repeats: int,
) -> Iterator[Tally]:
    """The sum after each try."""
    total = Tally()
    for _ in range(2 * repeats):
        total = total + fault(study, rng)
        yield total
        if total.tries - total.idle >= repeats:
            return


def wrongs(tally: Tally) -> int:
    """Everything that must be zero."""
    parts = (tally.lost, tally.wrong, tally.not_resumed, tally.different)
    return sum(parts) + len(tally.amiss)


def show(found: Mapping[str, Tally]) -> None:
    """Print the table of docs/benchmarks.md."""
    print("| Fault | Tries | That hit | Labels lost | Wrong labels accepted | Runs not resumed "
          "| Not the same to the bit |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for name, tally in found.items():
        same = str(tally.different) if tally.promised else "-"
        cells = [tally.tries, tally.tries - tally.idle, tally.lost, tally.wrong, tally.not_resumed]
        print(f"| {name} | {' | '.join(str(cell) for cell in cells)} | {same} |")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="Faults injected into real runs.")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument(
        "--faults", nargs="+", choices=(*FAULTS, *ON_SLURM), default=list(FAULTS), metavar="NAME"
    )
    parser.add_argument("--repeats", type=int, default=20, help="runs that each fault has to hit")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        found = measure(
            options.faults, repeats=options.repeats, seed=options.seed, folder=Path(folder)
        )
    if options.json:
        figures = {name: 1.0 / (1 + wrongs(tally)) for name, tally in found.items()}
        shown = {"repeats": options.repeats, "seed": options.seed}
        shown |= {name: vars(tally) for name, tally in found.items()}
        print(json.dumps({"benchmark": "faults", "figures": figures, "settings": shown}))
    else:
        show(found)
    bad = [name for name, tally in found.items() if wrongs(tally)]
    if bad:
        sys.exit(f"{', '.join(bad)}: something was lost, wrong or not resumed")


if __name__ == "__main__":
    main()

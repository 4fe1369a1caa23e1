"""Two runs of one config: until which step they took the same decisions, and where they part.

    python benchmarks/compare_runs.py runs/local runs/slurm --json

Each figure is the share of the run, in MD steps, for which the two agree: 1 means all of it. Of
runs that are not finished the steps that both took are compared. Numbers agree when they are the
same to the bit, decisions when both runs asked at the same step for the same reason.
`positions/to 1e-06 Å` and the like say how fast rounding grows, once it is there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnflow.data import RunData, read_run
from bnnflow.errors import BnnflowError

BENCHMARK = "compare_runs"
WITHIN_A = (1e-6, 1e-3, 1e-1)
"""Distances of an atom in the two runs whose first step is looked for, Å."""


@dataclass(frozen=True)
class Parting:
    """Where two runs part in one respect.

    step: the first MD step at which they differ, None when they never do; rows: how many rows of
    the shorter run were compared; same: how many before the first that differs.
    """

    step: int | None
    rows: int
    same: int


@dataclass(frozen=True)
class Series:
    """Rows of one run: the MD step of each, and what it holds, one array per column."""

    steps: NDArray[np.int64]
    columns: Sequence[NDArray[Any]]


COMPARED: dict[str, tuple[str, tuple[str, ...]]] = {
    "decisions": ("decisions", ("step", "ask", "reason")),
    "sigma* of decisions": ("decisions", ("step", "energy_std", "probability")),
    "sigma* of steps": ("trajectory", ("steps", "energy_std", "limit", "probability")),
    "trajectory": ("trajectory", ("steps", "positions", "energy", "kinetic")),
    "labels": ("labels", ("step", "positions", "energy", "forces")),
    "updates": ("updates", ("version", "energy_rmse", "force_rmse")),
}
"""Name of a figure -> table of the run file and its columns."""


def main() -> None:
    """Compare, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    try:
        one, other = (read_run(folder) for folder in options.runs)
    except BnnflowError as error:
        raise SystemExit(str(error)) from error
    found, last = compare(one, other), last_step(one, other)
    print(as_json(found, last, options.runs) if options.json else table(found, last))


def compare(one: RunData, other: RunData) -> dict[str, Parting]:
    """Every respect in which two runs are compared.

    Raises SystemExit when they are runs of different atoms.
    """
    if not np.array_equal(one.numbers, other.numbers):
        raise SystemExit("the two runs have different atoms: compare two runs of one config")
    last = last_step(one, other)
    found = {
        name: parting(_series(one, *which, last=last), _series(other, *which, last=last))
        for name, which in COMPARED.items()
    }
    return found | {f"positions/to {limit:g} Å": _apart(one, other, limit) for limit in WITHIN_A}


def last_step(one: RunData, other: RunData) -> int:
    """The last MD step that both runs took, 0 when one took none."""
    return min(int(max(run.trajectory.steps, default=0)) for run in (one, other))


def _series(run: RunData, table: str, columns: Sequence[str], *, last: int) -> Series:
    """Some columns of a table of a run, up to a step; an update has that of its label."""
    rows = getattr(run, table)
    if table == "updates":
        # The first label is at step 0, its update done when step 1 is taken.
        steps = np.maximum(1, np.asarray(run.labels.step)[np.asarray(rows.version) - 1])
    else:
        steps = np.asarray(rows.steps if table == "trajectory" else rows.step)
    both = steps <= last  # beyond, one of the runs has not come so far
    return Series(steps[both], [np.asarray(getattr(rows, name))[both] for name in columns])


def parting(one: Series, other: Series) -> Parting:
    """The first row that is not the same to the bit, or that only one of the two has."""
    count = min(len(one.steps), len(other.steps))
    unlike = np.zeros(count, dtype=bool)
    for mine, theirs in zip(one.columns, other.columns, strict=True):
        unlike |= _unlike(mine[:count], theirs[:count])
    same = int(np.argmax(unlike)) if unlike.any() else count
    steps = [int(each.steps[same]) for each in (one, other) if same < len(each.steps)]
    return Parting(min(steps, default=None), count, same)


def _unlike(mine: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows differ; NaN is like NaN."""
    if mine.shape != theirs.shape:  # another number of chains
        return np.ones(len(mine), dtype=bool)
    unlike = (mine != theirs) & ~((mine != mine) & (theirs != theirs))
    return np.asarray(unlike.any(axis=tuple(range(1, unlike.ndim))))


def _apart(one: RunData, other: RunData, limit: float) -> Parting:
    """The first step at which an atom is further than `limit` (Å) from where it is in the other."""
    mine, theirs = one.trajectory, other.trajectory
    count = min(len(mine.steps), len(theirs.steps))
    gap = np.linalg.norm(mine.positions[:count] - theirs.positions[:count], axis=-1)
    far = np.flatnonzero((gap > limit).any(axis=1))
    same = int(far[0]) if len(far) else count
    return Parting(int(mine.steps[same]) if len(far) else None, count, same)


def as_json(found: dict[str, Parting], last: int, runs: Sequence[Path]) -> str:
    """Return the one line of the benchmark convention."""
    figures = {name: _share(parting, last) for name, parting in found.items()}
    settings = {
        "runs": [str(run) for run in runs],
        "steps": last,
        "first_step_that_differs": {name: parting.step for name, parting in found.items()},
        "rows_alike": {name: [parting.same, parting.rows] for name, parting in found.items()},
    }
    return json.dumps({"benchmark": BENCHMARK, "figures": figures, "settings": settings})


def _share(parting: Parting, last: int) -> float:
    """Share of the common steps before the parting."""
    if parting.step is None or last == 0:
        return 1.0 if parting.step is None else 0.0
    return round(min(1.0, max(0, parting.step - 1) / last), 4)


def table(found: dict[str, Parting], last: int) -> str:
    """Return what parts where, a row each."""
    head = f"{'':24s} rows alike        first differs at step (of {last:,})"
    rows = [
        f"{name:24s} {parting.same:6,d} of {parting.rows:<6,d}  "
        f"{'never' if parting.step is None else format(parting.step, ',')}"
        for name, parting in found.items()
    ]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    main()

"""An MD step's prediction by 8 members: bnnflow against the plain published loop.

    python benchmarks/ensemble_md.py --json

Energy, forces, their std and, in a cell, the stress of eight members for a structure that has
moved since the last step. One thread, process CPU time, alternating in one process, medians;
figures are ratios loop / bnnflow. `limit` is bnnflow's time over that of its matrix products at
the speed of a large sgemm measured in the same run. Ends with an error when the numbers differ by
more than float32 rounding.
"""

from __future__ import annotations

from itertools import cycle

import numpy as np
import torch
from cost_cases import describe, elements_of, members, potential_of, stock_model, structures
from measure import Cost, alternate, difference, leave, matmul_flops, parse, report, sgemm_peak
from published_loop import copy_of, predict

from bnnflow.potentials import Ensemble

MEMBERS = 8
ROUNDING = 2e-4
CASES = (
    "predict.s16.ethanol",
    "predict.s16.perovskite40",
    "predict.s16.perovskite160",
    "predict.s32.ethanol",
    "predict.s32.perovskite40",
    "predict.s32.perovskite160",
    "predict.mp0.perovskite40",
)
DEFAULT = tuple(case for case in CASES if "160" not in case and "mp0" not in case)


def measure(case: str, repeats: int, peak: float) -> Cost:
    """Time one case and compare its numbers."""
    name, material = describe(case)
    elements = elements_of(name, material)
    stock = stock_model(name, elements)
    potential = potential_of(stock)
    rows = members(potential, MEMBERS)
    ensemble = Ensemble.of(potential, rows)
    loop = [copy_of(stock, potential.layout, row) for row in rows]
    frames = structures(material, 8)
    mine, theirs = cycle(frames), cycle(frames)
    answers = predict(loop, frames[0])
    seconds, loop_seconds = alternate(
        lambda: ensemble.members(next(mine)),
        lambda: predict(loop, next(theirs)),
        repeats=repeats,
    )
    flops = matmul_flops(lambda: ensemble.members(frames[0]))
    return Cost(
        ratio=loop_seconds / seconds,
        ours_ms=1e3 * seconds,
        loop_ms=1e3 * loop_seconds,
        difference=_difference(ensemble, frames[0], answers),
        to_limit=seconds / (flops / peak),
    )


def _difference(ensemble: Ensemble, frame: object, answers: list[dict[str, torch.Tensor]]) -> float:
    mine = vars(ensemble.members(frame))  # type: ignore[arg-type]
    worst = 0.0
    for key in answers[0]:
        theirs = torch.stack([answer[key].detach().squeeze() for answer in answers])
        worst = max(worst, difference(torch.as_tensor(np.asarray(mine[key])), theirs.double()))
    return worst


def main() -> None:
    """Parse the command line, measure, print."""
    options = parse(__doc__.splitlines()[0], CASES, DEFAULT)
    torch.set_num_threads(1)
    peak = sgemm_peak()
    costs = {case: measure(case, options.repeats, peak) for case in options.cases}
    settings = {
        "members": MEMBERS,
        "threads": 1,
        "repeats": options.repeats,
        "torch": torch.__version__,
        "sgemm_gflops": peak / 1e9,
    }
    report("ensemble_md", costs, settings, as_json=options.json)
    leave(costs, ROUNDING)


if __name__ == "__main__":
    main()

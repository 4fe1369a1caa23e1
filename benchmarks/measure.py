"""Process CPU time of two ways of computing the same, alternating in one process."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

Run = Callable[[], Any]


@dataclass(frozen=True)
class Cost:
    """What a case costs: ratio loop / ours, CPU ms of both, largest relative difference of their
    numbers, our time over that of our matrix products at sgemm's speed."""

    ratio: float
    ours_ms: float | None = None
    loop_ms: float | None = None
    difference: float = 0.0
    to_limit: float | None = None
    floats: dict[str, int] | None = None


def cpu_seconds(run: Run) -> float:
    """CPU seconds of this process for one call."""
    began = time.process_time()
    run()
    return time.process_time() - began


def alternate(ours: Run, loop: Run, *, repeats: int, share: float = 1.0) -> tuple[float, float]:
    """Median CPU seconds of both, after one call of each to warm up.

    share: part of the whole loop that one call of `loop` does (its rounds are independent).
    """
    pairs = [(cpu_seconds(ours), cpu_seconds(loop)) for _ in range(repeats + 1)][1:]
    mine, theirs = zip(*pairs, strict=True)
    return statistics.median(mine), statistics.median(theirs) / share


def matmul_flops(run: Run) -> float:
    """Floating-point operations of the matrix products of one call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def sgemm_peak(size: int = 1024, repeats: int = 7) -> float:
    """Floating-point operations per second of a square float32 product in this process."""
    matrix = torch.randn(size, size)
    seconds = min(cpu_seconds(lambda: matrix @ matrix) for _ in range(repeats))
    return 2.0 * size**3 / seconds


def difference(mine: Tensor, theirs: Tensor) -> float:
    """Largest difference relative to the largest number; infinite when one is not finite."""
    gap, largest = float((mine - theirs).abs().max()), float(theirs.abs().max())
    if not (math.isfinite(gap) and math.isfinite(largest)):
        return math.inf
    return gap / largest if largest > 0.0 else gap


def parse(description: str, cases: Sequence[str], default: Sequence[str]) -> argparse.Namespace:
    """The command line that both benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--cases", nargs="+", choices=cases, default=list(default), metavar="CASE")
    parser.add_argument("--repeats", type=int, default=7)
    return parser.parse_args()


def report(name: str, costs: dict[str, Cost], settings: dict[str, Any], *, as_json: bool) -> None:
    """Print a table or the JSON line."""
    figures = {case: cost.ratio for case, cost in costs.items()}
    settings = settings | {case: vars(cost) for case, cost in costs.items()}
    if as_json:
        print(json.dumps({"benchmark": name, "figures": figures, "settings": settings}))
        return
    print(f"{'case':<26}{'ratio':>8}{'ours ms':>11}{'loop ms':>11}{'limit':>9}{'differ':>10}")
    for case, cost in costs.items():
        numbers = (cost.ours_ms, cost.loop_ms, cost.to_limit)
        ours, loop, limit = ("-" if value is None else f"{value:.2f}" for value in numbers)
        row = f"{cost.ratio:>8.2f}{ours:>11}{loop:>11}{limit:>9}{cost.difference:>10.1e}"
        print(f"{case:<26}{row}")


def leave(costs: dict[str, Cost], rounding: float) -> None:
    """Exit with an error when a case did not give the loop's numbers."""
    wrong = [case for case, cost in costs.items() if not cost.difference < rounding]
    if wrong:
        sys.exit(f"{', '.join(wrong)}: not the loop's numbers to {rounding}: the ratio is void")

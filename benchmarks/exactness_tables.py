"""The two tables of `exactness`: every sampler on every problem, row by row."""

from __future__ import annotations

import time

from draws import Sampler
from exactness_figures import (
    Figures,
    figures,
    kept_figures,
    passes,
    successive_figures,
    successive_updates,
)
from known_posteriors import known_posteriors
from rto_samplers import independent

BUDGET = 10_000


def single_updates(samplers: dict[str, Sampler], *, chains: int, verbose: bool) -> dict[str, float]:
    """The table of first updates; figures by name."""
    table: dict[str, float] = {}
    for problem in known_posteriors():
        for name, sampler in samplers.items():
            began = time.process_time()
            sampled = sampler(problem, chains)
            groups = figures(problem, sampled)
            if verbose:
                seconds = time.process_time() - began
                print(_line(problem.name, name, sampled.cost, groups, seconds), flush=True)
            table |= _flat(f"{problem.name}.{name}", groups)
            table[f"{problem.name}.{name}.cost"] = sampled.cost
    return table


def further_updates(
    samplers: dict[str, Sampler], *, chains: int, updates: int, verbose: bool
) -> dict[str, float]:
    """The table of successive updates; figures by name."""
    table: dict[str, float] = {}
    for problem in known_posteriors():
        for name, sampler in samplers.items():
            began = time.process_time()
            phi = successive_updates(independent(sampler), problem, chains=chains, updates=updates)
            groups = successive_figures(problem, phi)
            if verbose:
                seconds = time.process_time() - began
                print(_successive_line(problem.name, name, groups, seconds), flush=True)
            table |= _flat(f"successive.{problem.name}.{name}", groups)
    return table


def kept(
    samplers: dict[str, Sampler], *, chains: int, updates: int, verbose: bool
) -> dict[str, float]:
    """The table of updates after exact draws of `curved`; figures by name."""
    table: dict[str, float] = {}
    for name, sampler in samplers.items():
        groups = kept_figures(sampler, chains=chains, updates=updates)
        if verbose:
            cells = [
                f"{group} {g['variance']:.2f} ({g['low']:.2f}-{g['high']:.2f}) "
                f"off {g['mean_off']:.2f} cover {g['coverage']:.2f} memory {g['memory']:.2f}"
                for group, g in groups.items()
            ]
            print(f"{'curved':9s} {name:33s} kept {'; '.join(cells)}", flush=True)
        table |= _flat(f"kept.curved.{name}", groups)
    return table


def _flat(prefix: str, groups: Figures) -> dict[str, float]:
    return {f"{prefix}.{g}.{key}": v for g, found in groups.items() for key, v in found.items()}


def _line(problem: str, sampler: str, cost: int, groups: Figures, seconds: float) -> str:
    """A row of the table of single updates."""
    cells = [
        f"{name} {g['variance']:.2f} ({g['low']:.2f}-{g['high']:.2f}) off {g['mean_off']:.2f} "
        f"cover {g['coverage']:.2f}"
        for name, g in groups.items()
    ]
    verdict = "pass" if all(map(passes, groups.values())) else "    "
    if cost > BUDGET:
        verdict = "over"
    return f"{problem:9s} {sampler:33s} {cost:6d} {verdict} {'; '.join(cells)} [{seconds:.1f} s]"


def _successive_line(problem: str, sampler: str, groups: Figures, seconds: float) -> str:
    """A row of the table of successive updates."""
    cells = [
        f"{name} R-hat {g['r_hat']:.2f} size {g['size']:.1f} variance {g['variance']:.2f} "
        f"off {g['mean_off']:.2f} cover {g['coverage']:.2f}"
        for name, g in groups.items()
    ]
    return f"{problem:9s} {sampler:33s} successive {'; '.join(cells)} [{seconds:.1f} s]"

"""What batching over members saves: 8 chains or members at once against one after the other.

    python benchmarks/batching.py --json

Ethanol on the shipped model, one thread, process CPU time, alternating in one process, medians.
Ratios: time of the loop over time of the batch, higher is better. Both give the same numbers; the
largest difference is among the figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bnnflow.bayes import GaussianPrior, MinibatchSampler
from bnnflow.materials import load_structure
from bnnflow.potentials import Ensemble, load_potential
from bnnflow.records import Label, PotentialSpec, Structure
from bnnflow.training import LabelledSet, Posterior
from bnnflow.training.sample import stream

MEMBERS = 8
FRAMES = 10


def frames(count: int) -> list[Structure]:
    """Ethanol, rattled by 0.05 Å."""
    rng = np.random.default_rng(0)
    atoms = load_structure("ethanol").to_atoms()
    structures = []
    for _ in range(count):
        moved = atoms.copy()
        moved.positions += 0.05 * rng.normal(size=moved.positions.shape)
        structures.append(Structure.from_atoms(moved))
    return structures


def posterior() -> Posterior:
    """The shipped model with made-up labels: cost does not depend on their values."""
    potential = load_potential(PotentialSpec("chno-small"))
    labels = [
        Label(structure, 0.0, np.zeros((len(structure), 3)), None, "", "", 0.0, "")
        for structure in frames(FRAMES)
    ]
    mean = potential.prior_mean()
    active = potential.active((1, 6, 8))
    return Posterior(
        potential=potential,
        data=LabelledSet.of(potential, labels, energy_shift=0.0),
        base=mean,
        active=active,
        prior=GaussianPrior.of(mean[active], 0.5),
        energy_std=4e-3,
    )


def compare(
    together: Callable[[], Any], apart: Callable[[], Any], repeats: int
) -> tuple[float, float]:
    """Median CPU seconds of both, alternating."""
    seconds: dict[str, list[float]] = {"together": [], "apart": []}
    together(), apart()
    for _ in range(repeats):
        for name, run in (("together", together), ("apart", apart)):
            began = time.process_time()
            run()
            seconds[name].append(time.process_time() - began)
    return statistics.median(seconds["together"]), statistics.median(seconds["apart"])


def measure(repeats: int) -> dict[str, float]:
    """Ratios, CPU milliseconds and differences of both cases."""
    target = posterior()
    starts = [target.potential.start(stream(0, chain)) for chain in range(MEMBERS)]
    full = torch.stack(starts)
    theta = full[:, target.active]
    draws = MinibatchSampler(
        n_data=FRAMES, batch=5, generators=[stream(1, chain) for chain in range(MEMBERS)]
    ).draw()
    rows = [slice(chain, chain + 1) for chain in range(MEMBERS)]
    structure = frames(1)[0]

    def step_together() -> torch.Tensor:
        return target.gradient(theta, draws)

    def step_apart() -> torch.Tensor:
        parts = [
            target.gradient(theta[r], type(draws)(draws.index[r], draws.weight[r])) for r in rows
        ]
        return torch.cat(parts)

    def predict_together() -> np.ndarray:
        return Ensemble(target.potential, full).members(structure).forces

    def predict_apart() -> np.ndarray:
        parts = [Ensemble(target.potential, full[r]).members(structure).forces for r in rows]
        return np.concatenate(parts)

    figures = {}
    for case, together, apart in (
        ("step", step_together, step_apart),
        ("predict", predict_together, predict_apart),
    ):
        batch, loop = compare(together, apart, repeats)
        scale = float(abs(np.asarray(apart())).max())
        difference = float(abs(np.asarray(together()) - np.asarray(apart())).max()) / scale
        figures[f"{case}.ratio"] = loop / batch
        figures[f"{case}.batch_ms"] = 1e3 * batch
        figures[f"{case}.relative_difference"] = difference
    return figures


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = measure(options.repeats)
    settings = {"members": MEMBERS, "batch": 5, "threads": 1, "repeats": options.repeats}
    if options.json:
        print(json.dumps({"benchmark": "batching", "figures": figures, "settings": settings}))
    else:
        print("\n".join(f"{name:<28}{value:>12.4g}" for name, value in figures.items()))


if __name__ == "__main__":
    main()

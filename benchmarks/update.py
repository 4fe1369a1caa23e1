"""One step of the posterior update by 8 chains: bnnflow against the plain published loop.

    python benchmarks/update.py --json

    step.*         gradient of the negative log posterior at a minibatch of 5 frames, and the
                   SGHMC step, of 8 chains
    update_only.*  prior and SGHMC step alone, given the gradient of the likelihood
    state.mp0      floats of state per chain: all 89 elements against the three present

One thread, process CPU time, alternating in one process, medians; figures are ratios loop /
bnnflow. A large loop is timed on fewer chains and scaled, for its chains share nothing. Ends with
an error when the gradient of a step, or the positions after three updates with the same noise,
differ from the loop's by more than float32 rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from cost_cases import (
    MATERIALS,
    MP0_ELEMENTS,
    describe,
    elements_of,
    members,
    potential_of,
    stock_model,
    structures,
)
from measure import Cost, alternate, difference, leave, matmul_flops, parse, report, sgemm_peak
from published_loop import Member, Sampler, Targets, chain_gradient, copy_of, fresh_noise
from torch import Tensor

from bnnflow.bayes import GaussianPrior, Minibatch, sghmc
from bnnflow.potentials.layout import ParameterLayout
from bnnflow.potentials.mace import MacePotential
from bnnflow.records import Label, Structure
from bnnflow.training import LabelledSet, Posterior

CHAINS, BATCH, FRAMES = 8, 5, 10
PRIOR_STD, ENERGY_STD = 0.5, 2e-3  # eV
MOVE = {"step_size": 1e-3, "friction": 0.1}
MASS = {"decay": 0.999, "epsilon": 1e-4}
ROUNDING = 2e-4
STEPS = ("step.s16.ethanol", "step.s32.perovskite40", "step.mp0.perovskite40")
MORE_STEPS = ("step.s32.ethanol", "step.s32.perovskite160")
UPDATES = {"update_only.21k": ("s16", 3), "update_only.135k": ("s32", 9)}
DEFAULT = (*STEPS, *UPDATES, "state.mp0")


@dataclass(eq=False)
class Chains:
    """The state of all chains, as bnnflow moves it."""

    state: sghmc.State
    noise: Tensor
    streams: list[torch.Generator]

    @classmethod
    def at(cls, position: Tensor) -> Chains:
        """Chains at rest at (k, P)."""
        streams = [torch.Generator().manual_seed(chain) for chain in range(len(position))]
        return cls(sghmc.init(position), torch.empty_like(position), streams)

    def draw(self) -> None:
        """New noise, each chain from its own stream."""
        for row, generator in zip(self.noise, self.streams, strict=True):
            torch.randn(row.shape, generator=generator, out=row)

    def move(self, gradient: Tensor) -> None:
        """One step along the gradient (k, P) divided by N."""
        sghmc.update_mass(self.state, gradient, decay=MASS["decay"])
        mass = sghmc.mass(self.state, **MASS)
        settings = {"mass": mass, "noise": self.noise, "n_data": FRAMES, **MOVE}
        sghmc.update(self.state, gradient, temperature=1.0, **settings)


@dataclass(eq=False)
class Loop:
    """The same chains one after the other; the lists hold one entry per chain."""

    chains: list[Member]
    samplers: list[Sampler]
    graphs: list[list[object]]
    targets: list[Targets]

    def gradients(self) -> None:
        """Gradients of all chains over N, left in their parameters."""
        for chain, sampler, graphs, targets in zip(
            self.chains, self.samplers, self.graphs, self.targets, strict=True
        ):
            chain_gradient(chain, sampler, graphs, targets, ENERGY_STD)

    def step(self) -> None:
        """One step of all chains."""
        self.gradients()
        for sampler in self.samplers:
            sampler.step(fresh_noise)


def sampler_of(parameters: list[torch.nn.Parameter], mean: list[Tensor]) -> Sampler:
    """The published sampler with the settings used here."""
    return Sampler(parameters, mean, prior_std=PRIOR_STD, n_data=FRAMES, **MOVE, **MASS)


def labels(frames: list[Structure]) -> list[Label]:
    """Made-up labels, of the size of real ones."""
    rng = np.random.default_rng(2)
    return [
        Label(
            frame,
            float(rng.normal()),
            rng.normal(size=(len(frame), 3)),
            1e-2 * rng.normal(size=6) if frame.pbc.all() else None,
            "",
            "",
            0.0,
            "",
        )
        for frame in frames
    ]


def posterior_of(potential: MacePotential, material: str, frames: list[Structure]) -> Posterior:
    """The frames with labels; prior and chains cover the elements present."""
    mean = potential.prior_mean()
    active = potential.active(MATERIALS[material])
    return Posterior(
        potential=potential,
        data=LabelledSet.of(potential, labels(frames), energy_shift=0.0),
        base=mean,
        active=active,
        prior=GaussianPrior.of(mean[active], PRIOR_STD),
        energy_std=ENERGY_STD,
    )


def minibatch() -> Minibatch:
    """One minibatch per chain, with made-up weights."""
    generator = torch.Generator().manual_seed(4)
    rows = [torch.randperm(FRAMES, generator=generator)[:BATCH] for _ in range(CHAINS)]
    index = torch.stack(rows)
    return Minibatch(index, 0.5 + torch.rand(index.shape, generator=generator))


def targets_of(posterior: Posterior, draws: Minibatch, chain: int) -> Targets:
    """Labels of one chain's minibatch; all frames have the same number of atoms."""
    data, index = posterior.data, draws.index[chain]
    return Targets(
        energy=data.energy[index],
        forces=data.forces[index].flatten(0, 1),
        stress=data.stress[index] if bool(data.has_stress.all()) else None,
        weight=draws.weight[chain],
        frame=torch.arange(BATCH).repeat_interleave(data.forces.shape[1]),
    )


def loop_of(
    stock: torch.nn.Module,
    rows: Tensor,
    posterior: Posterior,
    draws: Minibatch,
    frames: list[Structure],
) -> Loop:
    """Chains with the weights of `rows` (k, P), on the first k minibatches."""
    layout = posterior.potential.layout
    chains = [copy_of(stock, layout, row) for row in rows]
    mean = list(layout.unflatten(posterior.base).values())
    picked = draws.index.tolist()
    return Loop(
        chains=chains,
        samplers=[sampler_of(chain.parameters(), mean) for chain in chains],
        graphs=[[chain.graph(frames[i]) for i in picked[row]] for row, chain in enumerate(chains)],
        targets=[targets_of(posterior, draws, row) for row in range(len(rows))],
    )


def measure_step(case: str, repeats: int, peak: float) -> Cost:
    """Time one step of 8 chains and compare the gradients."""
    name, material = describe(case)
    stock = stock_model(name, elements_of(name, material))
    potential = potential_of(stock)
    frames, draws, rows = structures(material, FRAMES), minibatch(), members(potential, CHAINS)
    posterior = posterior_of(potential, material, frames)
    rows = torch.where(posterior.active, rows, posterior.base)
    looped = CHAINS if material == "ethanol" else 1 if name == "mp0" else 2
    loop = loop_of(stock, rows[:looped], posterior, draws, frames)
    ours = Chains.at(rows[:, posterior.active])

    def step() -> None:
        ours.draw()
        ours.move(posterior.gradient(ours.state.position, draws))

    flops = matmul_flops(lambda: posterior.gradient(ours.state.position, draws))
    worst = compare_gradients(loop, posterior.gradient(ours.state.position, draws), posterior)
    seconds, whole = alternate(step, loop.step, repeats=repeats, share=looped / CHAINS)
    return Cost(whole / seconds, 1e3 * seconds, 1e3 * whole, worst, seconds / (flops / peak))


def compare_gradients(loop: Loop, mine: Tensor, posterior: Posterior) -> float:
    """Largest difference over the chains of the loop and over the model's parameter tensors, each
    relative to the largest slope in that tensor: the head's slopes are far larger than others."""
    loop.gradients()
    layout = posterior.potential.layout
    worst = 0.0
    for chain, row in zip(loop.chains, mine, strict=False):
        full = torch.zeros(layout.size)
        full[posterior.active] = row
        for own, value, active in zip(
            layout.unflatten(full).values(),
            chain.parameters(),
            layout.unflatten(posterior.active).values(),
            strict=True,
        ):
            slope = torch.zeros_like(value) if value.grad is None else value.grad
            worst = max(worst, difference(own, slope * active))
    return worst


def measure_update(case: str, repeats: int) -> Cost:
    """Time prior and SGHMC step alone, of parameters cut up as the model's are."""
    name, n_elements = UPDATES[case]
    potential = potential_of(stock_model(name, MP0_ELEMENTS[:n_elements]))
    layout, rows = potential.layout, members(potential, CHAINS)
    prior = GaussianPrior.of(potential.prior_mean(), PRIOR_STD)
    slope = torch.randn(rows.shape, generator=torch.Generator().manual_seed(3))
    ours, samplers = Chains.at(rows), [pieces(layout, row, prior.mean) for row in rows]
    slopes = [list(layout.unflatten(row).values()) for row in slope]

    def together() -> None:
        ours.move(slope + prior.gradient(ours.state.position) / FRAMES)

    def with_noise() -> None:
        ours.draw()
        together()

    def apart() -> None:
        for sampler, own in zip(samplers, slopes, strict=True):
            sampler.prior_and_step(own, fresh_noise)

    worst = 0.0
    for _ in range(3):
        ours.draw()
        for sampler, own, noise in zip(samplers, slopes, ours.noise, strict=True):
            cut = list(layout.unflatten(noise.clone()).values())
            sampler.prior_and_step(own, lambda number, _shape, cut=cut: cut[number])
        together()
        worst = max(worst, compare_positions(ours.state.position - rows, samplers, rows))
    seconds, loop_seconds = alternate(with_noise, apart, repeats=5 * repeats)
    return Cost(loop_seconds / seconds, 1e3 * seconds, 1e3 * loop_seconds, worst)


def pieces(layout: ParameterLayout, row: Tensor, mean: Tensor) -> Sampler:
    """A sampler of one chain (P,), one tensor for each parameter of the model."""
    values = [torch.nn.Parameter(value.clone()) for value in layout.unflatten(row).values()]
    return sampler_of(values, list(layout.unflatten(mean).values()))


def compare_positions(moved: Tensor, samplers: list[Sampler], rows: Tensor) -> float:
    """Largest difference of the way gone since the start (k, P), relative to the longest way."""
    ends = [torch.cat([v.detach().reshape(-1) for v in s.parameters]) for s in samplers]
    return difference(moved, torch.stack(ends) - rows)


def measure_state() -> Cost:
    """Floats per chain (position, momentum, two moments): all elements against three."""
    potential = potential_of(stock_model("mp0", MP0_ELEMENTS))
    row = members(potential, 1)
    held = {}
    for name, part in (
        ("loop", row),
        ("ours", row[:, potential.active(MATERIALS["perovskite40"])]),
    ):
        state = sghmc.init(part)
        held[name] = sum(v.numel() for v in vars(state).values() if isinstance(v, Tensor))
    return Cost(held["loop"] / held["ours"], difference=0.0, floats=held)


def main() -> None:
    """Parse the command line, measure, print."""
    options = parse(__doc__.splitlines()[0], (*DEFAULT, *MORE_STEPS), DEFAULT)
    torch.set_num_threads(1)
    peak = sgemm_peak()
    costs = {}
    for case in options.cases:
        if case.startswith("step"):
            costs[case] = measure_step(case, options.repeats, peak)
        else:
            costs[case] = (
                measure_update(case, options.repeats) if case in UPDATES else measure_state()
            )
    settings = {"chains": CHAINS, "batch": BATCH, "repeats": options.repeats}
    report("update", costs, settings | {"sgemm_gflops": peak / 1e9}, as_json=options.json)
    leave(costs, ROUNDING)


if __name__ == "__main__":
    main()

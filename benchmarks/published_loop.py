"""The plain loop that the published procedure works by, written anew, as the yardstick of cost.

Members and chains one after the other; mace-torch's module as it comes (TorchScript where e3nn
uses it, all elements, its own forces); in MD a neighbour list for every member; the prior as a sum
of log-probabilities that autograd differentiates; the sampler parameter by parameter (METHOD 3).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import mace.modules.blocks
import torch
from mace import data
from mace.tools import AtomicNumberTable, torch_geometric
from mace.tools.scatter import scatter_sum
from torch import Tensor

from bnnflow.potentials.heads import ForceStdHead
from bnnflow.potentials.layout import ParameterLayout
from bnnflow.records import Structure
from bnnflow.units import STRESS_STD, VOIGT

Draw = Callable[[int, torch.Size], Tensor]
"""(number of the parameter, shape) to standard normal noise."""


@contextmanager
def own_scatter() -> Iterator[None]:
    """mace-torch with its own in-place scatter, which bnnflow replaces."""
    with patch.object(mace.modules.blocks, "scatter_sum", scatter_sum):
        yield


@dataclass(eq=False)
class Member:
    """One member or chain: mace-torch's model and the force-std head, with weights of their own."""

    model: torch.nn.Module
    head: ForceStdHead
    cutoff: float
    table: AtomicNumberTable

    def graph(self, structure: Structure) -> data.AtomicData:
        """The structure with its neighbour list."""
        config = data.config_from_atoms(structure.to_atoms())
        return data.AtomicData.from_config(config, z_table=self.table, cutoff=self.cutoff)

    def parameters(self) -> list[torch.nn.Parameter]:
        """All of them, those of absent elements included."""
        return [*self.model.parameters(), *self.head.parameters()]

    def evaluate(
        self, graphs: Sequence[data.AtomicData], *, stress: bool, training: bool
    ) -> dict[str, Tensor]:
        """Interaction energy (b,), forces (atoms, 3), stress (b, 6) and force std (atoms,)."""
        batch = torch_geometric.Batch.from_data_list(list(graphs))
        with own_scatter():
            out = self.model(batch.to_dict(), training=training, compute_stress=stress)
        answer = {
            "energy": out["interaction_energy"],
            "forces": out["forces"],
            "force_std": self.head(self._invariant(out["node_feats"])),
        }
        if stress:
            rows, columns = zip(*VOIGT, strict=True)
            answer["stress"] = out["stress"][:, list(rows), list(columns)]
        return answer

    def _invariant(self, features: Tensor) -> Tensor:
        """l = 0 channels of both layers: the first of the first, all of the last."""
        width = self.head.layers[0].in_features // 2
        return torch.cat([features[:, :width], features[:, -width:]], dim=-1)


def copy_of(model: torch.nn.Module, layout: ParameterLayout, row: Tensor) -> Member:
    """A member with the weights of one row (P,) of bnnflow's parameters."""
    named = layout.unflatten(row)
    own = copy.deepcopy(model)
    weights = {name[6:]: value for name, value in named.items() if name.startswith("model.")}
    own.load_state_dict(weights, strict=False)
    heads = {name[5:]: value for name, value in named.items() if name.startswith("head.")}
    head = ForceStdHead(heads["layers.0.weight"].shape[1])
    head.load_state_dict(heads)
    table = AtomicNumberTable([int(number) for number in model.atomic_numbers])  # type: ignore[union-attr]
    return Member(own, head, float(model.r_max), table)  # type: ignore[arg-type]


def predict(members: Sequence[Member], structure: Structure) -> list[dict[str, Tensor]]:
    """One MD step's predictions, member by member."""
    stress = bool(structure.pbc.all())
    return [
        member.evaluate([member.graph(structure)], stress=stress, training=False)
        for member in members
    ]


def fresh_noise(_number: int, shape: torch.Size) -> Tensor:
    """Standard normal noise for one parameter."""
    return torch.randn(shape)


@dataclass(eq=False)
class Sampler:
    """SGHMC of one chain, parameter by parameter, with a normal prior around `mean`."""

    parameters: list[torch.nn.Parameter]
    mean: list[Tensor]
    prior_std: float
    n_data: int
    step_size: float
    friction: float
    decay: float
    epsilon: float
    steps: int = 0
    state: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        zeros = [torch.zeros_like(value) for value in self.mean]
        self.state = [(zero.clone(), zero.clone(), zero.clone()) for zero in zeros]

    def negative_log_prior(self) -> Tensor:
        """-log N(theta | mean, std^2), for autograd."""
        total = torch.zeros(())
        for value, mean in zip(self.parameters, self.mean, strict=True):
            total = total - torch.distributions.Normal(mean, self.prior_std).log_prob(value).sum()
        return total

    def prior_and_step(self, slopes: list[Tensor], draw: Draw) -> None:
        """One step where the likelihood's gradient over N is given."""
        self.clear()
        (self.negative_log_prior() / self.n_data).backward()
        for value, slope in zip(self.parameters, slopes, strict=True):
            value.grad.add_(slope)  # type: ignore[union-attr]
        self.step(draw)

    def step(self, draw: Draw) -> None:
        """Move every parameter by its own `.grad`, the gradient divided by N."""
        self.steps += 1
        for number, (value, state) in enumerate(zip(self.parameters, self.state, strict=True)):
            self._move(value, *state, noise=draw(number, value.shape))

    @torch.no_grad()
    def _move(
        self, value: Tensor, momentum: Tensor, second: Tensor, largest: Tensor, *, noise: Tensor
    ) -> None:
        gradient = value.grad if value.grad is not None else torch.zeros_like(value)
        second.mul_(self.decay).addcmul_(gradient, gradient, value=1.0 - self.decay)
        largest.copy_(torch.max(largest, second))
        mass = (largest / (1.0 - self.decay**self.steps)).sqrt() + self.epsilon
        std = torch.sqrt(2.0 * mass / (self.step_size * self.n_data))
        momentum.mul_(1.0 - self.friction)
        momentum.add_(-self.friction * gradient + self.friction * noise * std)
        value.add_(self.step_size * momentum / mass)

    def clear(self) -> None:
        """Forget the gradients."""
        for value in self.parameters:
            value.grad = None


@dataclass(frozen=True, eq=False)
class Targets:
    """Labels of the frames of a minibatch: energy (b,), forces (atoms, 3), stress (b, 6), and
    weight (b,), with the number of the frame of every atom."""

    energy: Tensor
    forces: Tensor
    stress: Tensor | None
    weight: Tensor
    frame: Tensor


def negative_log_likelihood(
    answer: dict[str, Tensor], targets: Targets, energy_std: float
) -> Tensor:
    """Weighted sum over the frames, without constants."""
    energy = 0.5 * ((answer["energy"] - targets.energy) / energy_std) ** 2 + math.log(energy_std)
    std = answer["force_std"].unsqueeze(-1)
    force = (0.5 * ((answer["forces"] - targets.forces) / std) ** 2 + torch.log(std)).sum(-1)
    total = (energy * targets.weight).sum() + (force * targets.weight[targets.frame]).sum()
    if targets.stress is None:
        return total
    stress = (0.5 * ((answer["stress"] - targets.stress) / STRESS_STD) ** 2).sum(-1)
    return total + (stress * targets.weight).sum()


def chain_gradient(
    member: Member,
    sampler: Sampler,
    graphs: Sequence[data.AtomicData],
    targets: Targets,
    energy_std: float,
) -> None:
    """Leave the gradient of the negative log posterior over N in every parameter's `.grad`."""
    answer = member.evaluate(graphs, stress=targets.stress is not None, training=True)
    loss = negative_log_likelihood(answer, targets, energy_std) + sampler.negative_log_prior()
    sampler.clear()
    (loss / sampler.n_data).backward()

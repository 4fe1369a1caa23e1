"""A device that gives other numbers than the CPU is refused, whatever differs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_mace import Tiny

from bnnflow.errors import ModelError
from bnnflow.potentials import registry
from bnnflow.potentials.guard import check_same
from bnnflow.potentials.mace import MacePotential
from bnnflow.potentials.mace_files import load_mace
from bnnflow.potentials.protocol import Output
from bnnflow.records import PotentialSpec

CPU = torch.device("cpu")


class Slip(torch.autograd.Function):
    """The same value with another derivative."""

    @staticmethod
    def forward(_, value):
        return value.clone()

    @staticmethod
    def backward(_, slope):
        return 1.02 * slope


class Other(MacePotential):
    """Wrong in one quantity."""

    wrong = ""

    def evaluate(self, parameters, batch, *, stress=False, create_graph=False) -> Output:
        if self.wrong == "gradient":
            parameters = Slip.apply(parameters)
        output = super().evaluate(parameters, batch, stress=stress, create_graph=create_graph)
        if self.wrong in output._fields:
            output = output._replace(**{self.wrong: 1.01 * getattr(output, self.wrong)})
        return output


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny("4x0e+4x1o", tmp_path_factory.mktemp("guard"), torch.float32)


def test_the_same_potential_passes(tiny: Tiny) -> None:
    check_same(tiny.potential, MacePotential(load_mace(tiny.path)), CPU)


def test_rounding_passes(tiny: Tiny) -> None:
    check_same(tiny.potential, Double(load_mace(tiny.path), dtype=torch.float64), CPU)


class Double(MacePotential):
    """Works in float64 on float32 batches and parameters."""

    def evaluate(self, parameters, batch, *, stress=False, create_graph=False) -> Output:
        wide = {
            name: value.double() if value.is_floating_point() else value
            for name, value in vars(batch).items()
        }
        return super().evaluate(
            parameters.double(), type(batch)(**wide), stress=stress, create_graph=create_graph
        )


@pytest.mark.parametrize("quantity", ["energy", "forces", "stress", "force_std", "gradient"])
def test_every_quantity_is_looked_at(tiny: Tiny, quantity: str) -> None:
    other = Other(load_mace(tiny.path))
    other.wrong = quantity
    with pytest.raises(ModelError, match=f"{quantity} of the model .* set potential.device to cpu"):
        check_same(tiny.potential, other, CPU)


def test_numbers_that_are_not_finite_are_refused(tiny: Tiny) -> None:
    other = MacePotential(load_mace(tiny.path))
    other.evaluate = lambda *a, **k: tiny.potential.evaluate(*a, **k)._replace(  # type: ignore[method-assign]
        energy=torch.full((2, 1), torch.nan)
    )
    with pytest.raises(ModelError, match="energy of the model"):
        check_same(tiny.potential, other, CPU)


def test_loading_for_a_device_compares(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    monkeypatch.setattr(registry, "check_same", lambda one, other, device: compared.append(device))
    monkeypatch.setattr(registry, "check_device", lambda name: torch.device("meta"))
    registry.load_potential(PotentialSpec(str(tiny.path), device="cuda:7"))
    assert compared == [torch.device("meta")]


@pytest.mark.parametrize(("seen", "device"), [(False, "cpu"), (True, "cuda")])
def test_auto_is_what_the_machine_has(
    monkeypatch: pytest.MonkeyPatch, seen: bool, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen)
    assert registry.check_device("auto") == torch.device(device)
    if not seen:
        with pytest.raises(ModelError, match="use auto"):
            registry.check_device("cuda")

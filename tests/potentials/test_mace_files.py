"""Files of MACE models: what was written comes back bit for bit, and pickles are kept out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_mace import Tiny, build, crystal, molecules, stock_answer

from bnnflow.errors import ModelError
from bnnflow.potentials import load_potential
from bnnflow.potentials.ensemble import graph_batch
from bnnflow.potentials.mace_files import load_mace, load_mace_pickle, save_mace
from bnnflow.records import PotentialSpec


def same_state(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(value, states[1][name]) and value.dtype == states[1][name].dtype
        for name, value in states[0].items()
    )


def test_a_model_comes_back_bit_for_bit(tiny: Tiny) -> None:
    assert same_state(load_mace(tiny.path), tiny.stock)


def test_a_model_read_back_predicts_the_same_in_mace_torch(tiny: Tiny) -> None:
    answers = [stock_answer(model, crystal()) for model in (tiny.stock, load_mace(tiny.path))]
    assert answers[0]["total"] == pytest.approx(answers[1]["total"], abs=1e-9)


def contents(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    with safe_open(str(path), framework="pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_writing_what_was_read_gives_the_same_contents(tiny: Tiny, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    save_mace(load_mace(tiny.path), again)
    (header, arrays), (expected_header, expected) = contents(again), contents(tiny.path)
    assert header == expected_header
    assert arrays.keys() == expected.keys()
    assert all(torch.equal(arrays[name], expected[name]) for name in expected)


def test_loading_leaves_torchs_default_dtype_alone(tiny: Tiny) -> None:
    before = torch.get_default_dtype()
    load_mace(tiny.path)
    assert torch.get_default_dtype() == before


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, str(path))
    with pytest.raises(ModelError, match=r"not a bnnflow MACE file.*bnnflow-mace-1"):
        load_mace(path)


def test_weights_of_another_model_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    header, arrays = contents(tiny.path)
    del arrays[min(name for name in arrays if "skip_tp" in name)]
    path = tmp_path / "short.safetensors"
    save_file(arrays, str(path), metadata=header)
    with pytest.raises(ModelError, match="weights do not fit"):
        load_mace(path)


def test_other_classes_of_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a ScaleShiftMACE"):
        save_mace(torch.nn.Linear(2, 2), tmp_path / "other.safetensors")


def test_a_pickle_gives_the_same_model_as_the_file(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "stock.model"
    torch.save(tiny.stock, path)
    assert same_state(load_mace_pickle(path), load_mace(tiny.path))


def test_a_pickle_is_loaded_only_on_demand(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "stock.model"
    torch.save(tiny.stock, path)
    with pytest.raises(ModelError, match=r"pickle.*allow_pickle=true"):
        load_potential(PotentialSpec(str(path), dtype="float64"))
    spec = PotentialSpec(str(path), allow_pickle=True, dtype="float64")
    parameters = tiny.members(1)
    outputs = [
        potential.evaluate(parameters, tiny.batch(molecules()))
        for potential in (load_potential(spec), tiny.potential)
    ]
    assert torch.equal(outputs[0].energy, outputs[1].energy)


def test_a_refused_pickle_is_not_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "trap.model"
    torch.save(Trap(), path)
    with pytest.raises(ModelError):
        load_potential(PotentialSpec(str(path)))
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.model"
    path.write_text("not a model")
    with pytest.raises(ModelError, match=r"does not load as a mace-torch model"):
        load_potential(PotentialSpec(str(path), allow_pickle=True))


def test_a_model_with_several_heads_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "heads.safetensors"
    save_mace(build("4x0e", dtype=torch.float32, heads=2), path)
    with pytest.raises(ModelError, match=r"head0.*expected one"):
        load_potential(PotentialSpec(str(path)))


def test_a_float32_model_loads_as_float64(tmp_path: Path) -> None:
    """Its weights are the same numbers; its energies agree to float32 rounding."""
    tiny = Tiny("8x0e", tmp_path, torch.float32)
    single, double = (
        load_potential(PotentialSpec(str(tiny.path), dtype=dtype))
        for dtype in ("float32", "float64")
    )
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    assert torch.equal(single.prior_mean().double(), double.prior_mean())
    parameters = tiny.members(2)
    wide = double.evaluate(parameters.double(), graph_batch(double, molecules()))
    narrow = single.evaluate(parameters, graph_batch(single, molecules()))
    torch.testing.assert_close(narrow.energy.double(), wide.energy, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(narrow.forces.double(), wide.forces, rtol=1e-4, atol=1e-5)

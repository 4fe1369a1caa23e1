"""CHGNet's models by name and by file, and what is said when one cannot be used."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
import torch
from every_potential import NEEDS_CHGNET

from bnnflow.errors import ModelError
from bnnflow.potentials import chgnet_files, list_models, load_potential, model_info
from bnnflow.potentials.registry import locate, sha256
from bnnflow.records import PotentialSpec


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_without_the_package_one_line_says_what_to_install(without_package: None) -> None:
    load_potential.cache_clear()
    for look in (load_potential, lambda spec: model_info(spec.model)):
        with pytest.raises(ModelError, match=r'pip install "bnnflow\[chgnet\]"$') as raised:
            look(PotentialSpec("chgnet"))
        assert "\n" not in str(raised.value)
    listed = {model.name: model for model in list_models()}
    assert not listed["chgnet:0.3.0"].present
    assert "bnnflow[chgnet]" in listed["chgnet:0.3.0"].path


def test_an_unknown_version_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"chgnet:0\.9.*0\.3\.0, r2scan"):
        locate("chgnet:0.9")


@NEEDS_CHGNET
@pytest.mark.parametrize("name", ["chgnet", "chgnet:0.3.0", "chgnet:r2scan"])
def test_shipped_models_load_and_are_described(name: str) -> None:
    potential = load_potential(PotentialSpec(name))
    assert len(potential.elements) == 89
    info = model_info(name)
    assert info["family"] == "chgnet"
    assert info["sha256"] == chgnet_files.shipped(name).sha256
    assert info["level"] == chgnet_files.shipped(name).level


@NEEDS_CHGNET
def test_r2scan_has_its_own_reference_energies() -> None:
    one, other = (load_potential(PotentialSpec(f"chgnet:{v}")) for v in ("0.3.0", "r2scan"))
    assert one.atomic_energy(8) == pytest.approx(-8.3861)
    assert other.atomic_energy(14) != one.atomic_energy(14)


@NEEDS_CHGNET
def test_a_damaged_package_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "pretrained"
    shutil.copytree(chgnet_files._folder(), copy)
    file = copy / chgnet_files.shipped("chgnet").file
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(chgnet_files, "_folder", lambda: copy)
    load_potential.cache_clear()
    with pytest.raises(ModelError, match=r"has sha256 .* expected d14ab7c0f093.*chgnet 0\.4\.2"):
        load_potential(PotentialSpec("chgnet"))


@NEEDS_CHGNET
def test_a_checkpoint_of_ones_own_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth.tar"
    content = torch.load(locate("chgnet"), map_location="cpu", weights_only=True)
    state = content["model"]["state_dict"]
    state["mlp.layers.7.bias"] += 0.5
    torch.save({"model": content["model"]}, path)
    mine = load_potential(PotentialSpec(str(path), checksum=sha256(path)))
    moved = mine.prior_mean() - load_potential(PotentialSpec("chgnet")).prior_mean()
    assert moved.count_nonzero() == 1
    assert moved.sum().item() == pytest.approx(0.5)


@NEEDS_CHGNET
def test_another_architecture_is_refused(tmp_path: Path) -> None:
    """Version 0.2.0 has no layer norms, and biases that 0.3.0 has not."""
    old = chgnet_files._folder() / "0.2.0" / "chgnet_0.2.0_e30f77s348m32.pth.tar"
    with pytest.raises(ModelError, match=r"gMLP_norm None, expected layer.*version 0\.3\.0"):
        load_potential(PotentialSpec(str(old)))


def test_what_is_no_checkpoint_is_said(tmp_path: Path) -> None:
    path = tmp_path / "text.pth.tar"
    path.write_text("no weights")
    with pytest.raises(ModelError, match="does not load as a CHGNet checkpoint") as raised:
        load_potential(PotentialSpec(str(path)))
    assert "\n" not in str(raised.value)
    torch.save({"model": 3}, path)
    with pytest.raises(ModelError, match="does not load as a CHGNet checkpoint"):
        load_potential(PotentialSpec(str(path)))


class Trap:
    """A pickle that would run code when it is opened."""

    def __reduce__(self):
        return (open, ("trapped", "w"))


def test_a_checkpoint_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Trap()}, tmp_path / "trap.pth.tar")
    with pytest.raises(ModelError, match="does not load as a CHGNet checkpoint"):
        load_potential(PotentialSpec(str(tmp_path / "trap.pth.tar")))
    assert not (tmp_path / "trapped").exists()

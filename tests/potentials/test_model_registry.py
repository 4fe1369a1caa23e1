"""Models by name or path: where their files are, and what is said when one cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mace.calculators import foundations_models
from tiny_mace import Tiny

from bnnflow.errors import ModelError
from bnnflow.potentials import list_models, load_potential, model_info
from bnnflow.potentials.registry import locate, sha256
from bnnflow.records import PotentialSpec

FIRST_OF_EACH = ("mace_mp:small", "mace_mp:medium-0b3", "mace_off:small", "mace_omol:extra_large")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of mace-torch's loaders, and no memory of models loaded before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_potential.cache_clear()
    return tmp_path / "mace"


def serve(monkeypatch: pytest.MonkeyPatch, model: torch.nn.Module) -> list[str]:
    """Let mace-torch's downloads give this model; the list takes the addresses asked for."""
    asked: list[str] = []

    def fetch(url: str, filename: str, **_: Any) -> tuple[str, str]:
        asked.append(url)
        torch.save(model, filename)
        return filename, ""

    monkeypatch.setattr(foundations_models, "_urlretrieve_with_timeout", fetch)
    return asked


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, filename: str, **_: Any) -> tuple[str, str]:
        raise OSError("no route to host")

    monkeypatch.setattr(foundations_models, "_urlretrieve_with_timeout", fetch)


@pytest.mark.parametrize("name", FIRST_OF_EACH)
def test_a_download_lands_where_the_model_is_looked_for(
    name: str, cache: Path, monkeypatch: pytest.MonkeyPatch, scalar_mace: Tiny
) -> None:
    asked = serve(monkeypatch, scalar_mace.stock)
    potential = load_potential(PotentialSpec(name, dtype="float64"))
    assert torch.equal(potential.prior_mean(), scalar_mace.potential.prior_mean())
    assert len(asked) == 1
    assert locate(name).is_file()
    load_potential.cache_clear()
    load_potential(PotentialSpec(name, dtype="float64"))
    assert len(asked) == 1


@pytest.mark.parametrize("name", FIRST_OF_EACH)
def test_a_failed_download_says_where_to_put_the_file(
    name: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch)
    with pytest.raises(ModelError) as raised:
        load_potential(PotentialSpec(name))
    message = str(raised.value)
    assert str(cache) in message
    assert str(locate(name)) in message
    assert "\n" not in message


def test_a_file_put_there_is_used_and_its_checksum_is_remembered(
    cache: Path, monkeypatch: pytest.MonkeyPatch, scalar_mace: Tiny, vector_mace: Tiny
) -> None:
    refuse(monkeypatch)
    name, path = "mace_off:small", locate("mace_off:small")
    cache.mkdir()
    torch.save(scalar_mace.stock, path)
    load_potential(PotentialSpec(name, dtype="float64"))
    torch.save(vector_mace.stock, path)
    load_potential.cache_clear()
    with pytest.raises(ModelError, match=r"has sha256 .*expected"):
        load_potential(PotentialSpec(name, dtype="float64"))


def test_a_checksum_in_the_spec_must_match(scalar_mace: Tiny) -> None:
    path = str(scalar_mace.path)
    load_potential(PotentialSpec(path, checksum=sha256(scalar_mace.path)))
    with pytest.raises(ModelError, match="expected 000000000000"):
        load_potential(PotentialSpec(path, checksum=64 * "0"))


def test_checksum_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert sha256(tmp_path / "abc") == digest


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("chno-smal", "chno-small"),
        ("mace_mp:tiny", "medium-mpa-0"),
        ("mace_xy:small", "mace_omol:NAME"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(model: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        load_potential(PotentialSpec(model))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent.safetensors"
    for look in (lambda: load_potential(PotentialSpec(str(path))), lambda: model_info(str(path))):
        with pytest.raises(ModelError, match=f"missing.*{path.name}"):
            look()


def test_models_are_listed_with_their_places(cache: Path) -> None:
    models = {model.name: model for model in list_models()}
    assert next(iter(models)) == "chno-small"
    expected = set(foundations_models.mace_mp_urls)
    assert {name.split(":")[1] for name in models if name.startswith("mace_mp:")} == expected
    assert not models["mace_off:small"].present
    cache.mkdir()
    Path(models["mace_off:small"].path).touch()
    assert {model.name: model for model in list_models()}["mace_off:small"].present


def test_info_gives_file_and_checksum(scalar_mace: Tiny) -> None:
    info = model_info(str(scalar_mace.path))
    assert info["path"] == str(scalar_mace.path)
    assert info["sha256"] == sha256(scalar_mace.path)


def test_a_worker_loads_a_model_once(scalar_mace: Tiny) -> None:
    spec = PotentialSpec(str(scalar_mace.path))
    assert load_potential(spec) is load_potential(PotentialSpec(str(scalar_mace.path)))

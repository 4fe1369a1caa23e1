"""POTCARs are found where they lie, and never taken for what they are not."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from vasp_library import write_potcar

from bnnflow.errors import ConfigError, ReferenceError
from bnnflow.reference.vasp.potcar import VARIABLE, find_potcars, titles_in


def find(folder: Path | str, *species: str, family: str = "PE", **names: str) -> list[str]:
    found = find_potcars(species, names=names, folder=str(folder), family=family)
    return [potcar.title for potcar in found]


@pytest.mark.parametrize(
    "place", ["O/POTCAR", "POTCAR.O", "potpaw_PBE/O/POTCAR", "potpaw_PBE.54/O/POTCAR",
              "POT_GGA_PAW_PBE/POTCAR.O"]
)  # fmt: skip
def test_layouts_of_a_library(place: str, tmp_path: Path) -> None:
    write_potcar(tmp_path / place, "O", zval=6.0, enmax=400.0)
    (potcar,) = find_potcars(("O",), names={}, folder=str(tmp_path), family="PE")
    assert (potcar.symbol, potcar.zval, potcar.enmax, potcar.lexch) == ("O", 6.0, 400.0, "PE")


def test_compressed(tmp_path: Path) -> None:
    write_potcar(tmp_path / "POTCAR", "Si_d")
    (tmp_path / "POTCAR.Si_d.gz").write_bytes(gzip.compress((tmp_path / "POTCAR").read_bytes()))
    (potcar,) = find_potcars(("Si",), names={"Si": "Si_d"}, folder=str(tmp_path), family="PE")
    assert potcar.read() == (tmp_path / "POTCAR").read_bytes()


def test_order_and_names(tmp_path: Path) -> None:
    for name in ("La", "Mn", "Mn_pv", "O"):
        write_potcar(tmp_path / name / "POTCAR", name)
    titles = find(tmp_path, "O", "Mn", "La", Mn="Mn_pv")
    assert titles == [f"PAW_PBE {name} 01Jan2000" for name in ("O", "Mn_pv", "La")]


def test_the_environment_names_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_potcar(tmp_path / "H" / "POTCAR", "H")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert find("", "H") == ["PAW_PBE H 01Jan2000"]
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ReferenceError, match="set potcar_folder"):
        find("", "H")


def test_two_of_one_name_are_no_choice(tmp_path: Path) -> None:
    for version in ("potpaw_PBE.52", "potpaw_PBE.54"):
        write_potcar(tmp_path / version / "O" / "POTCAR", "O")
    with pytest.raises(ReferenceError, match="2 POTCARs are named O"):
        find(tmp_path, "O")
    assert find(tmp_path / "potpaw_PBE.54", "O") == ["PAW_PBE O 01Jan2000"]


def test_another_element_in_the_folder(tmp_path: Path) -> None:
    write_potcar(tmp_path / "Mn" / "POTCAR", "Mo")
    with pytest.raises(ReferenceError, match="titled PAW_PBE Mo"):
        find(tmp_path, "Mn")


def test_another_functional(tmp_path: Path) -> None:
    write_potcar(tmp_path / "O" / "POTCAR", "O", lexch="CA")
    write_potcar(tmp_path / "H" / "POTCAR", "H")
    with pytest.raises(ReferenceError, match="expected PE"):
        find(tmp_path, "O")
    assert find(tmp_path, "O", family="CA") == ["PAW_PBE O 01Jan2000"]
    with pytest.raises(ReferenceError, match="functionals CA, PE"):
        find(tmp_path, "O", "H", family="")


def test_not_a_potcar_of_one_species(tmp_path: Path) -> None:
    for name in ("O", "H"):
        write_potcar(tmp_path / name / "POTCAR", name)
    both = "".join((tmp_path / name / "POTCAR").read_text() for name in ("O", "H"))
    (tmp_path / "O" / "POTCAR").write_text(both)
    with pytest.raises(ReferenceError, match="no POTCAR of one species"):
        find(tmp_path, "O")
    assert titles_in(tmp_path / "O" / "POTCAR") == ("PAW_PBE O 01Jan2000", "PAW_PBE H 01Jan2000")


@pytest.mark.proves("missing core", code="vasp (stand-in)")
def test_missing_libraries(tmp_path: Path) -> None:
    with pytest.raises(ReferenceError, match="no POTCAR named O"):
        find(tmp_path, "O")
    with pytest.raises(ReferenceError, match="does not exist"):
        find(tmp_path / "nosuch", "O")
    with pytest.raises(ConfigError, match="absolute"):
        find("here", "O")

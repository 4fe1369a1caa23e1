"""Headers of pseudopotential files, of both versions of the format."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnnflow.errors import ReferenceError
from bnnflow.reference.upf import check_upf, choose_upf, read_upf

OLD = """<PP_INFO>
made by hand
</PP_INFO>
<PP_HEADER>
   0                   Version Number
  {element}            Element
   {kind}              Norm - Conserving pseudopotential
    F                  Nonlinear Core Correction
 {functional}   PBE  Exchange-Correlation functional
    {valence}          Z valence
   -7.48292757640      Total energy
</PP_HEADER>
"""
NEW = """<UPF version="2.0.1">
<PP_INFO>made by hand</PP_INFO>
<PP_HEADER generated="by hand" element="{element}"
 pseudo_type="{kind}" relativistic="scalar" has_so="{spin_orbit}"
 functional="{functional}" z_valence="{valence}" l_max="1"/>
<PP_MESH> <PP_R type="real" size="3"> 0.0 0.1 0.2 </PP_R> </PP_MESH>
</UPF>
"""
PBE = " SLA  PW   PBX  PBC"


def write(folder: Path, name: str, form: str = NEW, **values: str) -> Path:
    usual = {"element": "Si", "kind": "NC", "valence": "4.0", "spin_orbit": "F"}
    path = folder / name
    path.write_text(form.format(**(usual | {"functional": PBE} | values)))
    return path


@pytest.mark.parametrize("form", [OLD, NEW])
@pytest.mark.parametrize(
    ("written", "name"),
    [
        (PBE, "PBE"),
        (" SLA  PW   PBE  PBE", "PBE"),
        (" SLA  PZ   NOGX NOGC", "LDA"),
        (" SLA  PW   PSX  PSC", "PBEsol"),
        (" SLA  LYP  B88  BLYP", "BLYP"),
        (" SLA  PW   TPSS TPSS", "SLA  PW   TPSS TPSS"),
    ],
)
def test_a_header_is_read(form: str, written: str, name: str, tmp_path: Path) -> None:
    found = read_upf(write(tmp_path, "Si.UPF", form, functional=written))
    if form is NEW or name != "SLA  PW   TPSS TPSS":
        assert found.functional == name
    assert (found.element, found.kind, found.valence) == ("Si", "NC", 4.0)
    assert found.norm_conserving
    assert not found.spin_orbit


def test_what_a_label_says_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "Si.UPF")
    path.write_bytes(b"<PP_HEADER element='Si' pseudo_type='US' functional='PBE' z_valence='4'/>")
    found = read_upf(path)
    assert not found.norm_conserving
    assert found.described() == {
        "file": "Si.UPF",
        "functional": "PBE",
        # sha256sum of the bytes above
        "sha256": "5951a315594718574a0936cd2f346c31a9aecf9ea43fb515100f4f780309000c",
    }


def test_one_fitting_file_is_taken(tmp_path: Path) -> None:
    expected = write(tmp_path, "si_pbe.upf")
    write(tmp_path, "Si.pz.UPF", functional=" SLA  PZ   NOGX NOGC")
    write(tmp_path, "Si.rel-pbe.UPF", spin_orbit="T")
    write(tmp_path, "S.pbe.UPF", element="S")
    assert choose_upf("Si", "PBE", tmp_path) == expected
    assert choose_upf("S", "PBE", tmp_path).name == "S.pbe.UPF"


def test_several_fitting_files_are_a_choice_for_people(tmp_path: Path) -> None:
    write(tmp_path, "Si.one.UPF")
    write(tmp_path, "Si.two.UPF", OLD)
    with pytest.raises(ReferenceError, match=r"Si\.one\.UPF, Si\.two\.UPF .* expected one: name"):
        choose_upf("Si", "PBE", tmp_path)
    with pytest.raises(ReferenceError, match=r"no file of .* fits Ge and PBE"):
        choose_upf("Ge", "PBE", tmp_path)
    with pytest.raises(ReferenceError, match=r"no file of .* fits Si and PBE"):
        choose_upf("Si", "PBE", tmp_path / "nowhere")


def test_a_file_for_something_else_is_refused(tmp_path: Path) -> None:
    found = read_upf(write(tmp_path, "Si.UPF"))
    check_upf(found, "Si", "PBE")
    for element, functional in (("Ge", "PBE"), ("Si", "LDA")):
        with pytest.raises(ReferenceError, match=f"expected {element} and {functional}"):
            check_upf(found, element, functional)
    spinors = read_upf(write(tmp_path, "Si.so.UPF", spin_orbit="T"))
    with pytest.raises(ReferenceError, match="with spin-orbit coupling, expected Si and PBE"):
        check_upf(spinors, "Si", "PBE")


@pytest.mark.parametrize(
    "text", ["", "<PP_HEADER>\n no header\n</PP_HEADER>", "<PP_HEADER a='b'/>"]
)
def test_what_is_no_upf_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "Si.UPF"
    path.write_text(text)
    with pytest.raises(ReferenceError, match="UPF"):
        read_upf(path)
    with pytest.raises(ReferenceError, match="cannot be read"):
        read_upf(tmp_path / "nowhere.UPF")

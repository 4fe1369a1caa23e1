"""Read vasprun.xml, also one that was cut short, without trusting more of it than is whole.

What other readers stumble over, and what is done here:

- The last `<energy>` of an ionic step is the one the forces belong to (a dispersion correction is
  only in there), but VASP 5 writes other numbers under its names `e_wo_entrp` and `e_0_energy`. So
  TOTEN comes from there, and the two others by their distance from it in the last electronic step.
- Names occur twice in `<parameters>` (NELM also of response functions): the first counts.
- A killed run ends anywhere; what was complete by then is kept and `problem` says where it ended.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bnnflow.records import FloatArray
from bnnflow.reference.vasp.numbers import number, row, stress_from_kilobar

_BULKY = frozenset(
    {"eigenvalues", "dos", "projected", "partial", "dielectricfunction", "kpointlist"}
)


@dataclass(frozen=True, eq=False)
class IonicStep:
    """One geometry of a run.

    cell: (3, 3) Å, vectors in rows; scaled: (n_atoms, 3) in units of them; forces: (n_atoms, 3)
    eV/Å; stress: (6,) eV/Å³ in ASE's order and sign; forces and stress None where not written.
    free_energy: eV, TOTEN, whose gradient the forces are; energy_without_entropy, energy_sigma_0:
    eV, the same without the entropy of smearing, and without smearing; scf_energies: TOTEN of
    every electronic step.
    """

    cell: FloatArray
    scaled: FloatArray
    forces: FloatArray | None
    stress: FloatArray | None
    free_energy: float
    energy_without_entropy: float
    energy_sigma_0: float
    scf_energies: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Vasprun:
    """A vasprun.xml. elements, potcars: of every atom, of every species (TITEL); valence: of every
    species; n_kpoints: irreducible ones; mesh: "Gamma", "Monkhorst-Pack" or "" with `divisions`.

    problem: why the file is not whole, "" when it is; steps: complete ionic steps.
    """

    version: str = ""
    incar: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    elements: tuple[str, ...] = ()
    atoms_per_species: tuple[int, ...] = ()
    potcars: tuple[str, ...] = ()
    valence: tuple[float, ...] = ()
    n_kpoints: int = 0
    mesh: str = ""
    divisions: tuple[int, ...] = ()
    steps: tuple[IonicStep, ...] = ()
    problem: str = ""

    def parameter(self, name: str) -> float:
        """A number of `<parameters>`, else of `<incar>`; NaN when it is in neither."""
        return number(self.parameters.get(name, self.incar.get(name, "")))


def read_vasprun(path: Path) -> Vasprun:
    """Read a vasprun.xml. Raises OSError when there is none."""
    open_tags: list[ET.Element] = []
    found: dict[str, Any] = {}
    steps: list[IonicStep] = []
    try:
        for event, element in ET.iterparse(path, events=("start", "end")):
            if event == "start":
                open_tags.append(element)
                continue
            open_tags.pop()
            if element.tag in _BULKY:
                element.clear()
            elif len(open_tags) == 1 and element.tag == "calculation":
                steps += _ionic_steps(element)
                element.clear()
            elif len(open_tags) == 1 and element.tag in _TOP_LEVEL:
                found |= _TOP_LEVEL[element.tag](element)
    except ET.ParseError as error:
        found["problem"] = _where(open_tags, error)
    return Vasprun(steps=tuple(steps), **found)


def _where(open_tags: list[ET.Element], error: ET.ParseError) -> str:
    """In words: where a file that cannot be parsed breaks off."""
    if not open_tags:
        return "it is empty" if "no element" in str(error) else f"it is no XML ({error})"
    inside = "/".join(element.tag for element in open_tags[:3])
    cut = any(sign in str(error) for sign in ("no element found", "unclosed token"))
    ended = "ends" if cut else f"cannot be read ({error})"
    calculation = [element for element in open_tags if element.tag == "calculation"]
    done = f" after {len(calculation[0].findall('scstep'))} electronic steps" if calculation else ""
    return f"it {ended} inside <{inside}>{done}"


def _generator(element: ET.Element) -> dict[str, Any]:
    return {"version": _text(element, "i[@name='version']")}


def _incar(element: ET.Element) -> dict[str, Any]:
    return {"incar": _values(element)}


def _parameters(element: ET.Element) -> dict[str, Any]:
    return {"parameters": _values(element)}


def _kpoints(element: ET.Element) -> dict[str, Any]:
    generation = element.find("generation")
    scheme = "" if generation is None else str(generation.get("param", ""))
    named = {"g": "Gamma", "m": "Monkhorst-Pack"}.get(scheme[:1].lower(), scheme)
    divisions = _text(element, "generation/v[@name='divisions']").split()
    return {
        "mesh": named,
        "divisions": tuple(int(word) for word in divisions),
        "n_kpoints": len(element.findall("varray[@name='weights']/v")),
    }


def _atominfo(element: ET.Element) -> dict[str, Any]:
    atoms = [_cells(line) for line in element.findall("array[@name='atoms']/set/rc")]
    species = [_cells(line) for line in element.findall("array[@name='atomtypes']/set/rc")]
    return {
        "elements": tuple(cells[0] for cells in atoms),
        "atoms_per_species": tuple(int(cells[0]) for cells in species),
        "valence": tuple(number(cells[3]) for cells in species),
        "potcars": tuple(cells[4] for cells in species),
    }


_TOP_LEVEL: Mapping[str, Callable[[ET.Element], dict[str, Any]]] = {
    "generator": _generator,
    "incar": _incar,
    "kpoints": _kpoints,
    "parameters": _parameters,
    "atominfo": _atominfo,
}


def _ionic_steps(element: ET.Element) -> list[IonicStep]:
    """The step of a <calculation>; none for one without a geometry."""
    cell = _rows(element, "structure/crystal/varray[@name='basis']", 3)
    scaled = _rows(element, "structure/varray[@name='positions']", 3)
    if cell is None or scaled is None:
        return []
    stress = _rows(element, "varray[@name='stress']", 3)
    electronic = [_energies(each) for each in element.findall("scstep")]
    last = electronic[-1] if electronic else {}
    free = _energies(element).get("e_fr_energy", float("nan"))
    before = last.get("e_fr_energy", float("nan"))
    step = IonicStep(
        cell=cell,
        scaled=scaled,
        forces=_rows(element, "varray[@name='forces']", 3),
        stress=None if stress is None else stress_from_kilobar(stress),
        free_energy=free,
        energy_without_entropy=free + last.get("e_wo_entrp", float("nan")) - before,
        energy_sigma_0=free + last.get("e_0_energy", float("nan")) - before,
        scf_energies=tuple(each.get("e_fr_energy", float("nan")) for each in electronic),
    )
    return [step]


def _energies(element: ET.Element) -> dict[str, float]:
    return {str(item.get("name")): number(item.text or "") for item in element.findall("energy/i")}


def _rows(element: ET.Element, path: str, length: int) -> FloatArray | None:
    array = element.find(path)
    if array is None:
        return None
    return np.array([row(line.text, length) for line in array.findall("v")], dtype=np.float64)


def _values(element: ET.Element) -> dict[str, str]:
    """Name -> text of all <i> and <v> below; of a name that comes twice, the first."""
    values: dict[str, str] = {}
    for item in _named(element):
        values.setdefault(str(item.get("name")), (item.text or "").strip())
    return values


def _named(element: ET.Element) -> Iterator[ET.Element]:
    return (item for item in element.iter() if item.tag in {"i", "v"} and item.get("name"))


def _cells(line: ET.Element) -> list[str]:
    return [(cell.text or "").strip() for cell in line.findall("c")]


def _text(element: ET.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()

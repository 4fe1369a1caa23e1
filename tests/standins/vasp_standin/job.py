"""Reads POSCAR, INCAR, KPOINTS and POTCAR of the current folder, and refuses what VASP refuses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms


class Refused(Exception):  # noqa: N818 - VASP's word
    """What VASP prints before it stops."""


@dataclass
class Species:
    """A POTCAR's species and how many atoms of it there are."""

    title: str
    symbol: str
    zval: float
    enmax: float
    lexch: str
    mass: float
    count: int = 0


@dataclass
class Job:
    """The input: atoms in POSCAR's order, INCAR's tags, k-points in units of reciprocal vectors."""

    comment: str
    atoms: Atoms
    tags: dict[str, str]
    species: list[Species]
    mesh: str
    divisions: tuple[int, int, int]
    kpoints: np.ndarray
    warnings: list[str]

    def text(self, tag: str, default: str) -> str:
        return self.tags.get(tag, default)

    def number(self, tag: str, default: float) -> float:
        try:
            return float(self.tags.get(tag, default))
        except ValueError as error:
            raise Refused(f"Error reading item '{tag}' from file INCAR.") from error

    def flag(self, tag: str, default: bool) -> bool:
        text = self.tags.get(tag, "T" if default else "F").strip(".").upper()
        return text.startswith("T")

    def list(self, tag: str, length: int, default: float) -> list[float]:
        if tag not in self.tags:
            return [default] * length
        values: list[float] = []
        for word in self.tags[tag].split():
            count, star, value = word.rpartition("*")
            values += [float(value)] * (int(count) if star else 1)
        if len(values) != length:
            raise Refused(f"Error reading item '{tag}' from file INCAR.")
        return values

    @property
    def neutral(self) -> float:
        return sum(each.count * each.zval for each in self.species)

    @property
    def n_electrons(self) -> float:
        return self.number("NELECT", self.neutral)

    @property
    def polarised(self) -> bool:
        return self.number("ISPIN", 1) == 2


def read_job() -> Job:
    """The job of the current folder. Raises Refused."""
    tags = _incar(_file("INCAR", "No INCAR found, STOPPING"))
    comment, symbols, counts, atoms = _poscar(_file("POSCAR", "ERROR: there must be a POSCAR"))
    species = _potcar(_file("POTCAR", "ERROR: no POTCAR file found"))
    if len(species) != len(counts):
        raise Refused(
            "ERROR: number of potentials on File POTCAR incompatible with number of species"
        )
    for each, count in zip(species, counts, strict=True):
        each.count = count
    warnings = []
    if [each.symbol for each in species] != symbols:
        warnings = [
            "WARNING: type information on POSCAR and POTCAR are incompatible",
            "POTCAR overwrites the type information in POSCAR",
        ]
        atoms.symbols = [each.symbol for each in species for _ in range(each.count)]
    if np.linalg.det(atoms.cell) < 0:
        raise Refused("ERROR: the triple product of the basis vectors is negative")
    mesh, divisions = _mesh(tags, atoms)
    points = _points(mesh, divisions)
    return Job(comment, atoms, tags, species, mesh, divisions, points, warnings)


def _file(name: str, message: str) -> str:
    path = Path(name)
    if not path.is_file():
        raise Refused(message)
    return path.read_text(encoding="latin-1")


def _incar(text: str) -> dict[str, str]:
    tags: dict[str, str] = {}
    for line in text.splitlines():
        tag, equals, value = re.sub(r"[#!].*", "", line).partition("=")
        if equals:
            tags.setdefault(tag.strip().upper(), value.strip())
    return tags


def _poscar(text: str) -> tuple[str, list[str], list[int], Atoms]:
    lines = text.splitlines()
    scale = float(lines[1])
    cell = scale * np.array([[float(word) for word in line.split()[:3]] for line in lines[2:5]])
    symbols, counts = lines[5].split(), [int(word) for word in lines[6].split()]
    cartesian = lines[7].strip()[:1].upper() in {"C", "K"}
    rows = [[float(word) for word in line.split()[:3]] for line in lines[8 : 8 + sum(counts)]]
    if len(rows) != sum(counts):
        raise Refused("ERROR: there must be more positions on file POSCAR")
    names = [s for s, n in zip(symbols, counts, strict=True) for _ in range(n)]
    atoms = Atoms(names, cell=cell, pbc=True)
    if cartesian:
        atoms.positions = scale * np.array(rows)
    else:
        atoms.set_scaled_positions(np.array(rows))
    return lines[0], symbols, counts, atoms


def _potcar(text: str) -> list[Species]:
    def each(pattern: str) -> list[str]:
        return re.findall(pattern, text)

    titles = [title.strip() for title in each(r"TITEL\s*=\s*(.+)")]
    columns = zip(
        titles,
        each(r"ZVAL\s*=\s*([\d.]+)"),
        each(r"ENMAX\s*=\s*([\d.]+)"),
        each(r"LEXCH\s*=\s*(\S+)"),
        each(r"POMASS\s*=\s*([\d.]+)"),
        strict=True,
    )
    return [
        Species(
            title=title,
            symbol=re.match(r"[A-Z][a-z]?", title.split()[1])[0],  # type: ignore[index]
            zval=float(zval),
            enmax=float(enmax),
            lexch=lexch,
            mass=float(mass),
        )
        for title, zval, enmax, lexch, mass in columns
    ]


def _mesh(tags: dict[str, str], atoms: Atoms) -> tuple[str, tuple[int, int, int]]:
    path = Path("KPOINTS")
    if not path.is_file():
        lengths = 2 * np.pi * np.linalg.norm(atoms.cell.reciprocal(), axis=1)
        spacing = float(tags.get("KSPACING", 0.5))
        first, second, third = (max(1, math.ceil(length / spacing)) for length in lengths)
        return "Gamma", (first, second, third)
    lines = path.read_text().splitlines()
    kind = lines[2].strip()[:1].upper()
    if int(lines[1].split()[0]) != 0 or kind not in {"G", "M"}:
        raise Refused("ERROR: the stand-in knows only automatic meshes in KPOINTS")
    first, second, third = (int(word) for word in lines[3].split()[:3])
    return ("Gamma" if kind == "G" else "Monkhorst-Pack"), (first, second, third)


def _points(mesh: str, divisions: tuple[int, int, int]) -> np.ndarray:
    """All points of the mesh; symmetry is not used."""
    axes = []
    for count in divisions:
        index = np.arange(count)
        centred = index / count if mesh == "Gamma" else (2 * index - count + 1) / (2 * count)
        axes.append(centred - np.round(centred))
    return np.array([[x, y, z] for z in axes[2] for y in axes[1] for x in axes[0]])

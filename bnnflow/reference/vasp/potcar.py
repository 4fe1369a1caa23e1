"""POTCARs: found in the user's own licensed library, checked, and joined in the order of POSCAR.

The data are licensed to the user. They are copied into the folder of a calculation only, and
deleted there when its label is good; name, title and checksum stay in the label.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnnflow.errors import ConfigError, ReferenceError
from bnnflow.reference.vasp.numbers import number

VARIABLE = "VASP_PP_PATH"
"""Environment variable that names the library, as for ASE."""

_LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "PE": ("potpaw_PBE*", "POT_GGA_PAW_PBE*"),
    "CA": ("potpaw", "potpaw_LDA*", "POT_LDA_PAW*"),
}
"""LEXCH -> folders of a library that hold this family."""

_FIELDS = {
    "title": re.compile(r"TITEL\s*=\s*(.+)"),
    "lexch": re.compile(r"LEXCH\s*=\s*(\S+)"),
    "zval": re.compile(r"ZVAL\s*=\s*([\d.]+)"),
    "enmax": re.compile(r"ENMAX\s*=\s*([\d.]+)"),
}


@dataclass(frozen=True)
class Potcar:
    """One species.

    name: in the library (Mn_pv); lexch: the functional it was made with; zval: valence electrons;
    enmax: cutoff that it asks for, eV; sha256: of its text.
    """

    name: str
    title: str
    lexch: str
    zval: float
    enmax: float
    sha256: str
    path: Path

    @property
    def symbol(self) -> str:
        """The element, as the title has it: "PAW_PBE Mn_pv 02Aug2007" is Mn."""
        words = self.title.split()
        match = re.match(r"[A-Z][a-z]?", words[1] if len(words) > 1 else "")
        return match[0] if match else ""

    def read(self) -> bytes:
        """Its text."""
        return _read(self.path)


def find_potcars(
    species: Sequence[str], *, names: Mapping[str, str], folder: str, family: str
) -> tuple[Potcar, ...]:
    """The POTCARs of some species, in their order.

    names: element -> name in the library, for those whose name is not the element; folder: the
    library ("": `VASP_PP_PATH`); family: LEXCH they must have, "": any, the same for all.
    Raises ReferenceError when one is missing or not what it should be.
    """
    library = _library(folder)
    found = tuple(
        _checked(find_potcar(names.get(symbol, symbol), library, family), symbol, family)
        for symbol in species
    )
    kinds = {potcar.lexch for potcar in found}
    if len(kinds) > 1:
        raise ReferenceError(
            f"vasp: the POTCARs belong to functionals {', '.join(sorted(kinds))} (LEXCH), expected "
            "one: choose them from one library"
        )
    return found


def find_potcar(name: str, library: Path, family: str) -> Potcar:
    """The POTCAR of this name in a library, or in its folders of the family; never a guess."""
    patterns = _LIBRARIES.get(family, tuple(p for both in _LIBRARIES.values() for p in both))
    folders = [library, *(f for pattern in patterns for f in sorted(library.glob(pattern)))]
    files = [file for folder in folders for file in _files(folder, name)]
    if not files:
        raise ReferenceError(
            f"vasp: no POTCAR named {name} in {library}: install it there, choose another name in "
            "potcars, or correct potcar_folder"
        )
    if len(files) > 1:
        places = ", ".join(str(file) for file in files)
        raise ReferenceError(
            f"vasp: {len(files)} POTCARs are named {name} ({places}): set potcar_folder to the "
            "library you mean"
        )
    return read_potcar(files[0], name)


def read_potcar(path: Path, name: str) -> Potcar:
    """Read the figures of a POTCAR of one species. Raises ReferenceError."""
    data = _read(path)
    text = data.decode("latin-1")
    found = {key: pattern.findall(text) for key, pattern in _FIELDS.items()}
    if [len(values) for values in found.values()] != [1, 1, 1, 1]:
        raise ReferenceError(
            f"vasp: {path} is no POTCAR of one species: it should hold TITEL, LEXCH, ZVAL and "
            "ENMAX once each"
        )
    return Potcar(
        name=name,
        title=found["title"][0].strip(),
        lexch=found["lexch"][0],
        zval=number(found["zval"][0]),
        enmax=number(found["enmax"][0]),
        sha256=hashlib.sha256(data).hexdigest(),
        path=path,
    )


def titles_in(path: Path) -> tuple[str, ...]:
    """Titles in a joined POTCAR file, in order; none when there is no such file."""
    text = path.read_text(encoding="latin-1") if path.is_file() else ""
    return tuple(title.strip() for title in _FIELDS["title"].findall(text))


def _checked(potcar: Potcar, symbol: str, family: str) -> Potcar:
    if potcar.symbol != symbol:
        raise ReferenceError(
            f"vasp: the POTCAR for {symbol} ({potcar.path}) is titled {potcar.title}: choose one "
            f"of {symbol} in potcars"
        )
    if family and potcar.lexch != family:
        raise ReferenceError(
            f"vasp: the POTCAR for {symbol} ({potcar.path}) was made with functional "
            f"{potcar.lexch} (LEXCH), expected {family}: choose it from another library"
        )
    return potcar


def _library(folder: str) -> Path:
    place = folder or os.environ.get(VARIABLE, "")
    if not place:
        raise ReferenceError(
            f"vasp: no POTCAR library: set potcar_folder, or {VARIABLE} in the environment"
        )
    path = Path(os.path.expandvars(place)).expanduser()
    if not path.is_absolute():
        raise ConfigError(f"vasp: potcar_folder is {place}, expected an absolute path")
    if not path.is_dir():
        raise ReferenceError(f"vasp: the POTCAR library {path} does not exist: correct the path")
    return path


def _files(folder: Path, name: str) -> list[Path]:
    """Files in which a library folder may hold a POTCAR; a compressed twin is no second one."""
    for stem in (folder / name / "POTCAR", folder / f"POTCAR.{name}"):
        for path in (stem, stem.with_name(f"{stem.name}.gz")):
            if path.is_file():
                return [path]
    return []


def _read(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()

"""Pseudopotential files in the unified format (UPF) of Quantum ESPRESSO: what one is made for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bnnflow.errors import ReferenceError

# How generators write the functional into a file, without spaces.
_FUNCTIONALS: Mapping[str, tuple[str, ...]] = {
    "LDA": ("SLAPZNOGXNOGC", "PZ", "LDA"),
    "PBE": ("SLAPWPBXPBC", "SLAPWPBEPBE", "PBE"),
    "PBEsol": ("SLAPWPSXPSC", "PBESOL"),
    "BLYP": ("SLALYPB88BLYP", "BLYP"),
}
FUNCTIONALS = tuple(_FUNCTIONALS)

_ENDING = re.compile(r"\.upf", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""(\w+)\s*=\s*["']([^"']*)["']""")
_NORM_CONSERVING = ("NC", "SL", "1/R")


@dataclass(frozen=True)
class Pseudopotential:
    """The header of a file.

    element: symbol; functional: name of `FUNCTIONALS`, or as the file has it; kind: NC, US, PAW...;
    valence: electrons it leaves; spin_orbit: whether it is meant for two-component spinors.
    """

    path: Path
    element: str
    functional: str
    kind: str
    valence: float
    spin_orbit: bool

    @property
    def norm_conserving(self) -> bool:
        """Whether the density needs no more than four times the cutoff of the orbitals."""
        return self.kind.upper() in _NORM_CONSERVING

    def described(self) -> dict[str, str]:
        """What a label says of it."""
        checksum = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return {"file": self.path.name, "functional": self.functional, "sha256": checksum}


def read_upf(path: Path) -> Pseudopotential:
    """Read a file's header, of version 2 or 1.

    Raises ReferenceError when there is no file, or none in this format.
    """
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise ReferenceError(
            f"pseudopotential {path} cannot be read ({error.strerror}): correct pseudo_folder or "
            "pseudopotentials"
        ) from error
    found = re.search(r"<PP_HEADER(.*?)(/>|</PP_HEADER>)", text, re.DOTALL)
    if found is None:
        raise ReferenceError(f"pseudopotential {path} is not in UPF format: give a UPF file")
    header = found.group(1)
    try:
        spin_orbit = "<PP_SPIN_ORB" in text or "<PP_ADDINFO" in text
        return _version_2(path, header) if "=" in header else _version_1(path, header, spin_orbit)
    except (KeyError, IndexError, ValueError) as error:
        raise ReferenceError(f"the header of pseudopotential {path} is not UPF: {error}") from error


def choose_upf(element: str, functional: str, folder: Path) -> Path:
    """The one file of a folder for an element and functional.

    Raises ReferenceError when there is none, or more than one: which is a choice for people.
    """
    fits = [path for path in _files(element, folder) if _fits(read_upf(path), element, functional)]
    if len(fits) == 1:
        return fits[0]
    names = ", ".join(path.name for path in fits) if fits else "no file"
    raise ReferenceError(
        f"{names} of {folder} fits {element} and {functional}, expected one: name one in "
        f"pseudopotentials ({element}: FILE), or correct pseudo_folder"
    )


def check_upf(found: Pseudopotential, element: str, functional: str) -> None:
    """Refuse, with a ReferenceError, a file made for another element or functional."""
    if _fits(found, element, functional):
        return
    spinors = " with spin-orbit coupling" if found.spin_orbit else ""
    raise ReferenceError(
        f"pseudopotential {found.path} is for {found.element} and {found.functional}{spinors}, "
        f"expected {element} and {functional}: choose another file"
    )


def _fits(found: Pseudopotential, element: str, functional: str) -> bool:
    return (found.element, found.functional) == (element, functional) and not found.spin_orbit


def _files(element: str, folder: Path) -> list[Path]:
    """Files that begin with the element's symbol, as such files do."""
    name = re.compile(rf"{element}(?![a-z])", re.IGNORECASE if len(element) > 1 else 0)
    paths = sorted(folder.glob("*")) if folder.is_dir() else []
    return [path for path in paths if name.match(path.name) and _ENDING.search(path.name)]


def _version_2(path: Path, header: str) -> Pseudopotential:
    values = {key: value.strip() for key, value in _ATTRIBUTE.findall(header)}
    return Pseudopotential(
        path=path,
        element=values["element"].capitalize(),
        functional=_functional(values["functional"]),
        kind=values["pseudo_type"],
        valence=float(values["z_valence"]),
        spin_orbit=values.get("has_so", "F").upper().strip(".") in ("T", "TRUE"),
    )


def _version_1(path: Path, header: str, spin_orbit: bool) -> Pseudopotential:
    """One value per line, followed by its name."""
    lines = [line.split() for line in header.removeprefix(">").strip().splitlines()]
    return Pseudopotential(
        path=path,
        element=lines[1][0].capitalize(),
        functional=_functional("".join(lines[4][:4])),
        kind=lines[2][0],
        valence=float(lines[5][0]),
        spin_orbit=spin_orbit,
    )


def _functional(text: str) -> str:
    short = "".join(text.upper().split())
    return next((name for name, known in _FUNCTIONALS.items() if short in known), text.strip())

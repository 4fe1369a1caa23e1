"""Structures from files that ASE reads, one by one or a folder of them."""

from __future__ import annotations

import re
from pathlib import Path

from ase import Atoms

from bnnflow.errors import StructureError
from bnnflow.materials import read_frames
from bnnflow.sources.found import Found, Treatment, Unusable, found, safe_name

SUFFIXES = frozenset(
    {".cif", ".extxyz", ".gen", ".pdb", ".poscar", ".traj", ".vasp", ".xsf", ".xyz"}
)
"""Endings of the files that a folder is searched for, besides POSCAR and CONTCAR."""
_VASP = re.compile(r"(?:POSCAR|CONTCAR)(?:[._-](?P<name>.+))?")


def from_file(path: Path, treatment: Treatment, *, frames: str = ":") -> tuple[Found, ...]:
    """The frames of one file.

    frames: which, as Python slices: `:` all, `0`, `-1`, `::10`. A frame is named by its info key
    `name`, else after the file, with its number when there are several.

    Raises StructureError when the file is not there, cannot be read, or has no such frames.
    """
    if not path.is_file():
        raise StructureError(f"{path} is not a file: give the path of a structure file")
    images = read_frames(path)
    chosen = _chosen(frames, len(images))
    if not chosen:
        raise StructureError(
            f"{path} has {len(images)} frames, of which frames {frames} takes none: choose others"
        )
    return tuple(_frame(images, index, path, treatment) for index in chosen)


def from_folder(path: Path, treatment: Treatment, *, pattern: str = "") -> tuple[Found, ...]:
    """The frames of all files of a folder, by name; a file that cannot be read is unusable.

    pattern: glob below the folder (`*.cif`, `**/POSCAR`); default: the files there with an ending
    in `SUFFIXES`, and POSCARs.

    Raises StructureError when there is no such folder, or no such file in it.
    """
    if not path.is_dir():
        raise StructureError(f"{path} is not a folder: give a folder of structure files")
    files = _files(path, pattern)
    if not files:
        expected = pattern or "xyz, extxyz, cif or POSCAR"
        raise StructureError(f"{path} holds no files of {expected}: give another folder or pattern")
    return tuple(item for file in files for item in _of_file(file, treatment))


def _files(folder: Path, pattern: str) -> list[Path]:
    paths = folder.glob(pattern or "*")
    files = sorted(path for path in paths if path.is_file() and not path.name.startswith("."))
    return files if pattern else [path for path in files if _is_structure_file(path)]


def _is_structure_file(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES or _VASP.fullmatch(path.name) is not None


def _of_file(path: Path, treatment: Treatment) -> tuple[Found, ...]:
    try:
        return from_file(path, treatment)
    except StructureError as error:
        return (Unusable(safe_name(_stem(path)), str(path), str(error)),)


def _chosen(frames: str, count: int) -> list[int]:
    """Numbers of the frames that a slice or a number takes."""
    parts = frames.split(":")
    try:
        numbers = [int(part) if part.strip() else None for part in parts]
        if len(parts) > 1:
            return list(range(count)[slice(*numbers)])
        return [range(count)[int(frames)]]
    except IndexError:
        return []
    except (TypeError, ValueError) as error:
        raise StructureError(
            f"frames is '{frames}', expected a number or a slice such as 0, -1 or ::10"
        ) from error


def _frame(images: list[Atoms], index: int, path: Path, treatment: Treatment) -> Found:
    single = len(images) == 1
    origin = str(path) if single else f"frame {index} of {path}"
    name = images[index].info.get("name")
    if not isinstance(name, str) or not name:
        name = _stem(path) if single else f"{_stem(path)}-{index}"
    return found(images[index], name, origin, treatment)


def _stem(path: Path) -> str:
    """What a file is called after: POSCARs go by what follows the word, or by their folder."""
    vasp = _VASP.fullmatch(path.name)
    if vasp is None:
        return path.stem
    return vasp["name"] or path.resolve().parent.name

"""What is kept of MD that a guard stopped: its last frames, and which limit was broken where."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ase import Atoms
from ase.data import chemical_symbols
from ase.io import write

from bnnflow.codec import publish
from bnnflow.records import GuardKind, Segment, Structure, Trip

FRAMES, REPORT = "frames.extxyz", "guard.json"
LAST_STEPS = 100
"""Steps before the one that was not taken that are kept."""


def describe(trip: Trip, timestep_fs: float) -> str:
    """One line: what was found, what was expected, where and when."""
    what = _WORDS[trip.guard].format(
        atoms=_named(trip.atoms, trip.structure),
        value=trip.value,
        limit=trip.limit,
        members=", ".join(str(member) for member in trip.members) or "unknown",
    )
    return f"{what} at step {trip.step} ({trip.step * timestep_fs:g} fs)"


def keep_evidence(segment: Segment, folder: Path, timestep_fs: float) -> None:
    """Write `frames.extxyz`, the exploding frame last, and `guard.json` into a folder.

    Raises OSError when the disk refuses.
    """
    if segment.trip is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    frames = [*_steps(segment), _exploding(segment.trip)]
    _whole(folder / FRAMES, lambda path: write(path, frames, format="extxyz"))
    text = json.dumps(_report(segment.trip, timestep_fs), indent=2) + "\n"
    _whole(folder / REPORT, lambda path: path.write_text(text))


def _whole(path: Path, make: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    make(temporary)
    publish(temporary, path)


def _steps(segment: Segment) -> Iterator[Atoms]:
    for row in range(max(0, len(segment.steps) - LAST_STEPS), len(segment.steps)):
        structure = segment.checkpoint.structure
        atoms = replace(
            structure, positions=segment.positions[row], cell=segment.cells[row]
        ).to_atoms()
        atoms.info = {
            "step": int(segment.steps[row]),
            "energy_eV": float(segment.energy[row]),
            "energy_std_eV": float(segment.energy_std[row]),
            "temperature_K": float(segment.temperature[row]),
        }
        yield atoms


def _exploding(trip: Trip) -> Atoms:
    atoms = trip.structure.to_atoms()
    atoms.info = {"step": trip.step, "guard": trip.guard.value}
    return atoms


def _report(trip: Trip, timestep_fs: float) -> dict[str, object]:
    return {
        "guard": trip.guard.value,
        "message": describe(trip, timestep_fs),
        "step": trip.step,
        "value": trip.value,
        "limit": trip.limit,
        "atoms": list(trip.atoms),
        "members": list(trip.members),
    }


def _named(atoms: tuple[int, ...], structure: Structure) -> str:
    shown = [f"{atom} ({chemical_symbols[structure.numbers[atom]]})" for atom in atoms[:3]]
    more = [f"{len(atoms) - 3} more"] if len(atoms) > 3 else []
    return " and ".join([*shown, *more]) or "none"


_WORDS = {
    GuardKind.TEMPERATURE: "the temperature is {value:.0f} K, expected at most {limit:.0f} K, "
    "atom {atoms} the hottest",
    GuardKind.DISTANCE: "atoms {atoms} are {value:.3f} Å apart, expected at least {limit:.3f} Å",
    GuardKind.FORCE: "the force on atom {atoms} is {value:.1f} eV/Å, expected at most "
    "{limit:.1f} eV/Å",
    GuardKind.POSITIONS: "positions are not finite (atoms {atoms})",
    GuardKind.PREDICTION: "the ensemble predicts numbers that are not finite (members {members})",
}

"""B3LYP labels of the study's frames, one folder each, and all that are there in one file.

The calculation is the one that `bnnflow run ethanol` asks for (`workflows/configs/ethanol.yaml`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read

from bnnflow.errors import FaultError, RunFolderError
from bnnflow.records import Failure, Handling, Label, LabelRequest, Structure
from bnnflow.reference import label, read_label
from heldout_study.frames import SETS, write_whole

REFERENCE: Mapping[str, Any] = {
    "engine": "pyscf",
    "method": "B3LYP",
    "basis": "def2-SVP",
    "density_fit": True,
}
LABELS_FILE = "labels.extxyz"
FIRST = 20
"""Training frames that are labelled before the test frames: the one-by-one part of the study."""
TIMEOUT_S = 3600.0


def label_all(
    work: Path, frames: list[Atoms], *, procs: int, reference: Mapping[str, Any] = REFERENCE
) -> Iterator[Atoms]:
    """Label what has no label yet; yields each frame as its label arrives.

    procs: labels calculated at the same time, one thread each. Raises FaultError when a label
    failed; what was finished stays, and another call goes on.
    """
    with ThreadPoolExecutor(procs) as pool:
        waiting = {
            pool.submit(label, _request(work, frame, reference)): frame
            for frame in sorted(frames, key=_urgency)
            if read_label(_folder(work, frame)) is None
        }
        collect(work, frames)
        try:
            for done in as_completed(waiting):
                _accept(done.result(), waiting[done])
                collect(work, frames)
                yield waiting[done]
        finally:
            pool.shutdown(cancel_futures=True)


def collect(work: Path, frames: list[Atoms]) -> None:
    """Write all finished labels into one file, in the order of `frames`."""
    found = [(frame, read_label(_folder(work, frame))) for frame in frames]
    done = [_labelled(frame, result) for frame, result in found if result is not None]
    if done:
        write_whole(work / LABELS_FILE, done)


def load(work: Path, name: str) -> list[Label]:
    """The labels of one set, train or test, up to the first that is missing.

    Raises RunFolderError when there is no file of labels.
    """
    path = work / LABELS_FILE
    if not path.is_file():
        raise RunFolderError(f"{path} is missing: make it with `heldout.py label --work {work}`")
    found = {a.info["index"]: a for a in read(path, ":") if a.info["set"] == name}
    contiguous = next(index for index in range(len(found) + 1) if index not in found)
    return [_label(found[index]) for index in range(contiguous)]


def _urgency(frame: Atoms) -> tuple[int, int]:
    late = frame.info["set"] == SETS[0] and frame.info["index"] >= FIRST
    return 2 * late + SETS.index(frame.info["set"]), frame.info["index"]


def _request(work: Path, frame: Atoms, reference: Mapping[str, Any]) -> LabelRequest:
    structure = Structure.from_atoms(frame)
    return LabelRequest(reference, structure, str(_folder(work, frame)), Handling(TIMEOUT_S))


def _folder(work: Path, frame: Atoms) -> Path:
    return work / "labels" / f"{frame.info['set']}-{frame.info['index']:03d}"


def _accept(outcome: Label | Failure, frame: Atoms) -> None:
    if isinstance(outcome, Failure):
        name = f"{frame.info['set']} frame {frame.info['index']}"
        raise FaultError(f"{name} has no label ({outcome.message}): see {outcome.directory}")


def _labelled(frame: Atoms, result: Label) -> Atoms:
    info = {**frame.info, "REF_energy": result.energy, "level": result.level}
    labelled = Atoms(frame.numbers, positions=frame.positions, info=info)
    labelled.arrays["REF_forces"] = result.forces
    return labelled


def _label(frame: Atoms) -> Label:
    return Label(
        structure=Structure.from_atoms(frame),
        energy=float(frame.info["REF_energy"]),
        forces=np.asarray(frame.arrays["REF_forces"], dtype=np.float64),
        stress=None,
        level=str(frame.info["level"]),
        directory="",
        seconds=0.0,
        host="",
    )

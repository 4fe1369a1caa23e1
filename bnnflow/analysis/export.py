"""Take a run's results elsewhere: the ensemble as an ASE calculator, the labels as extxyz.

OUT/calculator.json    which foundation model, which weights, which noise floor
OUT/ensemble/          one safetensors file of weights per member
OUT/model/             the foundation model, when the run took it from a file
OUT/load.py            the lines that make an ASE calculator of these
OUT/dataset.extxyz     every label in MACE's key convention
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import write

from bnnflow.analysis.run import Run, load
from bnnflow.errors import ConfigError, RunFolderError
from bnnflow.records import EnsembleRef, PotentialSpec
from bnnflow.units import tensor_from_voigt


def export_run(folder: Path, out: Path) -> Path:
    """Write the newest ensemble and all labels of a run into the new folder `out`; returns it.

    Raises RunFolderError when the folder holds no run or no ensemble yet, ConfigError when `out`
    is taken. What is there appears at once: a failed export leaves no `out` behind.
    """
    run = load(folder)
    ensemble = run.ensemble
    if ensemble is None:
        raise RunFolderError(f"{folder} has no ensemble yet: let the run reach its first update")
    if out.exists():
        raise ConfigError(f"{out} exists, expected a new folder to export into: name another")
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _write(run, ensemble, temporary)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def dataset(run: Run) -> list[Atoms]:
    """The labels of a run as ASE atoms, oldest first, in MACE's key convention.

    info: REF_energy (eV, as the reference gives it), REF_stress ((3, 3) eV/Å³, when there is one),
    energy_shift (eV; REF_energy + energy_shift is on the foundation model's scale), level, step,
    time_fs, charge, multiplicity; arrays: REF_forces (n_atoms, 3) eV/Å.
    """
    return [_frame(run, index) for index in range(len(run.data.labels.name))]


def _write(run: Run, ensemble: EnsembleRef, out: Path) -> None:
    weights = sorted(Path(ensemble.directory).glob("chain-*.safetensors"))
    if len(weights) != ensemble.n_members:
        raise RunFolderError(
            f"{ensemble.directory} holds {len(weights)} members, expected {ensemble.n_members}: "
            "restore it from a copy"
        )
    (out / "ensemble").mkdir()
    for path in weights:
        shutil.copyfile(path, out / "ensemble" / path.name)
    calculator = _calculator(run, ensemble, _carry_model(run, out))
    (out / "calculator.json").write_text(json.dumps(calculator, indent=2) + "\n", encoding="utf-8")
    (out / "load.py").write_bytes(files("bnnflow.analysis").joinpath(EXAMPLE).read_bytes())
    write(out / "dataset.extxyz", dataset(run), format="extxyz")


EXAMPLE = "templates/load.py.txt"
"""The loading example, shipped as text."""


def _carry_model(run: Run, out: Path) -> PotentialSpec:
    """Copy a foundation model that is a file, so that the folder needs nothing of this machine."""
    spec = run.config.potential.record()
    source = Path(spec.model)
    if not source.is_file():
        return spec
    (out / "model").mkdir()
    shutil.copyfile(source, out / "model" / source.name)
    return replace(spec, model=f"model/{source.name}")


def _calculator(run: Run, ensemble: EnsembleRef, potential: PotentialSpec) -> dict[str, Any]:
    return {
        "potential": asdict(potential),
        "ensemble": asdict(replace(ensemble, directory="ensemble")),
        "energy_std_floor_eV": run.floor,
        "energy_shift_eV": run.data.state.energy_shift,
        "charge": run.config.material.charge,
        "multiplicity": run.config.material.multiplicity,
    }


def _frame(run: Run, index: int) -> Atoms:
    labels, structure = run.data.labels, run.data.state.checkpoint.structure
    atoms = Atoms(
        numbers=run.data.numbers,
        positions=labels.positions[index],
        cell=labels.cells[index],
        pbc=structure.pbc,
    )
    atoms.info = {
        "REF_energy": float(labels.energy[index]),
        "energy_shift": run.data.state.energy_shift,
        "level": labels.level[index],
        "step": int(labels.step[index]),
        "time_fs": float(labels.time_fs[index]),
        "charge": structure.charge,
        "multiplicity": structure.multiplicity,
    }
    if np.all(np.isfinite(labels.stress[index])):
        atoms.info["REF_stress"] = tensor_from_voigt(labels.stress[index])
    atoms.arrays["REF_forces"] = labels.forces[index].copy()
    return atoms

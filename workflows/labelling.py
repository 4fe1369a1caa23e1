"""Label structures with a config's reference, outside any run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bnnflow import reference as references
from bnnflow.config import RunConfig, load_config
from bnnflow.config.check import check_reference
from bnnflow.errors import ConfigError
from bnnflow.materials import check_material
from bnnflow.records import Failure, Label, LabelRequest, Structure
from workflows.configs import find_config, shipped_configs


def label_targets(
    targets: Sequence[str], *, reference: str, folder: Path | None = None
) -> list[dict[str, Any]]:
    """Label each target, in order; all are checked before the first one runs.

    targets: configs (file or shipped name), molecules or structure files, and `key=value`
    overrides; reference: config that labels molecules and files; folder: keeps a subfolder per
    label (None: a temporary one). Returns one mapping per target: energy_eV and forces_eV_per_A,
    or cause and message of the failure. Raises UserError before anything is written.
    """
    overrides = [text for text in targets if "=" in text]
    names = [text for text in targets if "=" not in text]
    if not names:
        raise ConfigError("nothing to label: name a config, a molecule or a structure file")
    configs = [_config(name, reference, overrides) for name in names]
    structures = [_checked(config) for config in configs]
    parent = folder or Path(tempfile.mkdtemp(prefix="bnnflow-label-"))
    jobs = enumerate(zip(names, configs, structures, strict=True), start=_first_free(parent))
    return [
        {"target": name} | _label(config, structure, parent / f"{index:04d}")
        for index, (name, config, structure) in jobs
    ]


def _first_free(parent: Path) -> int:
    """A folder used before keeps its labels: new ones are numbered on."""
    used = [int(path.name) for path in parent.glob("[0-9]*") if path.name.isdigit()]
    return max(used, default=-1) + 1


def labels_table(labels: Sequence[dict[str, Any]]) -> str:
    """One line per label: energy and largest force, or the failure."""
    return "\n".join(_row(item) for item in labels)


def _config(name: str, reference: str, overrides: Sequence[str]) -> RunConfig:
    if name in shipped_configs() or Path(name).suffix in {".yaml", ".yml"}:
        return load_config(find_config(name), overrides)
    structure = f"material.structure={json.dumps(name)}"
    return load_config(find_config(reference), [*overrides, structure])


def _checked(config: RunConfig) -> Structure:
    structure = config.material.load()
    check_material(structure)
    check_reference(config, structure)
    return structure


def _label(config: RunConfig, structure: Structure, directory: Path) -> dict[str, Any]:
    request = LabelRequest(
        reference=config.reference.spec(),
        structure=structure,
        directory=str(directory),
        handling=config.reference.handling(),
    )
    return _figures(references.label(request))


def _figures(result: Label | Failure) -> dict[str, Any]:
    shared = {"directory": result.directory, "seconds": result.seconds, "host": result.host}
    if isinstance(result, Failure):
        return {"cause": result.cause.value, "message": result.message, **shared}
    return {
        "energy_eV": result.energy,
        "forces_eV_per_A": result.forces,
        "stress_eV_per_A3": result.stress,
        "level": result.level,
        **shared,
    }


def _row(item: dict[str, Any]) -> str:
    if "cause" in item:
        return f"{item['target']}: failed, {item['cause']}: {item['message']} ({item['directory']})"
    largest = float(np.linalg.norm(item["forces_eV_per_A"], axis=1).max())
    return (
        f"{item['target']}: {item['energy_eV']:.6f} eV, largest force {largest:.4f} eV/Å, "
        f"{item['level']}, {item['seconds']:.1f} s ({item['directory']})"
    )

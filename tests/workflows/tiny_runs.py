"""Real runs that take a second: water, a random MACE, GFN2-xTB, and a comparison of two runs."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from run_building import same

from bnnflow.config import RunConfig, parse_config
from bnnflow.data import RunData, read_run
from bnnflow.records import LoopState

WHERE_AND_WHEN = frozenset({"directory", "seconds", "host", "traceback"})
"""Columns that say where and how fast a task ran, not what came of it."""

RTO: dict[str, Any] = {
    "schedule": "rto",
    "chains": 2,
    "steps": None,
    "step_size": None,
    "trajectories": 2,
    "leapfrog_steps": 2,
    "max_jacobians": 2,
    "max_steps": 3,
}
"""The default schedule, cut short, for `settings(sampler=RTO)`."""


LOOSE = {"shortest_distance": 0.05, "largest_force_eV_A": 1e4, "highest_temperature_K": 1e6}
"""Water of a random model makes no sense: its guards would stop it sooner or later."""


def settings(model: Path, **changes: dict[str, Any]) -> RunConfig:
    """Twelve femtoseconds of water, with labels at steps 0, 1, 6 and 11 (this machine's rounding).

    K is tight and the steps are large, so that chains of a random model differ enough to ask; the
    calibration's prior is stiff, so that its bad predictions do not lock the run in.
    """
    values: dict[str, dict[str, Any]] = {
        "material": {"structure": "H2O"},
        "potential": {"model": str(model)},
        "threshold": {"energy_kcal_per_mol": 1.0},
        "calibration": {"shape": 500, "scale": 500},
        "dynamics": {
            "kind": "langevin",
            "temperature_K": 300,
            "timestep_fs": 0.5,
            "friction_per_fs": 0.01,
            "length_ps": 0.012,
            "checkpoint_every_steps": 10,
        },
        "sampler": {"schedule": "published", "chains": 4, "steps": 20, "step_size": 0.04},
        "reference": {"engine": "tblite", "options": {"method": "GFN2-xTB"}},
        "run": {"seed": 14},
        "guards": LOOSE,
    }
    for section, keys in changes.items():
        values[section] = {**values.get(section, {}), **keys}
    return parse_config(values)


def assert_same_run(found: Path, expected: Path) -> None:
    """Two runs took the same steps, decisions, labels and updates, bit for bit."""
    one, other = read_run(found), read_run(expected)
    for table in ("trajectory", "decisions", "labels", "updates", "failures"):
        for name in _columns(getattr(other, table)):
            values = getattr(getattr(one, table), name), getattr(getattr(other, table), name)
            assert same(*values), f"{table}.{name} differs"
    assert same(_placeless(one.state), _placeless(other.state))
    members = [sorted(folder.glob("ensemble/*/*.safetensors")) for folder in (found, expected)]
    assert [path.relative_to(found) for path in members[0]] == [
        path.relative_to(expected) for path in members[1]
    ]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*members, strict=True))


def assert_labels_whole(folder: Path) -> None:
    """No label lost and none asked for twice: the label folders are the labels committed."""
    run: RunData = read_run(folder)
    assert tuple(path.name for path in sorted((folder / "labels").iterdir())) == run.labels.name
    assert run.state.labels == run.labels.name
    assert len(run.updates.version) == len(run.labels.name)


def attempts(folder: Path) -> list[str]:
    """Every time the reference was started, as label/attempt."""
    return [str(path.relative_to(folder)) for path in sorted(folder.glob("labels/*/attempt-*"))]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _columns(table: Any) -> list[str]:
    return [item.name for item in fields(table) if item.name not in WHERE_AND_WHEN]


def _placeless(state: LoopState) -> LoopState:
    if state.ensemble is None:
        return state
    return replace(state, ensemble=replace(state.ensemble, directory=""))

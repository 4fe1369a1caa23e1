"""Defaults that depend on the model's family or on a preset; see `sections` for all others.

Sources: METHOD 2 (sigma_TL), METHOD 3 (step size and schedule), METHOD 5 (calibration) [R26].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bnnflow.records import model_family

FAMILY_DEFAULTS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "mace": {
        "potential": {"prior_std": 0.5},
        "calibration": {"shape": 1.5, "scale": 10.0},
        "sampler": {"step_size": 1e-3},
    },
    "chgnet": {
        "potential": {"prior_std": 1.4},
        "calibration": {"shape": 1.5, "scale": 10.0},
        "sampler": {"step_size": 1e-3},
    },
    "nequip": {
        "potential": {"prior_std": 0.2},
        "calibration": {"shape": 3.0, "scale": 10.0},
        "sampler": {"step_size": 3e-5},
    },
}
"""Family -> section -> key -> default."""

COMPAT_FIXED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "rensmeyer2026": {
        "threshold": {"force_kcal_per_mol_A": None, "force_regions": None},
        "calibration": {
            "shape": 1.5,
            "scale": 10.0,
            "audit_every_steps": None,
            "moving_average_labels": None,
        },
        "sampler": {
            "schedule": "published",
            "noise_free_fraction": 398 / 2000,
            "ramp_fraction": 102 / 2000,
            "freeze_mass_fraction": 1.0,
        },
        "run": {"continue_on": "reference"},
        "initial": {"labels": 0},
    },
}
"""Preset -> section -> key -> the only value that it allows (DECISIONS 2, 4, 5, 19, 20)."""

COMPAT_DEFAULTS: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]] = {
    "rensmeyer2026": {
        "mace": {"sampler": {"steps": 2000, "batch": 5}},
        "chgnet": {"sampler": {"steps": 2000, "batch": 5}},
        "nequip": {"sampler": {"steps": 2000, "batch": 5, "step_size": 1e-4}},
    },
}
"""Preset -> family -> section -> key -> default in place of the family's (DECISIONS 5, 10)."""


def fill_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults of the family, and of a preset, to the sections of a raw config.

    The family is the one named, else the model's. A key that is present and not null stays as it
    is. What is not a mapping, or not a known family, is left for the validation to refuse. Schedule
    rto finds its prior_std when the run starts.
    """
    family = _named(values, "potential", "family")
    if family not in FAMILY_DEFAULTS:
        family = model_family(_named(values, "potential", "model"))
    known = FAMILY_DEFAULTS[family]
    compat = str(values.get("compat"))
    if compat in COMPAT_FIXED:
        known = _layered(known, COMPAT_DEFAULTS[compat][family], COMPAT_FIXED[compat])
    schedule = _named(values, "sampler", "schedule")
    if schedule == "rto" or (not schedule and compat not in COMPAT_FIXED):
        known = {**known, "potential": {}, "sampler": {}}
    known = _layered(known, {"potential": {"family": family}})
    return dict(values) | {
        section: _with_defaults(values.get(section), defaults)
        for section, defaults in known.items()
    }


def _layered(*layers: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sections of all layers; of one key, the last layer's value."""
    sections: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for section, keys in layer.items():
            sections[section] = {**sections.get(section, {}), **keys}
    return sections


def _named(values: Mapping[str, Any], section: str, key: str) -> str:
    inner = values.get(section)
    return str(inner.get(key) or "") if isinstance(inner, Mapping) else ""


def _with_defaults(section: Any, defaults: Mapping[str, Any]) -> Any:
    if section is None:
        section = {}
    if not isinstance(section, Mapping):
        return section
    given = {key: value for key, value in section.items() if value is not None}
    return {**defaults, **given}

"""Defaults that depend on the model's family or the schedule's name; see `sections` for all others.

Sources: METHOD 2 (sigma_TL), METHOD 3 (step size and schedule), METHOD 5 (calibration) [R26].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT_FAMILY: str = "mace"
DEFAULT_SCHEDULE: str = "published"

FAMILY_DEFAULTS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "mace": {
        "potential": {"prior_std": 0.5},
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

PUBLISHED: Mapping[str, float] = {
    "noise_free_fraction": 398 / 2000,
    "ramp_fraction": 102 / 2000,
    "freeze_mass_fraction": 1.0,
}
"""398 of 2000 steps without noise, full noise at step 500."""

SCHEDULES: Mapping[str, Mapping[str, float]] = {"published": PUBLISHED, "rto": PUBLISHED}
"""Schedule -> what it fixes; rto uses none of it."""


def fill_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults of the named family and schedule to the sections of a raw config.

    A key that is present and not null stays as it is. What is not a mapping, or not a known family
    or schedule, is left for the validation to refuse.
    """
    filled = dict(values)
    family = _named(filled, "potential", "family", FAMILY_DEFAULTS, DEFAULT_FAMILY)
    schedule = _named(filled, "sampler", "schedule", SCHEDULES, DEFAULT_SCHEDULE)
    for section, defaults in FAMILY_DEFAULTS[family].items():
        # A sampler that mixes needs a prior of the model at hand, see training.prior_scale.
        unknown = (section, schedule) == ("potential", "rto")
        filled[section] = _with_defaults(filled.get(section), {} if unknown else defaults)
    filled["sampler"] = _with_defaults(filled.get("sampler"), SCHEDULES[schedule])
    return filled


def _named(
    values: Mapping[str, Any], section: str, key: str, known: Mapping[str, Any], default: str
) -> str:
    inner = values.get(section)
    name = inner.get(key) if isinstance(inner, Mapping) else None
    return name if isinstance(name, str) and name in known else default


def _with_defaults(section: Any, defaults: Mapping[str, Any]) -> Any:
    if section is None:
        section = {}
    if not isinstance(section, Mapping):
        return section
    given = {key: value for key, value in section.items() if value is not None}
    return {**defaults, **given}

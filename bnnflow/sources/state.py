"""Charge and spin of a structure, from what a source says of it.

Read from info keys (extxyz) or key-value pairs (ASE databases): `charge` or `total_charge`, e;
`multiplicity` or `spin_multiplicity`, 2S + 1. A key `spin` means 2S + 1 to some, 2S or S to others
and is refused unless the multiplicity is given otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bnnflow.errors import StructureError

CHARGE_KEYS = ("charge", "total_charge")
MULTIPLICITY_KEYS = ("multiplicity", "spin_multiplicity")


def charge_of(info: Mapping[str, Any], given: int | None = None) -> int:
    """Total charge in e: the given one, else the source's, else 0. Raises StructureError."""
    if given is not None:
        return given
    found = _said(info, CHARGE_KEYS)
    return 0 if found is None else found


def multiplicity_of(info: Mapping[str, Any], given: int | None = None) -> int:
    """Multiplicity 2S + 1: the given one, else the source's, else 1. Raises StructureError."""
    if given is not None:
        return given
    found = _said(info, MULTIPLICITY_KEYS)
    if found is None and "spin" in info:
        raise StructureError(
            f"it has spin={info['spin']}, which can mean 2S+1, 2S or S: set multiplicity (2S+1)"
        )
    return 1 if found is None else found


def _said(info: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    values = {key: _whole(key, info[key]) for key in keys if key in info}
    if len(set(values.values())) > 1:
        words = " and ".join(f"{key}={value}" for key, value in values.items())
        raise StructureError(f"it has {words}, expected one value: correct the source")
    return next(iter(values.values()), None)


def _whole(key: str, value: Any) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not number.is_integer():
        raise StructureError(f"it has {key}={value}, expected a whole number: correct the source")
    return int(number)

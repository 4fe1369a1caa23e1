"""What to try when the electronic loop does not converge; never another level of theory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bnnflow.reference.base import Remedy
from bnnflow.reference.vasp.numbers import number
from bnnflow.reference.vasp.tags import level_tags

if TYPE_CHECKING:
    from bnnflow.reference.vasp.engine import VASPReference

CAREFUL: Mapping[str, Any] = {
    "ALGO": "Normal",
    "NELMDL": -12,
    "AMIX": 0.1,
    "BMIX": 0.01,
    "AMIX_MAG": 0.2,
    "BMIX_MAG": 0.0001,
}
"""Twelve steps in the field of the starting density, then little of each new density at a time."""


def remedies_of(options: VASPReference) -> tuple[Remedy, ...]:
    """In this order: start anew, careful mixing, all bands at once, damped dynamics."""
    cycles = int(number(str(level_tags(options)["NELM"])))
    more, most = 3 * cycles, 5 * cycles
    anew = [Remedy("from atomic densities", options)] if options.restart else []
    return (
        *anew,
        Remedy(
            f"ALGO Normal, 12 steps before mixing, AMIX 0.1 BMIX 0.01, NELM {more}",
            _with(options, {**CAREFUL, "NELM": more}),
        ),
        Remedy(f"ALGO All, NELM {more}", _with(options, {"ALGO": "All", "NELM": more})),
        Remedy(
            f"ALGO Damped, TIME 0.1, NELM {most}",
            _with(options, {"ALGO": "Damped", "TIME": 0.1, "NELM": most}),
        ),
    )


def _with(options: VASPReference, tags: Mapping[str, Any]) -> VASPReference:
    """The same options with these tags, which are all of `incar.SEARCH`."""
    return replace(options, incar={**options.incar, **tags})

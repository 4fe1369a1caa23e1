"""Functionals and dispersion corrections by name, as INCAR tags, with the POTCARs they go with.

B3LYP is VASP's `GGA = B3`, whose local correlation is VWN3. There are no POTCARs of hybrids: they
are used with those of PBE.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bnnflow.errors import ConfigError


@dataclass(frozen=True)
class Functional:
    """tags: INCAR; family: LEXCH of the POTCARs; hybrid: whether it has exact exchange."""

    tags: Mapping[str, Any] = field(default_factory=dict)
    family: str = "PE"

    @property
    def hybrid(self) -> bool:
        return bool(self.tags.get("LHFCALC"))


_PBE_HYBRID = {"GGA": "PE", "LHFCALC": True, "AEXX": 0.25}

FUNCTIONALS: Mapping[str, Functional] = {
    "PBE": Functional({"GGA": "PE"}),
    "PBEsol": Functional({"GGA": "PS"}),
    "RPBE": Functional({"GGA": "RP"}),
    "revPBE": Functional({"GGA": "RE"}),
    "LDA": Functional(family="CA"),
    "SCAN": Functional({"METAGGA": "SCAN", "LASPH": True}),
    "r2SCAN": Functional({"METAGGA": "R2SCAN", "LASPH": True}),
    "PBE0": Functional(_PBE_HYBRID),
    "HSE06": Functional(_PBE_HYBRID | {"HFSCREEN": 0.2}),
    "B3LYP": Functional(
        {
            "GGA": "B3",
            "LHFCALC": True,
            "AEXX": 0.2,
            "AGGAX": 0.72,
            "AGGAC": 0.81,
            "ALDAC": 0.19,
        }
    ),
    "HF": Functional({"LHFCALC": True, "AEXX": 1.0, "ALDAC": 0.0, "AGGAC": 0.0}),
}
DISPERSIONS: Mapping[str, int] = {"D2": 1, "D3": 11, "D3(BJ)": 12, "D4": 13, "TS": 20, "MBD": 202}
"""Name -> IVDW."""

FUNCTIONAL_TAGS: frozenset[str] = frozenset(
    {"GGA", "METAGGA", "LHFCALC", "HFSCREEN", "AEXX", "AGGAX", "AGGAC", "ALDAX", "ALDAC"}
)
"""Tags by which a functional can be given without a name of this list."""

WITH_U = "+U"


def find_functional(name: str) -> Functional:
    """The functional of a name, "+U" aside. Raises ConfigError with the nearest name."""
    plain = name.removesuffix(WITH_U)
    if plain not in FUNCTIONALS:
        raise ConfigError(_unknown("functional", plain, FUNCTIONALS))
    return FUNCTIONALS[plain]


def dispersion_tags(name: str) -> dict[str, int]:
    """INCAR tags of a dispersion correction, none for "". Raises ConfigError."""
    if not name:
        return {}
    if name not in DISPERSIONS:
        raise ConfigError(_unknown("dispersion", name, DISPERSIONS))
    return {"IVDW": DISPERSIONS[name]}


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"vasp: unknown {what} {name!r}: {hint}"

"""The level of theory of a VASP reference in words: everything that changes its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bnnflow.reference.vasp.functionals import FUNCTIONAL_TAGS, WITH_U
from bnnflow.reference.vasp.incar import MACHINE, OWNED, SEARCH, incar_value
from bnnflow.reference.vasp.kpoints import MESHES, Mesh, as_divisions
from bnnflow.reference.vasp.numbers import number
from bnnflow.reference.vasp.tags import hubbard, level_tags

if TYPE_CHECKING:
    from bnnflow.reference.vasp.engine import VASPReference

_SMEARING = {-5: "tetrahedron method", -1: "Fermi smearing", 0: "Gaussian smearing"}
_IN_WORDS = frozenset({"ENCUT", "ISMEAR", "SIGMA", "ISPIN", "IVDW", "EDIFF", "PREC"})


def level_of(options: VASPReference) -> str:
    """For example "PBE+U (Mn d: U 3.9 J 0 eV), 500 eV, 4x4x4 Gamma-centred k-points (VASP)"."""
    tags = level_tags(options)
    parts = [
        _functional(options, tags),
        *([options.dispersion] if options.dispersion else []),
        f"{incar_value('ENCUT', tags['ENCUT'])} eV",
        _mesh(options),
        _smearing(tags),
        *(["spin-polarised"] if _polarised(options, tags) else []),
        f"PREC {tags['PREC']}",
        f"EDIFF {incar_value('EDIFF', tags['EDIFF'])}",
        *_potcars(options),
        *_others(tags),
    ]
    return ", ".join(parts) + " (VASP)"


def _functional(options: VASPReference, tags: Mapping[str, Any]) -> str:
    given = _tags_in_words(tags, FUNCTIONAL_TAGS) or "functional of the POTCARs"
    name = (options.functional or given).removesuffix(WITH_U)
    if not options.ldau:
        return name
    each = [(symbol, *hubbard(options.ldau, symbol)) for symbol in sorted(options.ldau)]
    values = ", ".join(f"{s} {'spdf'[orbital]}: U {u:g} J {j:g} eV" for s, u, j, orbital in each)
    kind = "" if options.ldau_type == 2 else f", LDAUTYPE {options.ldau_type}"
    return f"{name}{WITH_U} ({values}{kind})"


def _mesh(options: VASPReference) -> str:
    if options.kpoints is not None:
        return Mesh(as_divisions(options.kpoints), options.mesh).words
    if options.kspacing_per_A is not None:
        return f"{MESHES[options.mesh]} k-points {options.kspacing_per_A:g} 1/Å apart"
    return "Gamma point"


def _smearing(tags: Mapping[str, Any]) -> str:
    kind = int(number(str(tags["ISMEAR"])))
    name = _SMEARING.get(kind, f"Methfessel-Paxton smearing of order {kind}")
    return name if kind == -5 else f"{name} {incar_value('SIGMA', tags['SIGMA'])} eV"


def _polarised(options: VASPReference, tags: Mapping[str, Any]) -> bool:
    return bool(options.magmom) or number(str(tags.get("ISPIN", 1))) == 2


def _potcars(options: VASPReference) -> list[str]:
    names = [name for symbol, name in sorted(options.potcars.items()) if name != symbol]
    return [f"POTCARs {' '.join(names)}"] if names else []


def _others(tags: Mapping[str, Any]) -> list[str]:
    """Tags of the user's own that are neither said already nor of no consequence."""
    said = {*_IN_WORDS, *OWNED, *SEARCH, *MACHINE, *FUNCTIONAL_TAGS}
    text = _tags_in_words(tags, set(tags) - said)
    return [text] if text else []


def _tags_in_words(tags: Mapping[str, Any], which: frozenset[str] | set[str]) -> str:
    return " ".join(f"{tag}={incar_value(tag, tags[tag])}" for tag in sorted(which & set(tags)))

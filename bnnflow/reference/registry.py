"""Which reference codes there are, and how a config's mapping becomes one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from bnnflow.errors import ConfigError
from bnnflow.reference.base import Reference
from bnnflow.reference.engine_ase import ASEReference
from bnnflow.reference.engine_pyscf import PySCFReference
from bnnflow.reference.engine_tblite import TBLiteReference
from bnnflow.reference.vasp import VASPReference

_ENGINES: Mapping[str, type[Any]] = {
    "pyscf": PySCFReference,
    "tblite": TBLiteReference,
    "ase": ASEReference,
    "vasp": VASPReference,
}

_KINDS: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "Mapping[str, Any]": (Mapping,),
}


def build_reference(spec: Mapping[str, Any]) -> Reference:
    """Make a reference from `{"engine": NAME, **options}`.

    Raises ConfigError for an unknown engine or option and for a value of the wrong kind,
    ReferenceError when the engine's package is not installed.
    """
    name = str(spec.get("engine", ""))
    if name not in _ENGINES:
        raise ConfigError(_unknown("reference engine", name, _ENGINES))
    engine = _ENGINES[name]
    options = {key: value for key, value in spec.items() if key != "engine"}
    _check_options(name, options, {item.name: item for item in fields(engine)})
    reference: Reference = engine(**options)
    return reference


def _check_options(
    engine: str, options: Mapping[str, Any], known: Mapping[str, Field[Any]]
) -> None:
    for key, value in options.items():
        if key not in known:
            raise ConfigError(_unknown(f"option of reference engine {engine}:", key, known))
        if not _is_kind(value, str(known[key].type)):
            raise ConfigError(
                f"reference {engine}: {key} is {value!r}, expected {known[key].type}: correct it"
            )
    for item in known.values():
        if item.default is MISSING and item.default_factory is MISSING and item.name not in options:
            raise ConfigError(f"reference {engine}: option {item.name} is missing: add it")


def _is_kind(value: object, kind: str) -> bool:
    """Whether a value is of the annotated kind, such as "int | None"; a bool is no number."""
    return any(_is_one(value, one) for one in kind.split(" | "))


def _is_one(value: object, kind: str) -> bool:
    if kind == "None":
        return value is None
    if kind.startswith("Sequence["):
        inner = kind.removeprefix("Sequence[").removesuffix("]")
        return isinstance(value, (list, tuple)) and all(_is_kind(item, inner) for item in value)
    if isinstance(value, bool):
        return kind == "bool"
    return isinstance(value, _KINDS[kind])


def _unknown(what: str, name: object, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
    return f"unknown {what} {name!r}: {hint}"

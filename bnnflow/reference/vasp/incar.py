"""INCAR: its text, and what may stand in a user's own tags or template."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bnnflow.errors import ConfigError, ReferenceError

STATIC: Mapping[str, Any] = {"NSW": 0, "IBRION": -1, "ISIF": 2}
"""Every label is one calculation of fixed atoms, with forces and stress."""

OWNED: Mapping[str, str] = {
    **dict.fromkeys(STATIC, ""),
    "ENCUT": "encut_eV",
    "ENMAX": "encut_eV",
    "EDIFF": "ediff_eV",
    "PREC": "prec",
    "ISMEAR": "ismear",
    "SIGMA": "sigma_eV",
    "ISPIN": "ispin",
    "MAGMOM": "magmom",
    "LDAU": "ldau",
    "LDAUTYPE": "ldau_type",
    "LDAUL": "ldau",
    "LDAUU": "ldau",
    "LDAUJ": "ldau",
    "IVDW": "dispersion",
    "NUPDOWN": "material.multiplicity and fix_spin",
    "NELECT": "material.charge",
    "KSPACING": "kspacing_per_A",
    "KGAMMA": "mesh",
    "ISTART": "restart",
    "ICHARG": "restart",
    "LWAVE": "restart",
    "LCHARG": "restart",
}
"""Tag -> what sets it here; "": it cannot be set."""

ORDERED: frozenset[str] = frozenset(
    {"MAGMOM", "LDAUL", "LDAUU", "LDAUJ", "NELECT", "NUPDOWN", "KSPACING", "ROPT", "RWIGS"}
)
"""Tags of a template that hold for one order of atoms, one charge or one cell only."""

SEARCH: frozenset[str] = frozenset(
    {
        *("ALGO", "IALGO", "NELM", "NELMIN", "NELMDL", "INIWAV", "TIME", "EBREAK", "DEPER"),
        *("AMIX", "BMIX", "AMIX_MAG", "BMIX_MAG", "AMIN", "IMIX", "INIMIX", "MAXMIX", "MIXPRE"),
        *("WC", "LMAXMIX", "LDIAG", "LSUBROT", "WEIMIN", "NRMM", "LSCALU"),
    }
)
"""Tags that say how the self-consistent solution is sought, not which one."""

MACHINE: frozenset[str] = frozenset(
    {
        *("NCORE", "NPAR", "KPAR", "NSIM", "LPLANE", "LSCALAPACK", "LSCAAWARE", "LASYNC", "NBLK"),
        *("MAXMEM", "SYSTEM", "NWRITE", "LORBIT", "LDAUPRINT", "LVTOT", "LVHAR", "LELF", "LAECHG"),
    }
)
"""Tags that say where it runs and what is written."""

_COMMENT = re.compile(r"[#!].*")


def incar_text(tags: Mapping[str, Any]) -> str:
    """An INCAR file, one tag per line, in the order given."""
    return "".join(f"{tag} = {incar_value(tag, value)}\n" for tag, value in tags.items())


def incar_value(tag: str, value: Any) -> str:
    """A value as VASP reads it; equal neighbours of a list as n*value. Raises ConfigError."""
    if isinstance(value, bool):
        return ".TRUE." if value else ".FALSE."
    if isinstance(value, (int, float)):
        return f"{value:.10g}"
    if isinstance(value, str):
        if "\n" in value or ";" in value:
            raise ConfigError(f"vasp: incar.{tag} holds a line break or ';': give one value")
        return value
    if isinstance(value, (list, tuple)) and value:
        return " ".join(_runs([incar_value(tag, item) for item in value]))
    raise ConfigError(
        f"vasp: incar.{tag} is {value!r}, expected a number, text, true, false or a list of them"
    )


def parse_incar(text: str) -> dict[str, str]:
    """Tags of an INCAR file, capitalised; comments and lines without "=" say nothing to VASP."""
    joined = re.sub(r"\\\s*\n", " ", _strip_comments(text))
    tags: dict[str, str] = {}
    for statement in re.split(r"[\n;]", joined):
        tag, equals, value = statement.partition("=")
        if equals and tag.strip():
            tags.setdefault(tag.strip().upper(), value.strip())  # VASP, too, takes the first
    return tags


def read_template(path: str) -> dict[str, str]:
    """Tags of an INCAR template; those that belong to one structure are refused.

    path: absolute, since labels run in folders of their own. Raises ConfigError, ReferenceError.
    """
    file = Path(path).expanduser()
    if not file.is_absolute():
        raise ConfigError(
            f"vasp: incar_template is {path}, expected an absolute path: give it whole"
        )
    try:
        tags = parse_incar(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReferenceError(
            f"vasp: incar_template {path} cannot be read ({error.strerror}): correct the path"
        ) from error
    for tag in tags:
        if tag in ORDERED:
            raise ConfigError(
                f"vasp: incar_template holds {tag}, which belongs to one structure: remove it"
                + (f" and set {OWNED[tag]}" if OWNED.get(tag) else "")
            )
    return tags


def check_own_tags(tags: Mapping[str, Any], *, owned: Iterable[str] = ()) -> None:
    """Refuse tags of `incar` that an option sets, and values that are none.

    owned: further tags that are set by `functional`. Raises ConfigError.
    """
    by_functional = dict.fromkeys(owned, "functional")
    for tag, value in tags.items():
        if tag != tag.upper():
            raise ConfigError(f"vasp: incar holds {tag}, expected capitals: write {tag.upper()}")
        instead = {**by_functional, **OWNED}.get(tag)
        if instead is not None:
            remedy = f"set {instead} instead" if instead else "remove it: a label moves no atoms"
            raise ConfigError(f"vasp: incar holds {tag}, which has an option of its own: {remedy}")
        incar_value(tag, value)


def _strip_comments(text: str) -> str:
    return "\n".join(_COMMENT.sub("", line) for line in text.splitlines())


def _runs(words: list[str]) -> list[str]:
    """["0", "0", "5"] -> ["2*0", "5"]."""
    runs: list[tuple[int, str]] = []
    for word in words:
        count = runs.pop()[0] if runs and runs[-1][1] == word else 0
        runs.append((count + 1, word))
    return [word if count == 1 else f"{count}*{word}" for count, word in runs]

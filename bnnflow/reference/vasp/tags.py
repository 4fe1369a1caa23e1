"""From options to the tags of INCAR.

Layers, the later one winning: defaults, the template, options that were set, `incar`, and what the
structure decides. `incar` cannot hold what an option sets, so nothing is ever set twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bnnflow.errors import ConfigError, StructureError
from bnnflow.reference.vasp.functionals import (
    FUNCTIONAL_TAGS,
    Functional,
    dispersion_tags,
    find_functional,
)
from bnnflow.reference.vasp.incar import STATIC, check_own_tags, read_template
from bnnflow.reference.vasp.layout import Layout
from bnnflow.reference.vasp.numbers import number
from bnnflow.reference.vasp.potcar import Potcar

if TYPE_CHECKING:
    from bnnflow.reference.vasp.engine import VASPReference

DEFAULTS: Mapping[str, Any] = {
    "PREC": "Accurate",
    "EDIFF": 1e-5,
    "NELM": 100,
    "ISMEAR": 0,
    "SIGMA": 0.05,
}
_ORBITALS = {"s": 0, "p": 1, "d": 2, "f": 3}
_U_KEYS = {"U", "J", "l"}


def named_functional(options: VASPReference) -> Functional:
    """The functional of the option, or an empty one whose tags the user gives."""
    return find_functional(options.functional) if options.functional else Functional(family="")


def level_tags(options: VASPReference) -> dict[str, Any]:
    """What no structure changes, which is what the level of theory is made of."""
    functional = named_functional(options)
    check_own_tags(options.incar, owned=FUNCTIONAL_TAGS if options.functional else ())
    template = read_template(options.incar_template) if options.incar_template else {}
    if options.functional:
        template = {tag: text for tag, text in template.items() if tag not in FUNCTIONAL_TAGS}
    algorithm = {"ALGO": "All"} if functional.hybrid else {}
    tags = {
        **DEFAULTS,
        **algorithm,
        **functional.tags,
        **template,
        **_set_options(options),
        **options.incar,
    }
    if "ENCUT" not in tags:
        raise ConfigError("vasp: encut_eV is missing: set the plane-wave cutoff, eV")
    return tags


def incar_tags(
    options: VASPReference, layout: Layout, potcars: Sequence[Potcar], *, restarting: bool
) -> dict[str, Any]:
    """Every tag of one calculation, in the order of the file.

    restarting: whether WAVECAR and CHGCAR of a neighbouring structure lie in its folder.
    """
    tags = level_tags(options)
    spin = _spin_tags(options, layout, tags)
    return {
        "SYSTEM": "bnnflow label",
        **tags,
        **STATIC,
        **spin,
        **_hubbard_tags(options, layout, tags),
        **_charge_tags(layout, potcars),
        **_restart_tags(options.restart, restarting),
    }


def n_valence(layout: Layout, potcars: Sequence[Potcar]) -> float:
    """Electrons of the charged structure, as the POTCARs count them (NELECT)."""
    neutral = sum(count * potcar.zval for count, potcar in zip(layout.counts, potcars, strict=True))
    return neutral - layout.structure.charge


def spin_is_fixed(options: VASPReference, layout: Layout) -> bool:
    """Whether the total moment is held at the multiplicity: when asked, else unless it is 1."""
    if options.fix_spin is None:
        return layout.structure.multiplicity != 1
    return options.fix_spin


def _set_options(options: VASPReference) -> dict[str, Any]:
    given = {
        "ENCUT": options.encut_eV,
        "EDIFF": options.ediff_eV,
        "PREC": options.prec,
        "ISMEAR": options.ismear,
        "SIGMA": options.sigma_eV,
        "ISPIN": options.ispin,
    }
    return {tag: value for tag, value in given.items() if value is not None} | dispersion_tags(
        options.dispersion
    )


def _spin_tags(options: VASPReference, layout: Layout, tags: Mapping[str, Any]) -> dict[str, Any]:
    """ISPIN, starting moments and the fixed total one; moments are written out (LORBIT)."""
    fixed = spin_is_fixed(options, layout)
    asked = number(str(tags["ISPIN"])) if "ISPIN" in tags else None
    unpaired = layout.structure.multiplicity - 1
    if asked == 1 and fixed and unpaired:
        raise StructureError(
            f"the structure has multiplicity {unpaired + 1}, but ispin is 1: set ispin to 2"
        )
    polarised = asked == 2 or (asked is None and (bool(options.magmom) or fixed))
    if not polarised:
        return {"ISPIN": 1}
    moments = {"MAGMOM": _moments(options.magmom, layout)} if options.magmom else {}
    return {
        "ISPIN": 2,
        **moments,
        **({"NUPDOWN": unpaired} if fixed else {}),
        "LORBIT": tags.get("LORBIT", 10),
    }


def _moments(magmom: Mapping[str, Any], layout: Layout) -> list[float]:
    """A starting moment per line of POSCAR; 0 for elements that are not named."""
    moments: list[float] = []
    for symbol, count in zip(layout.species, layout.counts, strict=True):
        value = magmom.get(symbol, 0.0)
        own = list(value) if isinstance(value, (list, tuple)) else [value] * count
        if len(own) != count:
            raise StructureError(
                f"vasp: magmom has {len(own)} values for {symbol}, of which the structure has "
                f"{count} atoms: give one value, or one per atom"
            )
        moments += own
    return moments


def _hubbard_tags(
    options: VASPReference, layout: Layout, tags: Mapping[str, Any]
) -> dict[str, Any]:
    """DFT+U in the order of species; the mixer needs the density of the same orbitals (LMAXMIX)."""
    present = [symbol for symbol in layout.species if symbol in options.ldau]
    if not present:
        return {}
    each = [hubbard(options.ldau, symbol) for symbol in layout.species]
    highest = max(orbital for _, _, orbital in each)
    return {
        "LDAU": True,
        "LDAUTYPE": options.ldau_type,
        "LDAUL": [orbital for _, _, orbital in each],
        "LDAUU": [u for u, _, _ in each],
        "LDAUJ": [j for _, j, _ in each],
        "LMAXMIX": tags.get("LMAXMIX", 2 * highest),
    }


def hubbard(ldau: Mapping[str, Any], symbol: str) -> tuple[float, float, int]:
    """U and J (eV) and the orbital's l of an element; l is -1 where there is no U.

    Raises ConfigError unless it is {U: number, J: number, l: 1 to 3 or p, d, f}; J may be absent.
    """
    if symbol not in ldau:
        return 0.0, 0.0, -1
    value = ldau[symbol]
    wanted = f"vasp: ldau.{symbol} is {value!r}, expected {{U: eV, J: eV, l: p, d or f}}"
    if not isinstance(value, Mapping) or not {"U", "l"} <= set(value) <= _U_KEYS:
        raise ConfigError(f"{wanted}: correct it")
    orbital = _ORBITALS.get(value["l"], value["l"])
    numbers = (value["U"], value.get("J", 0.0))
    if orbital not in (1, 2, 3) or not all(_is_number(part) for part in numbers):
        raise ConfigError(f"{wanted}: correct it")
    return float(numbers[0]), float(numbers[1]), int(orbital)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _charge_tags(layout: Layout, potcars: Sequence[Potcar]) -> dict[str, float]:
    """NELECT for a charged cell; a neutral one is left to VASP, and checked afterwards."""
    return {"NELECT": n_valence(layout, potcars)} if layout.structure.charge else {}


def _restart_tags(restart: bool, restarting: bool) -> dict[str, Any]:
    """With the files of a neighbour: its orbitals, and its density moved along with the atoms."""
    start = {"ISTART": 1, "ICHARG": 1} if restarting else {"ISTART": 0, "ICHARG": 2}
    return {**start, "LWAVE": restart, "LCHARG": restart}

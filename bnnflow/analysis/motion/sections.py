"""The report's sections about motion, from the figures that an analysis left in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from bnnflow.analysis.motion import drawing
from bnnflow.analysis.sections import Section

KINDS: dict[str, tuple[str, Callable[[drawing.Many, str], Figure]]] = {
    "bonds": ("Bond lengths", drawing.bonds),
    "msd": ("Mean squared displacement", drawing.msd),
    "jumps": ("Jumps", drawing.jumps),
    "rdf": ("Radial distribution", drawing.rdf),
    "adf": ("Angular distribution", drawing.adf),
    "vdos": ("Vibrational density of states", drawing.vdos),
}
"""Kind of analysis -> its title and its drawing."""


def motion_sections(figures: Mapping[str, Any]) -> list[Section]:
    """A section for every analysis. figures: what analysis.json holds."""
    every = figures["trajectories"]
    return [
        _section(kind, of, figures, [found[kind][of] for found in every])
        for kind in KINDS
        for of in every[0].get(kind, {})
    ]


def _section(kind: str, of: str, figures: Mapping[str, Any], many: drawing.Many) -> Section:
    title, draw = KINDS[kind]
    key = f"{kind}-{of}".replace(":", "-")
    return Section(key, f"{title}: {of}", _caption(figures, many), draw(many, of))


def _caption(figures: Mapping[str, Any], many: drawing.Many) -> str:
    """The rows in words; of several trajectories the means."""
    if len(many) == 1:
        rows = [
            f"{name} {value}" + (f" ({note})" if note else "")
            for name, value, note in many[0]["rows"]
        ]
        return "; ".join(rows) + f". From {figures['trajectories'][0]['trajectory']}."
    names = [name for name, _, _ in many[0]["rows"]]
    rows = [f"{name} {figures['together'][name]['text']}" for name in names]
    return "; ".join(rows) + f": means of {len(many)} trajectories with standard errors."

"""Carry out a study of one or several trajectories, as figures and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bnnflow.analysis.motion.averages import over_blocks
from bnnflow.analysis.motion.finding import PS, Finding, Row, json_able, text
from bnnflow.analysis.motion.of_dynamics import of_diffusion, of_vibrations
from bnnflow.analysis.motion.of_jumps import of_jumps
from bnnflow.analysis.motion.of_structure import of_angles, of_bonds, of_pairs
from bnnflow.analysis.motion.sources import Source
from bnnflow.analysis.motion.study import Study

ANALYSIS_FILE = "analysis.json"
"""Where a run folder keeps the figures of its last analysis, for the report."""


@dataclass(frozen=True, eq=False)
class Analysed:
    """What was found in one trajectory. frames: how many; timestep: fs between two of them."""

    name: str
    atoms: int
    frames: int
    timestep: float
    range_ps: tuple[float, float]
    findings: tuple[Finding, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Rows of all findings, in their order."""
        return tuple(row for finding in self.findings for row in finding.rows)


def analyse(source: Source, study: Study) -> Analysed:
    """Carry out a study of one trajectory.

    Raises ConfigError and StructureError as the analyses do.
    """
    motion = source.motion
    return Analysed(
        name=source.name,
        atoms=len(motion.numbers),
        frames=len(motion),
        timestep=motion.timestep,
        range_ps=(float(motion.times[0]) / PS, float(motion.times[-1]) / PS),
        findings=tuple(_findings(source, study)),
    )


def figures_of(many: Sequence[Analysed]) -> dict[str, Any]:
    """Everything that was found, JSON-able; what is not defined is None."""
    found: dict[str, Any] = {"trajectories": [_figures(one) for one in many]}
    if len(many) > 1:
        found["together"] = {
            row.name: {"value": row.value, "error": row.error, "unit": row.unit, "text": shown(row)}
            for row in together(many)
        }
    checked: dict[str, Any] = json_able(found)
    return checked


def together(many: Sequence[Analysed]) -> tuple[Row, ...]:
    """Mean of each number over the trajectories it was found in, with its standard error."""
    by_name: dict[str, list[Row]] = {}
    for row in (row for one in many for row in one.rows):
        by_name.setdefault(row.name, []).append(row)
    return tuple(_mean(rows) for rows in by_name.values())


def table_of(many: Sequence[Analysed]) -> str:
    """Everything that was found, as aligned lines; several trajectories also together."""
    parts = [(_head(one), one.rows) for one in many]
    if len(many) > 1:
        parts.append((f"{len(many)} trajectories together", together(many)))
    return "\n\n".join("\n".join([head, *_lines(rows)]) for head, rows in parts)


def table_rows(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Name, number with unit, and note of each row."""
    return [(row.name, shown(row), row.note) for row in rows]


def shown(row: Row) -> str:
    """Number, error and unit of a row."""
    return f"{text(row.value, row.error)} {row.unit}".rstrip()


def _figures(one: Analysed) -> dict[str, Any]:
    found: dict[str, Any] = {
        "trajectory": one.name,
        "atoms": one.atoms,
        "frames": one.frames,
        "frame_fs": one.timestep,
        "range_ps": list(one.range_ps),
    }
    for finding in one.findings:
        figures = finding.figures | {"rows": [list(row) for row in table_rows(finding.rows)]}
        found.setdefault(finding.kind, {})[finding.of] = figures
    return found


def _mean(rows: Sequence[Row]) -> Row:
    values = np.array([row.value for row in rows if np.isfinite(row.value)])
    note = f"mean of {len(values)}"
    if len(values) < 2:
        only = float(values[0]) if len(values) else float("nan")
        return replace(rows[0], value=only, error=float("nan"), note=note)
    mean = over_blocks(values)
    return replace(rows[0], value=float(mean.value), error=float(mean.error), note=note)


def _head(one: Analysed) -> str:
    first, last = one.range_ps
    return (
        f"{one.name}: {one.atoms} atoms, {one.frames:,} frames {one.timestep:g} fs apart, "
        f"{first:.4g} to {last:.4g} ps"
    )


def _lines(rows: Sequence[Row]) -> list[str]:
    cells = table_rows(rows)
    widths = [max(len(cell[column]) for cell in cells) for column in (0, 1)]
    return [f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in cells]


def _findings(source: Source, study: Study) -> Iterator[Finding]:
    yield from (of_bonds(source, bond, study) for bond in study.bonds)
    yield from (of_diffusion(source, species, study) for species in study.msd)
    yield from (of_jumps(source, *pair, study) for pair in study.jumps)
    yield from (of_pairs(source, *pair, study) for pair in study.rdf)
    yield from (of_angles(source, angle) for angle in study.adf)
    yield from (of_vibrations(source, species, study) for species in study.vdos)

"""One self-contained HTML page about a run: no script, no request, printable."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from bnnflow.analysis import option_sections, sections
from bnnflow.analysis.canvas import styled, to_svg
from bnnflow.analysis.motion.results import ANALYSIS_FILE
from bnnflow.analysis.motion.sections import motion_sections
from bnnflow.analysis.run import Run, load
from bnnflow.analysis.status import of_run, status_rows
from bnnflow.analysis.validation import VALIDATION_FILE, validation_rows
from bnnflow.codec import publish
from bnnflow.uncertainty import LOCK_IN_REMEDIES

REPORT_FILE = "report.html"

FIGURES: tuple[Callable[[Run], sections.Section | None], ...] = (
    sections.labels,
    sections.errors,
    option_sections.audits,
    sections.sigma,
    option_sections.forces,
    sections.energy,
    sections.torsion,
    sections.timing,
    sections.calibration,
    sections.updates,
)
"""The figures every report has, in order."""


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder and return its path.

    Includes the figures of `validation.json` and `analysis.json` when they are there. The page
    replaces an older one in one step. Raises RunFolderError when the folder holds no run.
    """
    run = load(folder)
    page = folder / REPORT_FILE
    temporary = folder / f".{REPORT_FILE}.tmp"
    temporary.write_text(
        render(run, _kept(folder / VALIDATION_FILE), _kept(folder / ANALYSIS_FILE)),
        encoding="utf-8",
    )
    publish(temporary, page)
    return page


def render(
    run: Run,
    validation: Mapping[str, Any] | None = None,
    analysis: Mapping[str, Any] | None = None,
) -> str:
    """The page as text. validation, analysis: what their JSON files hold, None for none."""
    environment = Environment(loader=PackageLoader("bnnflow.analysis"), autoescape=True)
    with styled():
        drawn = [section for draw in FIGURES if (section := draw(run)) is not None]
        drawn += [] if analysis is None else motion_sections(analysis)
        checked = None if validation is None else sections.validation(run, validation)
        return environment.get_template("report.html.jinja").render(
            run=run,
            settings=_settings(run),
            figures=of_run(run),
            rows=status_rows(of_run(run)),
            remedies=LOCK_IN_REMEDIES,
            sections=[embedded(section) for section in drawn],
            validation=validation,
            validation_rows=[] if validation is None else validation_rows(validation),
            validation_section=None if checked is None else embedded(checked),
            failures=_failures(run),
            versions=run.data.metadata.get("versions", {}),
        )


def _settings(run: Run) -> list[tuple[str, str]]:
    """The settings that say what was run; the rest is in config.yaml."""
    config, dynamics = run.config, run.config.dynamics
    corners = dynamics.corners
    heat = " → ".join(f"{kelvin:g} K" for _, kelvin in corners)
    first_ps = dynamics.equilibration_ps
    equilibration = "" if first_ps is None else f", the first {first_ps:g} ps langevin"
    options = ", ".join(f"{key} {value}" for key, value in config.reference.options.items())
    return [
        ("material", f"{config.material.name}, {run.n_atoms} atoms, charge "
                     f"{config.material.charge}, multiplicity {config.material.multiplicity}"),
        ("reference", f"{config.reference.engine} ({options})" if options else
                      config.reference.engine),
        ("foundation model", f"{config.potential.model}, prior std {config.potential.prior_std}"),
        ("threshold K", f"{of_run(run)['threshold_kcal_per_mol']:.3g} kcal/mol of the cell, "
                        f"confidence {config.threshold.confidence:.0%}"),
        ("dynamics", f"{dynamics.kind}, {heat}, {dynamics.timestep_fs:g} fs steps, "
                     f"{dynamics.length_ps:g} ps{equilibration}"),
        ("sampler", f"{config.schedule().name}, {config.sampler.chains} chains × "
                    f"{config.sampler.cost()}"),
        ("labelled steps", f"continue on the {config.run.continue_on}"),
        ("seed, site", f"{config.run.seed}, {config.run.site}"),
        ("started", str(run.data.metadata.get("created", "unknown"))),
    ]  # fmt: skip


def _failures(run: Run) -> list[dict[str, str]]:
    table = run.data.failures
    names = ("task", "cause", "message", "action", "directory")
    rows = zip(*(getattr(table, name) for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def embedded(section: sections.Section) -> dict[str, Any]:
    """A section as the templates take it."""
    svg = "" if section.figure is None else to_svg(section.figure, name=section.key)
    return {
        "key": section.key,
        "title": section.title,
        "caption": section.caption,
        "svg": Markup(svg),  # made by matplotlib from numbers and our own words
    }


def _kept(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found

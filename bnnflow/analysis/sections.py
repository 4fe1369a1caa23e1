"""What the report's figures show: each takes a run and gives a titled figure with its caption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bnnflow.analysis import conformers, figures
from bnnflow.analysis.run import Run
from bnnflow.records import Calibration, FloatArray
from bnnflow.uncertainty import energy_calibration, largest_trusted_std, predictive_std
from bnnflow.units import to_kcal_per_mol

NO_MD = "No MD step yet."


@dataclass(frozen=True, eq=False)
class Section:
    """A figure of the report; caption: one line that says what to see in it.

    figure: None while there is nothing to draw yet.
    """

    key: str
    title: str
    caption: str
    figure: Figure | None = None


def labels(run: Run) -> Section:
    """Number of labels against MD time."""
    if not run.data.labels.name:
        return Section("labels", "Labels over time", "No label yet.")
    times = run.data.labels.time_fs / 1000.0
    half, initial = int(np.count_nonzero(times > run.time_ps / 2)), int(run.initial.sum())
    before = f"; {initial} more are initial data, labelled before MD began" if initial else ""
    return Section(
        "labels",
        "Labels over time",
        f"Labels in {run.time_ps:.3g} ps: {len(times) - initial}, {half} of them in the second "
        f"half: a curve that flattens shows an ensemble that has learnt{before}.",
        figures.labels_over_time(times, run.time_ps),
    )


def errors(run: Run) -> Section:
    """Error against sigma* at interventions, with the K band."""
    asked, table = run.interventions, run.data.labels
    if not asked.any():
        return Section("errors", "Error against σ* at labels", "No frame was uncertain yet.")
    error = kcal(table.error[asked])
    above = int(np.count_nonzero(np.abs(error) > to_kcal_per_mol(run.threshold)))
    return Section(
        "errors",
        "Error against σ* at labels",
        f"{above} of {len(error)} labels asked for lie outside the band |error| < K = "
        f"{to_kcal_per_mol(run.threshold):.3g} kcal/mol; the rule allows "
        f"{1.0 - run.config.threshold.confidence:.0%}.",
        figures.error_against_sigma(
            kcal(table.energy_std[asked]), error, to_kcal_per_mol(run.threshold)
        ),
    )


def energy(run: Run) -> Section:
    """Potential energy and temperature over time."""
    table = run.data.trajectory
    if not len(table.steps):
        return Section("energy", "Energy and temperature", NO_MD)
    corners = np.array(run.config.dynamics.corners)
    target = np.interp(table.time_fs, corners[:, 0], corners[:, 1])
    shown = np.zeros(0) if run.config.dynamics.kind == "verlet" else target
    return Section(
        "energy",
        "Energy and temperature",
        f"The mean temperature is {np.mean(table.temperature):.0f} K; jumps in the energy come "
        "with labelled frames and updates.",
        figures.energy_and_temperature(
            table.time_fs / 1000.0, kcal(table.energy), table.temperature, shown
        ),
    )


def sigma(run: Run) -> Section:
    """Predicted sigma* against the limit over time."""
    table = run.data.trajectory
    if not len(table.steps):
        return Section("sigma", "σ* against its limit", NO_MD)
    share, asked = np.mean(table.energy_std <= table.limit), run.interventions
    return Section(
        "sigma",
        "σ* against its limit",
        f"σ* (blue) is under the limit (red) in {share:.1%} of all steps; where it is not "
        "(circles), a label is asked for.",
        figures.sigma_and_limit(
            table.time_fs / 1000.0,
            kcal(table.energy_std),
            kcal(table.limit),
            run.data.labels.time_fs[asked] / 1000.0,
            kcal(run.data.labels.energy_std[asked]),
            to_kcal_per_mol(run.floor),
        ),
    )


def torsion(run: Run) -> Section | None:
    """Conformer angle with labels marked; None for atoms without a telling torsion."""
    atoms = run.start.to_atoms()
    quartet = conformers.torsion(atoms)
    if quartet is None:
        return None
    table = run.data.trajectory
    if not len(table.steps):
        return Section("torsion", "Conformer and labels", NO_MD)
    angle = conformers.dihedral_series(table.positions, quartet)
    inside = conformers.in_transition(conformers.transitions(angle), len(angle))
    asked = run.interventions
    found = conformers.enrichment(inside, run.frame_of(run.data.labels.step[asked]))
    return Section(
        "torsion",
        "Conformer and labels",
        _enrichment_text(found),
        figures.torsion_over_time(
            table.time_fs / 1000.0,
            angle,
            inside,
            run.data.labels.time_fs[asked] / 1000.0,
            "-".join(atoms.symbols[atom] for atom in quartet),
        ),
    )


def timing(run: Run) -> Section:
    """Where the wall time went."""
    seconds = run.seconds()
    total = sum(seconds.values())
    most = max(seconds, key=lambda kind: seconds[kind])
    if not total:
        return Section("timing", "Time split", "No time recorded yet.")
    caption = f"{total:,.0f} s in all, most of it in {most}."
    return Section("timing", "Time split", caption, figures.time_split(seconds))


def calibration(run: Run) -> Section:
    """Calibration after each label; the first frame does not enter it."""
    if not run.data.labels.name:
        return Section("calibration", "Calibration history", "No label yet.")
    states = calibration_history(run)
    counts, sums = (
        np.array([getattr(state, name) for state in states]) for name in ("count", "sum_squares")
    )
    confidence = run.config.threshold.confidence
    limits = [
        largest_trusted_std(state, threshold=run.threshold, confidence=confidence)
        for state in states
    ]
    now = float(predictive_std(run.calibration, std=1.0))
    return Section(
        "calibration",
        "Calibration history",
        f"Errors are now taken to be {now:.2f} times σ*; above 1, the ensemble alone is too sure.",
        figures.calibration_history(
            np.where(counts > 0, sums / np.where(counts > 0, counts, 1), np.nan),
            np.array([float(predictive_std(state, std=1.0)) for state in states]),
            kcal(np.array(limits)),
        ),
    )


def calibration_history(run: Run) -> list[Calibration]:
    """The calibration that energies were judged by after each label."""
    table, start = run.data.labels, run.config.calibration.record()

    def after(count: float, sum_squares: float) -> Calibration:
        return replace(start, count=float(count), sum_squares=float(sum_squares))

    def audit(count: float, sum_squares: float) -> Calibration | None:
        return after(count, sum_squares) if np.isfinite(count) else None

    requested = map(after, table.calibration_count, table.calibration_sum_squares)
    audits = map(audit, table.audit_count, table.audit_sum_squares)
    use = run.config.calibration.use
    return [energy_calibration(*pair, use) for pair in zip(requested, audits, strict=True)]


def updates(run: Run) -> Section:
    """What the chains report of themselves after each update."""
    table = run.data.updates
    if not len(table.version):
        return Section("updates", "Update diagnostics", "No update yet.")
    return Section(
        "updates",
        "Update diagnostics",
        "One point per chain, their mean as a line; dotted: the kinetic temperature of a "
        "stationary chain. Acceptance is of HMC; a chain near zero was not corrected.",
        figures.update_diagnostics(
            table.version.tolist(),
            table.kinetic_temperature,
            kcal(table.energy_rmse),
            kcal(table.force_rmse),
            run.config.sampler.stationary_temperature,
            table.acceptance,
        ),
    )


def validation(run: Run, figures_of: Mapping[str, Any]) -> Section:
    """Errors on random unlabelled frames. figures_of: what validation.json holds."""
    frames = figures_of["per_frame"]
    shared = np.asarray(frames["reference_eV"])
    tuned, foundation = (
        kcal(np.asarray(frames[name]) - shared) for name in ("fine_tuned_eV", "foundation_eV")
    )
    return Section(
        "validation",
        "Errors on random unlabelled frames",
        "The fine-tuned ensemble should lie inside the band where the foundation model does not; "
        "|error| should rise with σ*.",
        figures.validation_errors(
            np.asarray(frames["time_fs"]) / 1000.0,
            tuned,
            foundation,
            kcal(np.asarray(frames["energy_std_eV"])),
            to_kcal_per_mol(run.threshold),
        ),
    )


def _enrichment_text(found: conformers.Enrichment) -> str:
    if not found.labels or not found.time_share > 0.0:
        return "No transition between conformers, or no label, to compare yet."
    return (
        f"{found.label_share:.0%} of the labels ({found.labels_inside} of {found.labels}) lie "
        f"inside transitions, which take {found.time_share:.1%} of the time "
        f"(p = {found.p_value:.2g}, one-sided binomial)."
    )


def kcal(values: FloatArray) -> FloatArray:
    """Energies in eV as kcal/mol."""
    return np.asarray(to_kcal_per_mol(1.0) * np.asarray(values, dtype=np.float64))

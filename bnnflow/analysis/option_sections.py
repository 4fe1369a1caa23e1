"""Figures of the report for a run with audits or a force criterion; None for one without."""

from __future__ import annotations

import numpy as np

from bnnflow.analysis import figures
from bnnflow.analysis.metrics import share_above
from bnnflow.analysis.run import Run
from bnnflow.analysis.sections import NO_MD, Section, kcal
from bnnflow.records import Reason
from bnnflow.units import to_kcal_per_mol


def audits(run: Run) -> Section | None:
    """Error against sigma* of audit labels; None for a run without them."""
    if run.data.state.estimates.audit is None:
        return None
    chosen, table, title = run.audits, run.data.labels, "Error against σ* at audits"
    if not chosen.any():
        return Section("audits", title, "No audit yet.")
    share, limit = share_above(table.error[chosen], run.threshold), to_kcal_per_mol(run.threshold)
    return Section(
        "audits",
        title,
        f"{share.count} of {share.total} trusted frames, chosen by the clock, lie outside the band "
        f"|error| < K = {limit:.3g} kcal/mol: {share.low:.1%} to {share.high:.1%} of all trusted "
        "frames (95% interval). Unlike labels asked for, they are no biased sample.",
        figures.error_against_sigma(
            kcal(table.energy_std[chosen]), kcal(table.error[chosen]), limit
        ),
    )


def forces(run: Run) -> Section | None:
    """Force std over its limit, over time; None for a run without a force criterion."""
    if not run.config.threshold.limits_forces:
        return None
    title, table = "Force std against its limit", run.data.trajectory
    if not len(table.steps):
        return Section("forces", title, NO_MD)
    asked = np.array(run.data.labels.reason, dtype=str) == Reason.UNCERTAIN_FORCES.value
    return Section(
        "forces",
        title,
        "The largest predicted std of an atom's force error over what is trusted; above 1 a label "
        f"is asked for, which happened {np.count_nonzero(asked)} times for forces alone.",
        figures.force_ratio(
            table.time_fs / 1000.0, table.force_ratio, run.data.labels.time_fs[asked] / 1000.0
        ),
    )

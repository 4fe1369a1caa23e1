"""The summary as aligned text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from heldout_study.bootstrap import Change
from heldout_study.summary import Record, Updates, figure, rows, updates

COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("F RMSE", "force_rmse", 2),
    ("E RMSE", "energy_rmse", 2),
    ("E centred", "energy_rmse_centred", 2),
    ("F loglik", "force_log_likelihood", 2),
    ("E loglik", "energy_log_likelihood", 2),
    ("F AUC", "force_auc", 2),
    ("E AUC", "energy_auc", 2),
    ("F in 50%", "force_coverage_50", 2),
    ("68%", "force_coverage_68", 2),
    ("90%", "force_coverage_90", 2),
    ("95%", "force_coverage_95", 2),
    ("E in 50%", "energy_coverage_50", 2),
    ("68%", "energy_coverage_68", 2),
    ("90%", "energy_coverage_90", 2),
    ("95%", "energy_coverage_95", 2),
    ("F spread/err", "force_spread_over_error", 2),
    ("E spread/err", "energy_spread_over_error", 2),
)
"""Head, figure, decimals. Energies in kcal/mol, forces in kcal/mol/Å, log densities per unit."""


def table(records: Sequence[Record]) -> str:
    """One line per number of labels and method, then the changes over updates."""
    lines = [["N", "method", "seeds", *(head for head, _, _ in COLUMNS)]]
    for (method, n), found in rows(records).items():
        cells = [_cell(*figure(found, name), decimals) for _, name, decimals in COLUMNS]
        lines.append([str(n), method, str(len(found)), *cells])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    text = ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([*text, *(_sentence(m, u) for m, u in updates(records).items())])


def _cell(mean: float, error: float, decimals: int) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:.{decimals}f}" + ("" if math.isnan(error) else f"±{error:.{decimals}f}")


def _sentence(method: str, found: Updates) -> str:
    return (
        f"{method}: change of force RMSE over {found.count} updates {_interval(found.pooled)} "
        f"kcal/mol/Å, over those with one new label {_interval(found.single)}; "
        f"{found.worse} significantly worse; not below the foundation model: {found.beaten}"
    )


def _interval(change: Change | None) -> str:
    if change is None:
        return "-"
    return f"{change.value:+.4f} ({change.low:+.4f} to {change.high:+.4f})"

"""Findings about jumps: their rate, the distances before them, and the labels round them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from scipy import stats

from bnnflow.analysis.motion.averages import average
from bnnflow.analysis.motion.finding import PS, Finding, Row, figure, text
from bnnflow.analysis.motion.jumps import Hopping, Jump, jump_events
from bnnflow.analysis.motion.label_rate import LabelRate, label_rate_around
from bnnflow.analysis.motion.pre_jump import NAMES, PreJump, pre_jump_distances
from bnnflow.analysis.motion.sources import Source
from bnnflow.analysis.motion.study import Study


def of_jumps(source: Source, mobile: str, host: str, study: Study) -> Finding:
    """Jumps, distances before them, and the rate of labels round them."""
    motion = source.motion
    hopping = jump_events(
        motion, mobile, host, dwell_fs=study.dwell_fs, margin=study.margin, bound=study.bound
    )
    before = pre_jump_distances(motion, hopping, window_fs=study.window_fs)
    figures = _jump_figures(hopping, study) | {"before": _before_figures(before, study.blocks)}
    rows = [_rate_row(f"{mobile}:{host}", figures), *_before_rows(f"{mobile}:{host}", figures)]
    if source.labels is not None:
        times = [jump.time for jump in hopping.jumps]
        rate = label_rate_around(times, source.labels, source.times, window_fs=study.window_fs)
        figures["labels"] = asdict(rate) | {"window_fs": study.window_fs}
        rows.append(_label_row(f"{mobile}:{host}", rate, study.window_fs))
    return Finding("jumps", f"{mobile}:{host}", figures, tuple(rows))


def _jump_figures(hopping: Hopping, study: Study) -> dict[str, Any]:
    count, watched = len(hopping.jumps), hopping.atom_time / PS
    low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    high = stats.chi2.ppf(0.975, 2 * count + 2) / 2
    return {
        "count": count,
        "atoms": len(hopping.mobile),
        "atom_time_ps": watched,
        "rate_per_ps": {"value": count / watched, "low": low / watched, "high": high / watched},
        "dwell_fs": study.dwell_fs,
        "margin_A": study.margin,
        "bound_A": study.bound,
        "events": [_event(jump) for jump in hopping.jumps],
    }


def _event(jump: Jump) -> dict[str, Any]:
    ends = {"from": jump.origin, "to": jump.target}
    return {"time_fs": jump.time, "atom": jump.atom, **ends}


def _before_figures(found: PreJump, blocks: int) -> dict[str, Any]:
    always = average(found.always.mean(axis=1), blocks)
    counts, edges = np.histogram(found.always[:, :, 0], 60, density=True)
    return {
        "window_fs": found.window,
        "before_A": {NAMES[i]: figure(found.mean_before, i) for i in range(3)},
        "always_A": {NAMES[i]: figure(always, i) for i in range(3)},
        "share_of_time_below": dict(zip(NAMES, found.quantile.tolist(), strict=True)),
        "each_A": found.before.tolist(),
        "histogram": {"edges_A": edges.tolist(), "density_per_A": counts.tolist()},
    }


def _rate_row(name: str, figures: dict[str, Any]) -> Row:
    rate = figures["rate_per_ps"]
    note = (
        f"{figures['count']} jumps in {figures['atom_time_ps']:.4g} ps of an atom, "
        f"95% interval {rate['low']:.3g} to {rate['high']:.3g}"
    )
    return Row(f"{name} jump rate", rate["value"], unit="per ps", note=note)


def _before_rows(name: str, figures: dict[str, Any]) -> list[Row]:
    found = figures["before"]
    return [
        Row(f"{name} {which} before", **found["before_A"][which], unit="Å",
            note=f"at all times {text(**found['always_A'][which])}; below it "
            f"{found['share_of_time_below'][which]:.1%} of the time")
        for which in NAMES
        if found["each_A"]
    ]  # fmt: skip


def _label_row(name: str, rate: LabelRate, window_fs: float) -> Row:
    note = (
        f"{rate.labels_inside} of {rate.labels} labels in windows of {window_fs:g} fs that take "
        f"{rate.time_share:.1%} of the time; 95% interval {rate.low:.2f} to {rate.high:.2f}; "
        f"p = {rate.p_exact:.2g} exact, {rate.p_shifted:.2g} shifted"
    )
    if not rate.p_exact >= 0.0:
        note = f"{rate.events} jumps and {rate.labels} labels: nothing to compare yet"
    return Row(f"{name} label rate round / off", rate.ratio, note=note)

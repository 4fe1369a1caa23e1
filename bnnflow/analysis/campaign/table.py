"""Many runs as text: totals, pools, then one line per run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bnnflow.analysis.campaign.costs import POOLS, Usage
from bnnflow.analysis.campaign.rows import STATES, RunRow
from bnnflow.analysis.campaign.watcher import CampaignStatus

HEAD = (
    "run",
    "state",
    "MD (ps)",
    "labels",
    "per ps (all)",
    "above K",
    "σ*/limit",
    "error/σ*",
    "md s",
    "label s",
    "update s",
    "queued s",
    "failed",
)
_SHORT = 16
POOL_HEAD = ("pool", "workers", "tasks in it", "empty", "full", "so far", "to go")


def campaign_table(status: CampaignStatus, *, height: int | None = None) -> str:
    """Totals, pools and runs as aligned lines.

    height: lines that there is room for (None: all runs are shown); those that ask for a look come
    first then, and the rest is counted.
    """
    totals = [f"{name:<8}{text}" for name, text in total_rows(status)]
    above = [*totals, "", *columns([POOL_HEAD, *pool_rows(status)]), ""]
    rows = list(status.rows)
    if height is None:
        return "\n".join([*above, *_run_lines(rows)])
    rows.sort(key=lambda row: STATES.index(row.state))
    room = max(1, height - len(above) - 2)
    shown, hidden = rows[:room], rows[room:]
    return "\n".join([*above, *_run_lines(shown), *([_hidden(hidden)] if hidden else [])])


def total_rows(status: CampaignStatus) -> list[tuple[str, str]]:
    """What all runs come to: name and value of each matter."""
    counts = ", ".join(f"{many} {state}" for state, many in status.counts.items()) or "none"
    time_ps = sum(row.md_time_ps for row in status.rows)
    labels, wall = sum(row.labels for row in status.rows), hours(status.clock.total)
    return [
        ("runs", f"{len(status.rows)}: {counts}"),
        ("so far", f"{time_ps:.3f} ps of MD, {labels} labels, driven for {wall}"),
        ("to go", to_go_text(status)),
    ]


def to_go_text(status: CampaignStatus) -> str:
    """What is expected until all runs are done, in words."""
    missing = status.not_estimated
    unknown = f"; {missing} run{'s' * (missing != 1)} without any rate to go by" if missing else ""
    if status.least_wall_s is None:
        return "not known yet" + unknown if missing else "nothing"
    labels = sum(each.labels for each in status.remaining)
    return (
        f"about {labels:.0f} labels, at least {hours(status.least_wall_s)} at the rates so far"
        + unknown
    )


def pool_rows(status: CampaignStatus) -> list[tuple[str, ...]]:
    """One row per pool, as in POOL_HEAD."""
    return [_pool_row(status, pool) for pool in POOLS]


def run_cells(row: RunRow) -> tuple[str, ...]:
    """One row of the table of runs, as in HEAD."""
    length = "?" if row.md_length_ps is None else f"{row.md_length_ps:g}"
    spent = [f"{(row.seconds or {}).get(k, 0.0):,.0f}" for k in ("md", "label", "update", "queued")]
    return (
        row.name,
        state_text(row),
        f"{row.md_time_ps:.3f}/{length}",
        str(row.labels),
        f"{_number(row.last_labels_per_ps)} ({_number(row.labels_per_ps)})",
        f"{row.above}/{row.asked}",
        _number(row.energy_std_over_limit),
        _number(row.widening),
        *spent,
        str(row.failures),
    )


def state_text(row: RunRow) -> str:
    """The state in a few words; with what a running one waits for, or a short reason."""
    more = row.next if row.state == "running" else row.reason
    return f"{row.state}: {more}" if 0 < len(more) <= _SHORT else row.state


def note(row: RunRow) -> str:
    """What the state's words do not say: a longer reason, else the last failure."""
    if len(row.reason) > _SHORT:
        return row.reason
    return f"last: {row.last_failure}" if row.last_failure else ""


def hours(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 7200.0 else f"{seconds / 3600.0:,.1f} h"


def usage_text(used: Usage) -> str:
    """Hours of cores, and of devices where there are any."""
    text = f"{used.core_hours:,.3g} core h"
    devices = f", {used.accelerator_hours:,.3g} GPU h" if used.accelerator_hours else ""
    return text + devices


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as aligned lines; all but the first two columns to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(map(_aligned, range(len(row)), row, widths)).rstrip() for row in rows]


def _aligned(number: int, cell: str, width: int) -> str:
    return f"{cell:<{width}}" if number < 2 else f"{cell:>{width}}"


def _run_lines(rows: Sequence[RunRow]) -> list[str]:
    lines = columns([HEAD, *(run_cells(row) for row in rows)])
    return [lines[0], *(_noted(line, row) for line, row in zip(lines[1:], rows, strict=True))]


def _noted(line: str, row: RunRow) -> str:
    return f"{line}  {note(row)}" if note(row) else line


def _hidden(rows: Sequence[RunRow]) -> str:
    counts = Counter(row.state for row in rows)
    return f"and {len(rows)} more: " + ", ".join(f"{n} {state}" for state, n in counts.items())


def _pool_row(status: CampaignStatus, pool: str) -> tuple[str, ...]:
    full, workers = status.occupancies[pool], status.workers[pool]
    return (
        pool,
        str(workers) if workers else "?",
        f"{full.mean:.2f}",
        f"{1.0 - full.share(1):.0%}" if full.total else "-",
        f"{full.share(workers):.0%}" if full.total and workers else "-",
        usage_text(status.used[pool]),
        usage_text(status.needed[pool]),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"

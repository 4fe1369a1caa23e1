"""One self-contained HTML page about many runs, with links to their own reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from bnnflow.analysis.campaign import table, timeline
from bnnflow.analysis.campaign.rows import STATES, RunRow
from bnnflow.analysis.campaign.watcher import CampaignStatus, Watcher
from bnnflow.analysis.canvas import styled
from bnnflow.analysis.report import REPORT_FILE, embedded
from bnnflow.analysis.sections import Section
from bnnflow.codec import publish

MOST_ROWS = 30
"""Runs whose spans are drawn: those that were busy longest."""


def write_campaign_report(folder: Path) -> Path:
    """Write `report.html` into a campaign's folder and return its path; works while it runs.

    The page replaces an older one in one step. Raises RunFolderError when there is no run in it.
    """
    status = Watcher([folder]).look()
    page = folder / REPORT_FILE
    temporary = folder / f".{REPORT_FILE}.tmp"
    temporary.write_text(render(folder, status), encoding="utf-8")
    publish(temporary, page)
    return page


def render(folder: Path, status: CampaignStatus) -> str:
    """The page as text."""
    environment = Environment(loader=PackageLoader("bnnflow.analysis"), autoescape=True)
    with styled():
        drawn = [embedded(section) for section in _sections(status)]
    rows = sorted(status.rows, key=lambda row: STATES.index(row.state))
    return environment.get_template("campaign.html.jinja").render(
        name=folder.resolve().name,
        totals=table.total_rows(status),
        pool_head=table.POOL_HEAD,
        pools=table.pool_rows(status),
        sections=drawn,
        head=table.HEAD,
        rows=[_cells(folder, row) for row in rows],
        folder=folder,
        now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _sections(status: CampaignStatus) -> list[Section]:
    if not status.seen or not status.clock.total:
        nothing = "Nothing was driven yet."
        return [Section("pools", "Pools over time", nothing)]
    pauses = len(status.clock.pauses)
    cut = f" Dotted: where a pause without any run was cut out ({pauses})." if pauses else ""
    busiest = sorted(status.seen, key=lambda seen: -_busy(seen.row))[:MOST_ROWS]
    busiest.sort(key=lambda seen: float(min(seen.spans.start, default=0.0)))
    names = [seen.row.name for seen in busiest]
    return [
        Section(
            "pools",
            "Pools over time",
            "Tasks in each pool, those that wait for a worker there included; dashed: its workers."
            + cut,
            timeline.pools_over_time(status.spans, status.clock, status.workers),
        ),
        Section(
            "runs",
            "Runs over time",
            f"What each run waited for: {_which(len(names), len(status.seen))}. Queued: for room "
            "in a pool that others filled.",
            timeline.runs_over_time(names, [seen.spans for seen in busiest], status.clock),
        ),
    ]


def _which(shown: int, all_runs: int) -> str:
    return "all runs" if shown == all_runs else f"the {shown} of {all_runs} that were busy longest"


def _busy(row: RunRow) -> float:
    return sum(spent for kind, spent in (row.seconds or {}).items() if kind != "idle")


def _cells(folder: Path, row: RunRow) -> dict[str, Any]:
    cells: Sequence[str] = table.run_cells(row)
    page = Path(row.folder) / REPORT_FILE
    there = row.folder and page.is_file()
    link = os.path.relpath(page, folder) if there else ""
    return {
        "link": link,
        "name": cells[0],
        "cells": cells[1:],
        "note": table.note(row),
        "state": row.state,
    }

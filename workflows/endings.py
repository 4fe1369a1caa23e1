"""How commands that drive runs end: reports, tables, and the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workflows.console import AGAIN, DONE, INTERNAL, say, show
from workflows.deadline import Deadline

if TYPE_CHECKING:
    from workflows.campaign import CampaignSummary


def finish(folders: list[Path], as_json: bool, deadline: Deadline) -> int:
    """Write each run's report, unless time is up, and say how the runs ended."""
    from bnnflow.analysis.report import write_report
    from bnnflow.analysis.status import status as run_status
    from bnnflow.analysis.status import status_table

    reports = [] if deadline.missed else [write_report(folder) for folder in folders]
    figures = [run_status(folder) for folder in folders]
    rows = [status_table(each) for each in figures]
    if reports:
        rows = [f"{row}\nreport: {page}" for row, page in zip(rows, reports, strict=True)]
    show({"runs": figures, "reports": reports}, lambda: "\n".join(rows), as_json)
    return _time_is_up(folders) if deadline.missed else DONE


def campaign_ended(ended: CampaignSummary, as_json: bool, deadline: Deadline) -> int:
    """Write each run's report, as far as it can be, and say which runs are done."""
    late = deadline.missed and ended.unfinished
    reports = [] if late else _reports(ended.run_folders)
    show(ended.as_dict() | {"reports": reports}, ended.table, as_json)
    if late:
        return _time_is_up([ended.folder])
    if ended.unfinished:
        return say(f"{ended.unfinished} runs of {ended.folder} are not done", INTERNAL)
    return DONE


def _reports(folders: list[Path]) -> list[Path]:
    from bnnflow.analysis.report import write_report
    from bnnflow.errors import BnnflowError

    pages = []
    for folder in folders:
        try:
            pages.append(write_report(folder))
        except BnnflowError as error:
            say(f"no report of {folder}: {error}", INTERNAL)
    return pages


def _time_is_up(folders: list[Path]) -> int:
    names = " ".join(map(str, folders))
    return say(f"time is up with work left; `bnnflow resume {names}` goes on", AGAIN)

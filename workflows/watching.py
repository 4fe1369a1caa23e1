"""`bnnflow status` and `bnnflow report` of runs and campaigns; `--watch` draws until Ctrl-C."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bnnflow.analysis.campaign import Watcher, write_campaign_report
from bnnflow.analysis.campaign.folders import find_runs, holds_runs
from bnnflow.analysis.campaign.table import campaign_table
from bnnflow.analysis.report import write_report
from bnnflow.analysis.status import status, status_table
from bnnflow.data import is_run
from workflows.console import print_json

Table = Callable[[int | None], str]
"""Makes the text of a screen of so many lines; None: of any."""

HOME, TO_LINE_END, TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"
"""Escape sequences: the cursor to the top left; clear what is right of it; clear what is below."""


def status_of(folders: Sequence[Path]) -> tuple[Mapping[str, Any], Callable[[], str]]:
    """Figures, and what makes their table: of one run in full, else one line per run.

    Raises RunFolderError when a folder holds neither a run nor a campaign.
    """
    figures, table = _looker(folders)()
    return figures, lambda: table(None)


def watch_runs(folders: Sequence[Path], *, as_json: bool, every_s: float) -> None:
    """The same again and again until Ctrl-C; runs are read anew only when they have changed.

    as_json: one JSON object a line instead of a screen.
    """
    look = _looker(folders)

    def show() -> None:
        figures, table = look()
        if as_json:
            print_json(figures)
        else:
            _draw(table)

    with suppress(KeyboardInterrupt):
        while True:
            show()
            sys.stdout.flush()
            time.sleep(every_s)
    if sys.stdout.isatty():
        print()  # the shell's own line comes below the last screen


def write_reports(folders: Sequence[Path], *, runs: bool) -> Iterator[Path]:
    """Write the page of each run and campaign, and say where it is.

    runs: also those of a campaign's runs, before its own, which links to them.
    """
    for folder in folders:
        places = find_runs([folder])
        if holds_runs(folder):
            yield from (write_report(p.folder) for p in places if runs and is_run(p.folder))
            yield write_campaign_report(folder)
        else:
            yield write_report(folder)


def _looker(folders: Sequence[Path]) -> Callable[[], tuple[Mapping[str, Any], Table]]:
    """What looks at the folders, as often as it is called."""
    if len(folders) == 1 and not holds_runs(folders[0]):
        return lambda: _one_run(folders[0])
    watcher = Watcher(folders)

    def look() -> tuple[Mapping[str, Any], Table]:
        found = watcher.look()
        return found.as_dict(), lambda height: campaign_table(found, height=height)

    return look


def _one_run(folder: Path) -> tuple[Mapping[str, Any], Table]:
    find_runs([folder])  # says what is wrong with a folder that holds none
    figures = status(folder)
    return figures, lambda _height: status_table(figures)


def _draw(table: Table) -> None:
    """A screen over the one before, without a flash; elsewhere tables follow one another."""
    if not sys.stdout.isatty():
        print(table(None), end="\n\n")
        return
    size = shutil.get_terminal_size()
    sys.stdout.write(_over(table(size.lines - 1), size.columns))


def _over(text: str, width: int) -> str:
    """A screen in the place of the one before; longer lines are cut, or they would wrap."""
    lines = [f"{line[:width]}{TO_LINE_END}" for line in text.splitlines()]
    return HOME + "\n".join(lines) + TO_SCREEN_END

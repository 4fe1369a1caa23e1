"""The report: whole, self-contained and readable at every stage of a run."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bnnflow.analysis import canvas, figures
from bnnflow.analysis.report import write_report

VOID = {"meta", "br", "link", "img", "hr", "input"}
KEYS = ["labels", "errors", "sigma", "energy", "torsion", "timing", "calibration", "updates"]


class Page(HTMLParser):
    """Collects ids, references and captions, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found[key] or "" for key in ("href", "src", "xlink:href") if key in found]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(told: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the run of 5 labels, written once."""
    return write_report(Path(shutil.copytree(told, tmp_path_factory.mktemp("page") / "run")))


def test_report_of_a_run_has_every_section_with_a_figure(page: Path) -> None:
    text, found = page.read_text(encoding="utf-8"), read(page)
    assert not found.open
    assert [key for key in found.ids if key in KEYS] == KEYS
    assert text.count("<svg") == len(KEYS) == text.count("<figcaption>")
    assert "1 of 4 = 25.0%" in found.words
    assert "1 of 4 labels asked for lie outside the band" in found.words


def test_report_asks_for_nothing_outside_the_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert all(link.startswith(("#", "data:")) for link in read(page).links)
    assert "<script" not in text and "@import" not in text
    assert not re.findall(r"url\((?!#)", text)


def test_ids_are_unique_and_links_lead_somewhere(page: Path) -> None:
    found = read(page)
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)


def test_messages_of_failures_are_escaped(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<b>not</b>" not in text and "&lt;b&gt;not&lt;/b&gt;" in text


def test_report_is_the_same_when_written_again(page: Path) -> None:
    first = page.read_bytes()
    assert write_report(page.parent).read_bytes() == first
    assert not list(page.parent.glob(".*.tmp"))


@pytest.mark.parametrize(("labels", "stretch"), [(0, 0), (1, 1)])
def test_report_of_a_run_that_has_hardly_begun(make_run, labels: int, stretch: int) -> None:
    page = read(write_report(make_run(labels=labels, stretch=stretch)))
    assert not page.open
    assert [key for key in page.ids if key in KEYS] == KEYS
    assert "nan" not in page.words
    if not labels:
        assert "No label yet." in page.words and "No MD step yet." in page.words


def test_thin_keeps_order_ends_and_extremes() -> None:
    x = np.arange(50_000.0)
    y = np.sin(x / 700.0)
    y[31_234], y[4] = 9.0, np.nan
    kept_x, kept_y = canvas.thin(x, y)
    assert len(kept_x) <= canvas.MOST_POINTS + 2
    assert np.all(np.diff(kept_x) > 0) and (kept_x[0], kept_x[-1]) == (0.0, 49_999.0)
    assert 9.0 in kept_y and np.nanmin(kept_y) == np.nanmin(y)


def test_axes_state_their_units() -> None:
    one = np.ones(1)
    drawn = [
        figures.labels_over_time(one, 1.0),
        figures.error_against_sigma(one, one, 1.0),
        figures.sigma_and_limit(one, one, one, one, one, 0.1),
        figures.energy_and_temperature(one, one, one, one),
        figures.torsion_over_time(one, one, np.ones(1, dtype=bool), one, "H-O-C-C"),
        figures.validation_errors(one, one, one, one, 1.0),
        figures.time_split({"md": 1.0}),
    ]
    known = ("ps)", "kcal/mol)", "K)", "degrees)", "s)", "labels")
    for figure in drawn:
        bottom = figure.axes[-1]
        assert bottom.get_xlabel().endswith(known)
        names = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
        assert all(name.endswith(known) for name in names)

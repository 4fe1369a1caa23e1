"""The page of a campaign: whole and self-contained at every stage."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from made_runs import made, session, spent

from bnnflow.analysis.campaign import Watcher, write_campaign_report
from bnnflow.analysis.campaign.report import MOST_ROWS
from bnnflow.analysis.campaign.timeline import runs_over_time

VOID = {"meta", "br", "link", "img", "hr", "input"}
SPANS = (spent("label", 0.0, 10.0), spent("update", 10.0, 20.0), spent("md", 30.0, 4.0))


class Page(HTMLParser):
    """Collects ids, references and words, and checks that tags are closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [] if tag in VOID else [tag]
        self.ids += [value or "" for key, value in attrs if key == "id"]
        self.links += [value or "" for key, value in attrs if key in ("href", "src", "xlink:href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open += [tag] if tag in VOID else []
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def page_of(folder: Path) -> Page:
    return Page(write_campaign_report(folder))


def test_a_page_with_table_time_line_and_links(tmp_path: Path) -> None:
    made(tmp_path / "runs" / "one", 2, SPANS)
    made(tmp_path / "runs" / "two", 1, (*SPANS, spent("md", 9000.0, 4.0)), sessions=[session()])
    (tmp_path / "runs" / "one" / "report.html").touch()
    page = page_of(tmp_path)
    assert not page.open and len(page.ids) == len(set(page.ids))
    assert page.text.count("<svg") == 2
    assert [link for link in page.links if link[0] != "#"] == ["runs/one/report.html"]
    assert "a pause without any run was cut out (1)" in page.words and "all runs" in page.words
    assert "<script" not in page.text and not re.findall(r"url\((?!#)", page.text)


def test_a_page_before_anything_was_driven(tmp_path: Path) -> None:
    made(tmp_path / "runs" / "new")
    page = page_of(tmp_path)
    assert "Nothing was driven yet." in page.words and "<svg" not in page.text


def test_words_of_failures_are_no_markup(tmp_path: Path) -> None:
    folder = made(tmp_path / "runs" / "one", 1, SPANS)
    message = "the SCF did <b>not</b> converge"
    line = json.dumps({"event": "stopped", "message": message})
    (folder / "log.jsonl").write_text(line + "\n", encoding="utf-8")
    page = page_of(tmp_path)
    assert message in page.words and "<b>" not in page.text


def test_of_many_runs_the_busiest_are_drawn(tmp_path: Path) -> None:
    for number in range(MOST_ROWS + 2):
        spans = (spent("label", 0.0, 10.0 + number),)
        made(tmp_path / "runs" / f"run-{number:02d}", 1, spans)
    page = page_of(tmp_path)
    assert f"the {MOST_ROWS} of {MOST_ROWS + 2} that were busy longest" in page.words


def test_bars_stand_where_the_spans_are(tmp_path: Path) -> None:
    status = Watcher([made(tmp_path / "run", 1, SPANS)]).look()
    figure = runs_over_time(["run"], [status.seen[0].spans], status.clock)
    boxes = {patch.get_label(): patch.get_path().vertices for patch in figure.axes[0].patches}
    assert boxes["update"][:, 0].min() == 10.0 and boxes["update"][:, 0].max() == 30.0
    assert boxes["md"][:, 0].tolist() == [30.0, 34.0, 34.0, 30.0, 30.0]
    assert len(boxes["queued"]) == 0

"""The table of docs/reference-codes.md: which test shows what of which electronic-structure code.

`python tests/reference/conformance_table.py --write` renews it; without the option it is printed.
Nothing in it is typed: pytest collects the tests marked `proves(*properties, code=...)`, the code
being a mark's own or the test's parameter `code`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference-codes.md"
BEGIN, END = "<!-- conformance table: begin -->", "<!-- conformance table: end -->"

PROPERTIES = (
    "energy",
    "forces",
    "stress",
    "charge",
    "spin",
    "mesh",
    "two ranks",
    "restart",
    "not converged",
    "remedies",
    "wrong input",
    "missing core",
    "crash",
    "time limit",
    "killed worker",
)

Table = dict[tuple[str, str], list[str]]


class Collector:
    """A plugin that notes code, property and test of every marked test."""

    def __init__(self) -> None:
        self.found: Table = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            test = item.nodeid.split("[")[0]
            for mark in item.iter_markers("proves"):
                for name in mark.args:
                    tests = self.found.setdefault((_code(item, mark), name), [])
                    tests += [] if test in tests else [test]


def _code(item: pytest.Item, mark: pytest.Mark) -> str:
    named = mark.kwargs.get("code")
    return str(named or item.callspec.params["code"])  # type: ignore[attr-defined]


def collect() -> Table:
    """Every proof, by code and property.

    Raises RuntimeError when tests cannot be collected or prove something that is no column.
    """
    collector, printed = Collector(), io.StringIO()
    arguments = ["--collect-only", "-q", "-m", "", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    with contextlib.redirect_stdout(printed):
        ended = pytest.main([*arguments, str(ROOT / "tests" / "reference")], plugins=[collector])
    if ended != pytest.ExitCode.OK:
        raise RuntimeError(f"the tests cannot be collected:\n{printed.getvalue()}")
    unknown = {name for _, name in collector.found} - set(PROPERTIES)
    if unknown:
        raise RuntimeError(f"no column for {', '.join(sorted(unknown))}: add it to PROPERTIES")
    return collector.found


def table(found: Table) -> str:
    """Codes against properties, each cell the numbers of its tests, and the tests by number."""
    tests = list(dict.fromkeys(test for proofs in found.values() for test in proofs))
    number = {test: index for index, test in enumerate(sorted(tests), start=1)}
    codes = list(dict.fromkeys(code for code, _ in found))
    rows = [["code", *PROPERTIES], ["---"] * (1 + len(PROPERTIES))]
    for code in sorted(codes):
        cells = [
            sorted(number[test] for test in found.get((code, name), [])) for name in PROPERTIES
        ]
        rows.append([code, *(" ".join(map(str, cell)) or "–" for cell in cells)])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    names = [f"{index}. `{test}`" for test, index in sorted(number.items(), key=lambda one: one[1])]
    return "\n".join([*lines, "", *names])


def renewed(page: str, text: str) -> str:
    """The page with the table between its two comments replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"renew {PAGE.relative_to(ROOT)}")
    write = parser.parse_args().write
    text = table(collect())
    if write:
        PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    else:
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()

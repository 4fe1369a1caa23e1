"""The table of docs/reference-codes.md is what the tests are."""

from __future__ import annotations

import subprocess
import sys

from conformance_table import PAGE, ROOT, renewed, table


def test_the_page_holds_the_table_of_the_tests_that_are() -> None:
    command = [sys.executable, str(ROOT / "tests" / "reference" / "conformance_table.py")]
    printed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert printed.returncode == 0, printed.stderr
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page, printed.stdout.rstrip("\n")) == page, (
        "the table is old: python tests/reference/conformance_table.py --write"
    )


def test_a_table() -> None:
    found = {("b", "energy"): ["t::two", "t::one"], ("a", "stress"): ["t::two"]}
    lines = table(found).splitlines()
    assert lines[2].startswith("| a | – | – | 2 |")
    assert lines[3].startswith("| b | 1 2 | – | – |")
    assert lines[-2:] == ["1. `t::one`", "2. `t::two`"]

"""The shipped site files as a table: what each rests on, and what its user has to give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from bnnflow.config.yaml_values import parse_yaml
from executors.schema.blanks import blanks
from executors.site import shipped_folder

_HEAD = """## Shipped sites

Each rests on the public pages in its row, and says beside each address what was taken from it; none
was run at its centre by those who wrote it. What is left to you is an environment variable, or the
key that names it in a file of your own with `extends`.

| Site | What it is | Scheduler | Verified against | Left to you |
|---|---|---|---|---|
"""


def shipped_table() -> str:
    """One row per shipped site file."""
    return _HEAD + "".join(_row(name, values) for name, values in sorted(shipped_files().items()))


def shipped_files() -> dict[str, dict[str, Any]]:
    """Keys of every shipped site file, as the file has them."""
    return {
        path.stem: parse_yaml(path.read_text(encoding="utf-8"), path.name)
        for path in shipped_folder().glob("*.yaml")
    }


def _row(name: str, values: Mapping[str, Any]) -> str:
    kinds = sorted({pool["provider"]["kind"] for pool in values["pools"].values()})
    pages = ", ".join(_link(address) for address in values.get("source", ()))
    left = ", ".join(f"`{text}`" for text in dict.fromkeys(blanks(values).values()))
    unverified = "nothing: a template" if values.get("unverified") else "this machine"
    cells = [f"`{name}`", values["description"], ", ".join(kinds), pages or unverified]
    return f"| {' | '.join([*cells, left or 'nothing'])} |\n"


def _link(address: str) -> str:
    """The page by its site and the end of its path: a repository by its name."""
    parts = urlsplit(address)
    path = [part for part in parts.path.split("/") if part]
    where = "/".join(path[:2]) if parts.netloc == "github.com" else parts.netloc
    return f"[{where}: {path[-1]}]({address})" if path else f"[{where}]({address})"

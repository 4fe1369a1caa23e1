"""Every config key as a page: `python -m bnnflow.config.page > docs/config.md`.

With `campaign` after it: the tables of docs/campaigns.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bnnflow.config.base import Section
from bnnflow.config.campaign import SETTINGS, CampaignConfig, Conditions, MaterialEntry
from bnnflow.config.run import RunConfig

HEAD = """# Config keys

Made by `python -m bnnflow.config.page`. A key that is not here is refused, with the nearest known
one. Units are in the names. `section.key=value` on the command line overrides the file.
"""

ALONE = "Set as `compat: rensmeyer2026` in the file or `compat=rensmeyer2026` on the command line."


def page() -> str:
    """The whole page: one table per section, then the keys that stand in none."""
    fields = RunConfig.model_fields
    alone = {name: field for name, field in fields.items() if not _is_section(field.annotation)}
    tables = [
        table(name, _about(field.annotation), getattr(field.annotation, "model_fields", {}))
        for name, field in fields.items()
        if name not in alone
    ]
    return "\n".join([HEAD, *tables, table("Outside the sections", ALONE, alone)])


def campaign_tables() -> str:
    """The keys of a campaign file, without the sections that are those of a run."""
    groups: dict[str, type[Section]] = {
        "Campaign": CampaignConfig,
        "materials": MaterialEntry,
        "conditions": Conditions,
    }
    return "\n".join(
        table(title, _about(group), _own_keys(group.model_fields))
        for title, group in groups.items()
    )


def _own_keys(fields: Mapping[str, FieldInfo]) -> dict[str, FieldInfo]:
    return {key: field for key, field in fields.items() if key not in SETTINGS}


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _about(section: Any) -> str:
    return str(section.__doc__ or "").splitlines()[0]


def table(title: str, about: str, fields: Mapping[str, FieldInfo]) -> str:
    """One section of a page of keys: a heading, a line about it, a row per key."""
    rows = [f"| `{key}` | {_default(each)} | {_meaning(each)} |" for key, each in fields.items()]
    head = ["| Key | Default | Meaning |", "|---|---|---|"]
    return "\n".join([f"## {title}", "", about, "", *head, *rows, ""])


def _meaning(field: FieldInfo) -> str:
    return (field.description or "").replace("|", r"\|")


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "empty"
    if field.default is PydanticUndefined:
        return "see meaning, or required"
    return f"`{field.default}`" if field.default not in ("", None) else "none"


if __name__ == "__main__":
    print(campaign_tables() if "campaign" in sys.argv[1:] else page(), end="")

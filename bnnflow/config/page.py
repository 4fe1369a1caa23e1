"""Every config key as a page: `python -m bnnflow.config.page > docs/config.md`."""

from __future__ import annotations

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bnnflow.config.run import RunConfig

HEAD = """# Config keys

Made by `python -m bnnflow.config.page`. A key that is not here is refused, with the nearest known
one. Units are in the names. `section.key=value` on the command line overrides the file.
"""


def page() -> str:
    """The whole page, one table per section."""
    tables = [_table(name, field) for name, field in RunConfig.model_fields.items()]
    return "\n".join([HEAD, *tables])


def _table(name: str, field: FieldInfo) -> str:
    section = field.annotation
    fields: dict[str, FieldInfo] = getattr(section, "model_fields", {})
    about = (getattr(section, "__doc__", "") or "").splitlines()[0]
    rows = [f"| `{key}` | {_default(each)} | {_meaning(each)} |" for key, each in fields.items()]
    head = ["| Key | Default | Meaning |", "|---|---|---|"]
    return "\n".join([f"## {name}", "", about, "", *head, *rows, ""])


def _meaning(field: FieldInfo) -> str:
    return (field.description or "").replace("|", r"\|")


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "empty"
    if field.default is PydanticUndefined:
        return "see meaning, or required"
    return f"`{field.default}`" if field.default not in ("", None) else "none"


if __name__ == "__main__":
    print(page(), end="")

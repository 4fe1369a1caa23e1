"""What every section of the config has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and numbers that are not finite."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )


def without_nulls(values: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A section without those of these keys that are not set."""
    return {key: each for key, each in values.items() if key not in keys or each is not None}

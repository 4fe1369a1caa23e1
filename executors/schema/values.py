"""Values that several keys of a site file share."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

VARIABLE = re.compile(r"\$(\w+)")
"""A value that an environment variable gives."""

_WALLTIME = re.compile(r"\d{1,3}:[0-5]\d:[0-5]\d")


def _walltime(value: Any) -> str:
    if not isinstance(value, str) or not _WALLTIME.fullmatch(value):
        raise ValueError(f"is {value!r}, expected hours:minutes:seconds such as 24:00:00")
    return value


def _from_environment(value: str) -> str:
    """The variable's value where the file says $NAME, if it is set; else $NAME, to be refused."""
    variable = VARIABLE.fullmatch(value)
    return os.environ.get(variable[1], value) if variable else value


FromEnvironment = Annotated[str, AfterValidator(_from_environment)]
"""A string, or $NAME for what that environment variable holds when the file is loaded."""

Walltime = Annotated[str, BeforeValidator(_walltime)]
"""HH:MM:SS, as every scheduler takes it."""


def seconds(walltime: str) -> int:
    """A Walltime in seconds."""
    hours, minutes, rest = (int(part) for part in walltime.split(":"))
    return 3600 * hours + 60 * minutes + rest


def as_walltime(total_s: int) -> str:
    """Seconds as HH:MM:SS."""
    return f"{total_s // 3600:02d}:{total_s // 60 % 60:02d}:{total_s % 60:02d}"

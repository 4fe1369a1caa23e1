"""What queries of databases elsewhere share: how many structures they may give, their failures."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from bnnflow.errors import ConfigError, StructureError

DEFAULT_LIMIT: int = 20
"""Most structures of a query for which no limit was set: more are a mistake sooner than a wish."""

_LONGEST = 300
_REASON = re.compile(r"\[Errno -?\d+\] ([\w ]+)|(Read timed out)|Failed to resolve '([^']+)'")


def wanted(limit: int | None) -> int:
    """How many to ask for: one more than are taken by default tells whether there are more."""
    return DEFAULT_LIMIT + 1 if limit is None else limit


def taken(items: Sequence[Any], limit: int | None, query: str) -> Sequence[Any]:
    """The first `limit` items; raises StructureError for none, and for too many without a limit."""
    if not items:
        raise StructureError(f"{query} finds nothing: change the query")
    if limit is None and len(items) > DEFAULT_LIMIT:
        raise StructureError(
            f"{query} finds more than {DEFAULT_LIMIT} structures: narrow it, or set limit to how "
            "many of the first are taken"
        )
    return items if limit is None else items[:limit]


def lacking(library: str, error: Exception) -> NoReturn:
    """Raise ConfigError for a client library that is not installed."""
    raise ConfigError(
        f"this source needs the package {library}, which is not installed: "
        'pip install "bnnflow[queries]"'
    ) from error


def failed(query: str, reason: object) -> StructureError:
    """The one line of a query that gave no answer."""
    words = " ".join(str(reason).split()) or type(reason).__name__
    words = re.sub(r"\?[^\s:]*", "", words)  # what was asked stands in `query` already
    inner = _REASON.search(words)
    if inner:
        words = inner[0].rpartition("] ")[2]
    short = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."
    return StructureError(f"{query} failed ({short}): check the query, the address and the network")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what a client says on stderr, which comes again as an error's one line."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

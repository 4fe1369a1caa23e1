"""Structures from databases that speak OPTIMADE, through the client of optimade-python-tools."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bnnflow.errors import StructureError
from bnnflow.sources.found import Found, Treatment, Unusable, found, safe_name
from bnnflow.sources.query import failed, lacking, quiet, taken, wanted

FIELDS = (
    "cartesian_site_positions",
    "chemical_formula_anonymous",
    "chemical_formula_descriptive",
    "chemical_formula_reduced",
    "dimension_types",
    "elements",
    "elements_ratios",
    "immutable_id",
    "last_modified",
    "lattice_vectors",
    "nelements",
    "nperiodic_dimensions",
    "nsites",
    "species",
    "species_at_sites",
    "structure_features",
)
"""Properties that make a structure [OPTIMADE 1.2, 7.2]; not all servers send them unasked."""

TIMEOUT_S = 60.0
MOST_REFUSALS = 5
"""Times that a server may ask to wait before the query has failed."""


def from_optimade(
    filter_: str, providers: Sequence[str], treatment: Treatment, *, limit: int | None = None
) -> tuple[Found, ...]:
    """The structures that a filter finds, database by database, in their order.

    filter_: in OPTIMADE's language, `elements HAS ALL "Si","O" AND nsites<20`; providers: base
    URLs; limit: how many at most of each database (None: refuse more than `query.DEFAULT_LIMIT`).
    A structure is named by its formula and id.

    Raises StructureError when nothing is found or a database does not answer, ConfigError when the
    client library is missing.
    """
    answers = _ask(filter_, providers, wanted(limit))
    return tuple(
        _named(entry, base, treatment)
        for base, answer in answers.items()
        for entry in taken(_entries(answer, filter_, base), limit, _words(filter_, base))
    )


def _ask(filter_: str, providers: Sequence[str], limit: int) -> Mapping[str, Any]:
    try:
        from optimade.client import OptimadeClient
    except ImportError as error:
        lacking("optimade[http-client]", error)
    client = OptimadeClient(
        base_urls=list(providers),
        max_results_per_provider=limit,
        http_timeout=TIMEOUT_S,
        use_async=False,
        http_client=_session(),
        silent=True,
    )
    try:
        with quiet(), _tracebacks_kept():
            answers = client.get(filter_, endpoint="structures", response_fields=list(FIELDS))
    except Exception as error:  # the client raises RuntimeError for filters it cannot parse
        raise failed(_words(filter_, ", ".join(providers)), error) from error
    return dict(answers["structures"][filter_])


@contextmanager
def _tracebacks_kept() -> Iterator[None]:
    """The client switches the program's tracebacks off when it raises, and leaves them so."""
    limit, hook = getattr(sys, "tracebacklimit", None), sys.excepthook
    try:
        yield
    finally:
        sys.excepthook = hook
        if limit is not None:
            sys.tracebacklimit = limit
        elif hasattr(sys, "tracebacklimit"):
            del sys.tracebacklimit


def _session() -> type:
    """The client's HTTP session, with an end: it would repeat a refused request for ever."""
    import requests

    class Session(requests.Session):
        refusals = 0

        def get(self, url: str | bytes, **options: Any) -> requests.Response:
            response = super().get(url, **options)
            self.refusals += response.status_code == requests.codes.too_many_requests
            if self.refusals > MOST_REFUSALS:
                raise RuntimeError("the server had too many requests")
            return response

    return Session


def _entries(answer: Mapping[str, Any], filter_: str, base: str) -> list[Any]:
    if answer["errors"]:
        raise failed(_words(filter_, base), answer["errors"][0])
    return list(answer["data"])


def _words(filter_: str, base: str) -> str:
    return f"OPTIMADE filter {filter_} at {base}"


def _named(entry: Mapping[str, Any], base: str, treatment: Treatment) -> Found:
    from optimade.adapters import Structure

    attributes = entry.get("attributes") or {}
    name = safe_name(f"{attributes.get('chemical_formula_reduced') or ''}-{entry.get('id')}")
    origin = f"{entry.get('id')} of {base}"
    try:
        with quiet():
            atoms = Structure(dict(entry)).convert("ase")
        if atoms is None:
            raise StructureError("it has no sites")
    except Exception as error:  # pydantic's, the adapter's, or ASE's, by what is wrong with it
        reason = " ".join(str(error).split())[:200]
        return Unusable(name, origin, f"it is no structure of whole atoms ({reason})")
    atoms.info = {}
    return found(atoms, name, origin, treatment)

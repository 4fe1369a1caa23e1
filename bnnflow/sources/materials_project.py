"""Structures from the Materials Project, through its own client, mp-api."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from bnnflow.errors import ConfigError, StructureError
from bnnflow.sources.found import Found, Treatment, Unusable, found, safe_name
from bnnflow.sources.query import failed, lacking, quiet, taken, wanted

OWN = frozenset(
    {"self", "fields", "all_fields", "num_chunks", "chunk_size", "_page", "_sort_fields", "kwargs"}
)
"""Arguments of the client's search that are set here."""


def from_materials_project(
    query: Mapping[str, Any],
    treatment: Treatment,
    *,
    limit: int | None = None,
    endpoint: str | None = None,
) -> tuple[Found, ...]:
    """The materials that a query finds, by id.

    query: arguments of the client's summary search, {chemsys: Li-O, energy_above_hull: [0, 0.05]};
    limit: how many at most (None: refuse more than `query.DEFAULT_LIMIT`); endpoint: address of the
    service (None: the client's own). The key is read from MP_API_KEY. A material is named by its
    formula and id.

    Raises StructureError when nothing is found or the service does not answer, ConfigError when
    the client library or the key is missing, or the query has an unknown key.
    """
    words = "query of the Materials Project " + ", ".join(f"{k}={v}" for k, v in query.items())
    documents = _ask(query, words, wanted(limit), endpoint)
    return tuple(_named(each, treatment) for each in taken(documents, limit, words))


def _ask(query: Mapping[str, Any], words: str, limit: int, endpoint: str | None) -> list[Any]:
    try:
        from mp_api.client import MPRester
        from mp_api.client.routes.materials.summary import SummaryRester
    except ImportError as error:
        lacking("mp-api", error)
    _check_keys(query, set(inspect.signature(SummaryRester.search).parameters) - OWN)
    try:
        with quiet(), _rester(MPRester, endpoint) as rester:
            return list(
                rester.materials.summary.search(
                    **query,
                    fields=["material_id", "formula_pretty", "structure"],
                    all_fields=False,
                    num_chunks=1,
                    chunk_size=limit,
                    _sort_fields="material_id",
                )
            )
    except (ConfigError, StructureError):
        raise
    except Exception as error:  # the client's, requests', or what its parsing ran into
        raise failed(words, error) from error


def _rester(client: Any, endpoint: str | None) -> Any:
    rester = client(endpoint=endpoint, mute_progress_bars=True, use_document_model=False)
    if not rester.api_key:
        raise ConfigError(
            "the Materials Project needs a key: put yours into the environment variable MP_API_KEY"
        )
    return rester


def _check_keys(query: Mapping[str, Any], known: set[str]) -> None:
    if not query:
        raise ConfigError("materials_project holds no keys, expected a query: {chemsys: Li-O}")
    for key in query:
        if key in known:
            continue
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(known))}"
        raise ConfigError(f"materials_project.{key} is not a key of its search: {hint}")


def _named(document: Mapping[str, Any], treatment: Treatment) -> Found:
    from pymatgen.core import Structure
    from pymatgen.io.ase import AseAtomsAdaptor

    identity = str(document["material_id"])
    name = safe_name(f"{document['formula_pretty']}-{identity}")
    origin = f"{identity} of the Materials Project"
    try:
        given = document["structure"]
        structure = given if isinstance(given, Structure) else Structure.from_dict(given)
        atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    except Exception as error:  # pymatgen's, for mixed sites and what it cannot read
        return Unusable(name, origin, f"it is no structure of whole atoms ({error})")
    atoms.info = {}
    return found(atoms, name, origin, treatment)

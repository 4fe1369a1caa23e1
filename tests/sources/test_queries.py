"""OPTIMADE and the Materials Project through their own clients, against recorded responses."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from loopback import response, serving

from bnnflow.errors import ConfigError, StructureError
from bnnflow.sources import (
    NamedStructure,
    Treatment,
    Unusable,
    from_materials_project,
    from_optimade,
)
from bnnflow.sources.query import DEFAULT_LIMIT, taken

FILTER = 'elements HAS "Cl"'
AS_GIVEN = Treatment()


def one_line(call, error=StructureError):
    with pytest.raises(error) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def optimade():
    """Address of a database of two pages; every path and query that it was asked."""
    pytest.importorskip("optimade.client", reason="needs the extra `queries`")
    asked: list[tuple[str, dict]] = []

    def answer(path, query, headers):
        asked.append((path, query))
        if "page_offset" in query:
            return 200, response("optimade-page-2")
        page = response("optimade-page-1")
        page["links"]["next"] = f"{address}/v1/structures?page_offset=2"
        return 200, page

    with serving(answer) as address:
        yield address, asked


@pytest.fixture
def project(monkeypatch):
    """Address of a Materials Project; every path, query and key that it was asked."""
    pytest.importorskip("mp_api.client", reason="needs the extra `queries`")
    monkeypatch.setenv("MP_API_KEY", "k" * 32)
    asked: list[tuple[str, dict, str]] = []

    def answer(path, query, headers):
        if path.endswith("heartbeat"):
            return 200, response("materials-project-heartbeat")
        asked.append((path, query, headers["x-api-key"]))
        return 200, response("materials-project-summary")

    with serving(answer) as address:
        yield f"{address}/", asked


def test_optimade_gives_the_structures_of_all_pages(optimade):
    address, asked = optimade
    first, mixed, last = from_optimade(FILTER, [address], Treatment(charge=0, multiplicity=3))
    assert [first.name, mixed.name, last.name] == ["ClNa-b-1", "AuCu-b-2", "ClLi-b-3"]
    assert first.origin == f"b-1 of {address}"
    assert isinstance(first, NamedStructure) and first.structure.multiplicity == 3
    assert first.structure.numbers.tolist() == [11, 17]
    assert first.structure.positions[1, 0] == 2.012345678901234
    assert np.array_equal(first.structure.cell, 4.2 * np.eye(3)) and first.structure.pbc.all()
    assert isinstance(mixed, Unusable) and "no structure of whole atoms" in mixed.reason
    assert asked[0][0] == "/v1/structures" and asked[0][1]["filter"] == [FILTER]
    assert "cartesian_site_positions" in asked[0][1]["response_fields"][0]


def test_optimade_stops_at_the_limit(optimade):
    address, asked = optimade
    assert len(from_optimade(FILTER, [address], AS_GIVEN, limit=1)) == 1
    assert len(asked) == 1


def test_optimade_says_in_one_line_what_is_wrong(optimade, capsys):
    hook = sys.excepthook
    address, _ = optimade
    refused = one_line(lambda: from_optimade("elements HSA", [address], AS_GIVEN))
    assert "elements HSA" in refused
    with serving(lambda *_: (400, response("optimade-error"))) as other:
        error = one_line(lambda: from_optimade(FILTER, [other], AS_GIVEN))
    assert "property nsitez is not known" in error and FILTER in error
    gone = one_line(lambda: from_optimade(FILTER, [other], AS_GIVEN))
    assert f"at {other} failed (Connection refused)" in gone
    assert capsys.readouterr().err == ""
    assert getattr(sys, "tracebacklimit", None) is None and sys.excepthook is hook


def test_optimade_does_not_wait_for_ever_for_a_busy_server(optimade, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with serving(lambda *_: (429, {})) as busy:
        assert "too many requests" in one_line(lambda: from_optimade(FILTER, [busy], AS_GIVEN))


def test_the_materials_project_gives_structures_by_id(project):
    address, asked = project
    query = {"chemsys": "Na-Cl", "energy_above_hull": [0, 0.1]}
    salt, mixed = from_materials_project(query, AS_GIVEN, endpoint=address)
    assert [salt.name, mixed.name] == ["NaCl-mp-11", "AuCu-mp-12"]
    assert salt.origin == "mp-11 of the Materials Project"
    assert salt.structure.numbers.tolist() == [11, 17]
    assert np.array_equal(salt.structure.positions[1], [2.1, 2.1, 2.1])
    assert (salt.structure.charge, salt.structure.multiplicity) == (0, 1)
    assert isinstance(mixed, Unusable)
    path, sent, key = asked[0]
    assert path == "/materials/summary/" and key == "k" * 32
    assert sent["chemsys"] == ["Na-Cl"] and sent["energy_above_hull_max"] == ["0.1"]
    assert sent["_limit"] == [str(DEFAULT_LIMIT + 1)]


def test_the_materials_project_says_in_one_line_what_is_wrong(project, monkeypatch):
    address, _ = project

    def ask(query, endpoint=address):
        return lambda: from_materials_project(query, AS_GIVEN, endpoint=endpoint)

    assert "did you mean chemsys?" in one_line(ask({"chemsy": "Li"}), ConfigError)
    assert "holds no keys" in one_line(ask({}), ConfigError)
    assert "Connection refused" in one_line(ask({"chemsys": "Li"}, "http://127.0.0.1:9/"))
    monkeypatch.delenv("MP_API_KEY")
    monkeypatch.setattr("pymatgen.core.SETTINGS", {})
    assert "MP_API_KEY" in one_line(ask({"chemsys": "Li"}), ConfigError)


def test_a_missing_client_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optimade.client", None)
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    for call in (
        lambda: from_optimade(FILTER, ["http://127.0.0.1:9"], AS_GIVEN),
        lambda: from_materials_project({"chemsys": "Li"}, AS_GIVEN),
    ):
        assert 'pip install "bnnflow[queries]"' in one_line(call, ConfigError)


def test_more_than_expected_is_refused_unless_a_limit_is_set():
    many = list(range(DEFAULT_LIMIT + 1))
    assert "set limit" in one_line(lambda: taken(many, None, "query"))
    assert taken(many, 3, "query") == [0, 1, 2]
    assert taken(many[1:], None, "query") == many[1:]
    assert "finds nothing" in one_line(lambda: taken([], 3, "query"))

"""`bnnflow site check`: sizes, probes, and one line where something is wrong."""

import json

import pytest

from bnnflow.errors import ConfigError
from executors import check
from executors.base import Pool
from executors.check import check_site, site_table
from executors.probe import probe


def test_sizes_are_numbers():
    figures = check_site("local")
    json.dumps(figures)
    assert "probes" not in figures
    assert all(pool["workers_per_node"] >= 1 for pool in figures["site"]["pools"].values())
    table = site_table(figures)
    assert [line.split()[0] for line in table.splitlines()[2:]] == ["gpu", "dft", "md"]
    assert "chains per task auto" in table


def test_probes_report_what_each_pool_runs(pools, monkeypatch, tmp_path):
    class Started:
        """The session's pools, which this check must not close."""

        def __init__(self, site, folder):
            pass

        def __enter__(self):
            return pools

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(check, "ParslExecutor", Started)
    figures = check_site("local", run=True, folder=tmp_path)
    assert figures["problems"] == []
    assert list(tmp_path.iterdir()) == []
    assert set(figures["probes"]) == {"gpu", "dft", "md"}
    here = probe(check.PACKAGES)
    for found in figures["probes"].values():
        assert (found["python"], found["packages"]) == (here.python, here.packages)
        assert found["process"] != here.process
        assert found["shared_folder"] is True
        assert abs(found["clock_offset_s"]) <= found["round_trip_s"]  # the same clock
    assert "gpu  answers from " in site_table(figures)


def test_other_versions_are_refused():
    import dataclasses

    other = dataclasses.replace(probe(check.PACKAGES), packages=dict.fromkeys(check.PACKAGES, "0"))
    with pytest.raises(ConfigError, match="pool md has bnnflow 0, expected"):
        check._check_versions(Pool.MD, other)

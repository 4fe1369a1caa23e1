"""The three packages come from one place, or the program does not start."""

import pytest

from bnnflow.errors import ConfigError
from executors.provenance import check_one_place


def test_this_project_comes_from_one_place():
    assert (check_one_place() / "executors" / "provenance.py").is_file()


def test_a_package_from_elsewhere_is_refused(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="different places") as caught:
        check_one_place(("bnnflow", "elsewhere"))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named():
    with pytest.raises(ConfigError, match="no_such_package was not found"):
        check_one_place(("bnnflow", "no_such_package"))

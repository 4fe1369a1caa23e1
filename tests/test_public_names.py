"""Every name that bnnflow and its rooms promise is there, and says what it is."""

import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import bnnflow

ROOMS = sorted(
    f"bnnflow.{item.name}" for item in pkgutil.iter_modules(bnnflow.__path__) if item.ispkg
)


def has_docstring(value: object) -> bool:
    """A docstring written by hand: a dataclass without one is given its signature."""
    text = value.__doc__ or ""
    return bool(text.strip()) and not text.startswith(f"{getattr(value, '__name__', '')}(")


@pytest.mark.parametrize("name", bnnflow.__all__)
def test_public_name_resolves_and_is_documented(name):
    value = getattr(bnnflow, name)
    assert name in dir(bnnflow)
    assert isinstance(value, str) or has_docstring(value)


@pytest.mark.parametrize("room", ["executors", *ROOMS])
def test_names_of_a_room_resolve_and_are_documented(room):
    module = import_module(room)
    assert has_docstring(module)
    names = getattr(module, "__all__", [])
    assert len(names) == len(set(names))
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert has_docstring(value), f"{room}.{name}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_offers(room):
    assert import_module(room).__all__


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = bnnflow.no_such_name


def test_importing_bnnflow_loads_nothing_heavy():
    code = "import sys, bnnflow; print([m for m in ('torch', 'numpy', 'ase') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"

"""Records to HDF5 and back, and files that appear whole or not at all.

A record becomes a group: arrays are datasets, numbers, strings and JSON-able values attributes,
records groups of their own; a field that is None is absent. The class of each record is written
beside it, so that a reader needs only the file. A field that is absent is read as its default: that
is how files written before the field existed are read. So an optional field's default is None.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from bnnflow import records
from bnnflow.errors import RunFolderError

Record = TypeVar("Record")

_KIND = "record"
_LONGEST_ATTRIBUTE = 32768
"""Characters; HDF5 allows an attribute 64 kB. A longer text becomes a dataset."""


def write_record(group: h5py.Group, record: Any) -> None:
    """Write a frozen record of `bnnflow.records` into an empty group."""
    group.attrs[_KIND] = type(record).__name__
    for item in fields(record):
        _write_value(group, item.name, getattr(record, item.name))


def read_record(group: h5py.Group, kind: type[Record]) -> Record:
    """Read the record of class `kind` that `write_record` wrote.

    Raises RunFolderError when the group holds something else.
    """
    name = str(group.attrs.get(_KIND, "nothing"))
    if name != kind.__name__:
        place = f"{group.file.filename}:{group.name}"
        raise RunFolderError(f"{place} holds {name}, expected {kind.__name__}")
    present = {item.name for item in fields(kind)} & (set(group) | set(group.attrs))  # type: ignore[arg-type]
    values = {item.name: _absent(item) for item in fields(kind)}  # type: ignore[arg-type]
    return kind(**(values | {name: _read_value(group, name) for name in present}))


def _absent(item: Field[Any]) -> Any:
    """What a field means that is not in the file."""
    if "None" in str(item.type):
        return None
    if item.default_factory is not MISSING:
        return item.default_factory()
    return None if item.default is MISSING else item.default


def read_field(group: h5py.Group, name: str) -> Any:
    """One field of a record that `write_record` wrote, None when it is absent."""
    return _read_value(group, name) if name in group.attrs or name in group else None


def save_record(path: Path, record: Any) -> None:
    """Write one record as a file that appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with h5py.File(temporary, "w") as file:
        write_record(file, record)
    publish(temporary, path)


def load_record(path: Path, kind: type[Record]) -> Record:
    """Read a file that `save_record` wrote."""
    with h5py.File(path, "r") as file:
        return read_record(file, kind)


def same_record(one: Any, other: Any) -> bool:
    """Whether two records of one class hold the same values, arrays included, bit for bit."""
    pairs = [(getattr(one, item.name), getattr(other, item.name)) for item in fields(one)]
    return all(_same(left, right) for left, right in pairs)


def _same(left: Any, right: Any) -> bool:
    if is_dataclass(left) and type(left) is type(right):
        return same_record(left, right)
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return np.array_equal(left, right)
    return bool(left == right)


def publish(temporary: Path, path: Path) -> None:
    """Flush a finished temporary file to disk and give it its name in one step."""
    _flush(temporary)
    os.replace(temporary, path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_value(group: h5py.Group, name: str, value: Any) -> None:
    if value is None:
        return
    if is_dataclass(value):
        write_record(group.create_group(name), value)
    elif isinstance(value, np.ndarray):
        group.create_dataset(name, data=value)
    elif isinstance(value, StrEnum):
        group.attrs[name] = f"enum:{type(value).__name__}:{value.value}"
    elif isinstance(value, (bool, int, float)):
        group.attrs[name] = value
    elif isinstance(value, tuple) and value and is_dataclass(value[0]):
        _write_tuple(group.create_group(name), value)
    else:
        _write_text(group, name, "json:" + json.dumps(value, default=_plain))


def _write_text(group: h5py.Group, name: str, text: str) -> None:
    if len(text) > _LONGEST_ATTRIBUTE:
        group.create_dataset(name, data=text)
    else:
        group.attrs[name] = text


def _write_tuple(group: h5py.Group, values: tuple[Any, ...]) -> None:
    for index, value in enumerate(values):
        write_record(group.create_group(f"{index:06d}"), value)


def _read_value(group: h5py.Group, name: str) -> Any:
    if name in group.attrs:
        return _read_attribute(group.attrs[name])
    item = group[name]
    if isinstance(item, h5py.Dataset):
        value = item[()]
        return _read_attribute(value.decode()) if isinstance(value, bytes) else value
    if _KIND in item.attrs:
        return _read_any(item)
    return tuple(_read_any(item[key]) for key in sorted(item))


def _read_any(group: h5py.Group) -> Any:
    return read_record(group, getattr(records, str(group.attrs[_KIND])))


def _read_attribute(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("enum:"):
        _, kind, member = value.split(":", 2)
        return getattr(records, kind)(member)
    if isinstance(value, str) and value.startswith("json:"):
        return _tuples(json.loads(value.removeprefix("json:"), object_hook=_arrays))
    return value.item() if isinstance(value, np.generic) else value


def _plain(value: Any) -> Any:
    """JSON for what JSON lacks: arrays keep their type, so a state comes back as it was."""
    if isinstance(value, np.ndarray):
        return {"__array__": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a record field holds {type(value).__name__}, expected plain data")


def _arrays(value: dict[str, Any]) -> Any:
    return np.array(value["__array__"], dtype=value["dtype"]) if "__array__" in value else value


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value

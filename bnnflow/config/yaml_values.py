"""YAML as a physicist writes it: 1e-3 is a number, NO is nitric oxide, a key appears once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import yaml

from bnnflow.errors import ConfigError

_FLOAT = re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$")
_INTEGER = re.compile(r"^[-+]?\d+$")
_BOOLEAN = re.compile(r"^(true|false|True|False)$")
_NULL = re.compile(r"^(null|~|)$")


class _Core(yaml.constructor.SafeConstructor):
    """The scalars of YAML 1.2's core schema, and no repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: list[Any] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' appears twice, keep one", key_node.start_mark
                )
            seen.append(key)
        return dict(super().construct_mapping(node, deep=deep))


class _Loader(_Core, yaml.SafeLoader):
    """The loader whose words for an error are shown."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute


class _FastLoader(_Core, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same on libyaml, where PyYAML has it: ten times faster."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute


class _Dumper(yaml.SafeDumper):
    """Safe dumper that also quotes what this loader, but not YAML 1.1, takes for a number."""


for _tag, _pattern in (("bool", _BOOLEAN), ("int", _INTEGER), ("float", _FLOAT), ("null", _NULL)):
    for _class in (_Loader, _FastLoader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, None)


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Write YAML that `parse_yaml`, and any YAML 1.1 reader, reads back equal."""
    return str(yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def parse_yaml(text: str, source: str) -> Any:
    """Read YAML; raises ConfigError with the line that cannot be read. source: for the message."""
    with suppress(yaml.YAMLError):
        return yaml.load(text, Loader=_FastLoader)
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line} is not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error

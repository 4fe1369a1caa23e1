"""What pydantic found wrong, as one line that says what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

_SHOWN = 3
_NUMBER_WITH_UNIT = re.compile(r"^\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*([^\d\s].*)$")


def one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first errors of a config. model: the class that was being made."""
    problems = [_describe(item, model) for item in error.errors()]
    hidden = len(problems) - _SHOWN
    more = [f"and {hidden} more"] if hidden > 0 else []
    return " ".join("; ".join([*problems[:_SHOWN], *more]).split())


def known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key of a config class, sections included."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += known_keys(field.annotation, f"{prefix}{name}.")
    return keys


def nearest_key(key: str, model: type[BaseModel]) -> str | None:
    """The known dotted key most like an unknown one: in its own section, else anywhere."""
    name = key.rpartition(".")[2]
    return _nearest(name, _siblings(key, model)) or _nearest(name, known_keys(model))


def _siblings(key: str, model: type[BaseModel]) -> list[str]:
    """The known keys of the section that `key` stands in."""
    section = key.rpartition(".")[0]
    return [item for item in known_keys(model) if item.rpartition(".")[0] == section]


def _nearest(name: str, keys: Sequence[str]) -> str | None:
    last = {item.rpartition(".")[2]: item for item in reversed(keys)}
    near = difflib.get_close_matches(name, last, n=1, cutoff=0.55)
    return last[near[0]] if near else None


@dataclass(frozen=True)
class _Problem:
    """One error: the dotted key, what stood there, and pydantic's words and numbers for it."""

    key: str
    value: Any
    message: str
    context: Mapping[str, Any]
    model: type[BaseModel]

    @property
    def shown(self) -> str:
        return "null" if self.value is None else repr(self.value)


def _describe(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in item["loc"])
    problem = _Problem(key, item["input"], item["msg"], item.get("ctx", {}), model)
    return _DESCRIPTIONS.get(item["type"], _other)(problem)


def _other(problem: _Problem) -> str:
    message = problem.message[:1].lower() + problem.message[1:]
    description = _description(problem)
    return f"{problem.key} is {problem.shown}, {message}" + (description and f" ({description})")


def _unknown(problem: _Problem) -> str:
    near = nearest_key(problem.key, problem.model)
    if near is not None:
        return f"{problem.key} is not a known key: did you mean {near}?"
    own = ", ".join(_siblings(problem.key, problem.model))
    return f"{problem.key} is not a known key, expected one of {own}"


def _missing(problem: _Problem) -> str:
    description = _description(problem)
    return f"{problem.key} is missing, set it" + (description and f" ({description})")


def _not_a_number(problem: _Problem) -> str:
    match = _NUMBER_WITH_UNIT.match(problem.value) if isinstance(problem.value, str) else None
    if match is None:
        return f"{problem.key} is {problem.shown}, expected a number"
    number, unit = match.groups()
    return (
        f"{problem.key} is {problem.shown}, expected a number without a unit, in the unit of the "
        f"key's name: write {number}, converted if '{unit.strip()}' is another unit"
    )


def _not_a_section(problem: _Problem) -> str:
    return f"{problem.key or 'the config'} is {problem.shown}, expected keys with values below it"


def _own_message(problem: _Problem) -> str:
    return f"{problem.key} {problem.context['error']}"


def _not_a_choice(problem: _Problem) -> str:
    return f"{problem.key} is {problem.shown}, expected {problem.context['expected']}"


def _out_of_range(problem: _Problem) -> str:
    expected = problem.message.removeprefix("Input should be ").removeprefix("a finite number")
    return f"{problem.key} is {problem.shown}, expected a number {expected or 'that is finite'}"


def _description(problem: _Problem) -> str:
    """What a key is for; "" inside a list, where no field stands for the key."""
    current: Any = problem.model
    description = ""
    for part in problem.key.split("."):
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            break
        current, description = field.annotation, field.description or ""
    return description


_DESCRIPTIONS: Mapping[str, Callable[[_Problem], str]] = {
    "extra_forbidden": _unknown,
    "missing": _missing,
    "float_parsing": _not_a_number,
    "float_type": _not_a_number,
    "int_parsing": _not_a_number,
    "int_type": _not_a_number,
    "model_type": _not_a_section,
    "value_error": _own_message,
    "literal_error": _not_a_choice,
    "greater_than": _out_of_range,
    "greater_than_equal": _out_of_range,
    "less_than": _out_of_range,
    "less_than_equal": _out_of_range,
    "finite_number": _out_of_range,
}

"""What pydantic found wrong, as one line that says what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

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
    """Every dotted key of a config class, sections included; of all kinds where there are some."""
    keys: dict[str, None] = {}
    for name, field in model.model_fields.items():
        keys[prefix + name] = None
        for section in sections(field.annotation):
            keys |= dict.fromkeys(known_keys(section, f"{prefix}{name}."))
    return list(keys)


def sections(annotation: Any) -> list[type[BaseModel]]:
    """The config classes that a field may hold: one, several kinds, or none."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for part in get_args(annotation) for found in sections(part)]


def nearest_key(key: str, model: type[BaseModel], siblings: Sequence[str] = ()) -> str | None:
    """The known dotted key most like an unknown one: in its own section, else anywhere.

    siblings: dotted keys of that section, where `key` alone does not tell which they are.
    """
    name = key.rpartition(".")[2]
    own = siblings or _siblings(key, model)
    return _nearest(name, own) or _nearest(name, known_keys(model))


def _siblings(key: str, model: type[BaseModel]) -> list[str]:
    """The known keys of the section that `key` stands in."""
    section = key.rpartition(".")[0]
    return [item for item in known_keys(model) if item.rpartition(".")[0] == section]


def _nearest(name: str, keys: Sequence[str]) -> str | None:
    last = {item.rpartition(".")[2]: item for item in reversed(keys)}
    near = difflib.get_close_matches(name, last, n=1, cutoff=0.55)
    return last[near[0]] if near else None


def _place(loc: Sequence[Any], model: type[BaseModel]) -> tuple[str, type[BaseModel] | None]:
    """The dotted key of an error, and the section it is in.

    pydantic puts the chosen kind of a section into the path, which no file has there; a number is
    a place in a list, whose members are of the same kinds.
    """
    parts: list[str] = []
    kinds: list[type[BaseModel]] = [model]
    section: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int):
            parts.append(str(part))
            continue
        kind = [each for each in kinds if _kind(each) == part]
        if len(kinds) > 1 and kind:
            kinds = kind
            continue
        section = kinds[0] if len(kinds) == 1 else None
        parts.append(str(part))
        field = section.model_fields.get(str(part)) if section else None
        kinds = sections(field.annotation) if field else []
    return ".".join(parts), section


def _kind(section: type[BaseModel]) -> str | None:
    """What the key `kind` of a section says."""
    field = section.model_fields.get("kind")
    return str(get_args(field.annotation)[0]) if field and get_args(field.annotation) else None


@dataclass(frozen=True)
class _Problem:
    """One error: the dotted key, what stood there, and pydantic's words and numbers for it.

    section: the class that the key belongs to, if it is known.
    """

    key: str
    value: Any
    message: str
    context: Mapping[str, Any]
    model: type[BaseModel]
    section: type[BaseModel] | None

    @property
    def shown(self) -> str:
        return "null" if self.value is None else repr(self.value)


def _describe(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    key, section = _place(item["loc"], model)
    problem = _Problem(key, item["input"], item["msg"], item.get("ctx", {}), model, section)
    return _DESCRIPTIONS.get(item["type"], _other)(problem)


def _other(problem: _Problem) -> str:
    message = problem.message[:1].lower() + problem.message[1:]
    description = _description(problem)
    return f"{problem.key} is {problem.shown}, {message}" + (description and f" ({description})")


def _unknown(problem: _Problem) -> str:
    above = problem.key.rpartition(".")[0]
    fields = problem.section.model_fields if problem.section else {}
    own = [f"{above}.{name}" if above else name for name in fields]
    near = nearest_key(problem.key, problem.model, own)
    if near is not None:
        return f"{problem.key} is not a known key: did you mean {near}?"
    return f"{problem.key} is not a known key, expected one of {', '.join(own)}"


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


def _not_a_kind(problem: _Problem) -> str:
    found = repr(problem.context["tag"]) if "tag" in problem.context else "missing"
    expected = problem.context.get("expected_tags", "one, as the first key of the section")
    return f"{problem.key}.kind is {found}, expected {expected}"


def _out_of_range(problem: _Problem) -> str:
    expected = problem.message.removeprefix("Input should be ").removeprefix("a finite number")
    return f"{problem.key} is {problem.shown}, expected a number {expected or 'that is finite'}"


def _description(problem: _Problem) -> str:
    """What a key is for; "" inside a list, where no field stands for the key."""
    name = problem.key.rpartition(".")[2]
    field = problem.section.model_fields.get(name) if problem.section else None
    return (field.description or "") if field else ""


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
    "union_tag_invalid": _not_a_kind,
    "union_tag_not_found": _not_a_kind,
    "greater_than": _out_of_range,
    "greater_than_equal": _out_of_range,
    "less_than": _out_of_range,
    "less_than_equal": _out_of_range,
    "finite_number": _out_of_range,
}

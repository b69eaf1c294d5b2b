"""What was written → sections, every fault by its key, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec
import orjson

from conductor.base.settings.base_section import MOST, Section, Validator, ValueWords
from conductor.base.settings.kinds import bare, item_of, section_of, takes

S = TypeVar("S", bound=Section)

#: What people write for a yes and a no in the environment, beside `true`, `false`, `1` and `0`.
SPELLINGS = {"yes": True, "on": True, "no": False, "off": False}


class FromVariable(str):
    """Text of the environment, in which a number, a yes or a list is text too."""

    __slots__ = ()


def read(model: type[S], content: Mapping[str, Any], faults: list[str], at: str = "") -> S | None:
    """The section of such content; None where a fault was added. Keys that are no settings are passed over:
    `unknown_keys` names them.
    """
    before, values = len(faults), dict[str, Any]()
    given = own_and_beside(model, content)
    for field in msgspec.structs.fields(model):
        # What stands beside a section's own keys has no key of its own.
        key = at.removesuffix(".") if field.name == model.beside else f"{at}{field.name}"
        if field.name in given:
            values[field.name] = _value(field.type, given[field.name], faults, key)
        elif field.required:
            faults.append(f"{key}: must be given")
    if len(faults) > before:
        return None
    try:
        return model(**values)
    except ValueError as e:
        faults.append(f"{at.removesuffix('.')}: {e}" if at else str(e))
        return None


def own_and_beside(model: type[Section], content: Mapping[str, Any]) -> dict[str, Any]:
    """Field → what was written for it."""
    own = set(model.__struct_fields__) - {model.beside}
    given = {name: value for name, value in content.items() if name in own}
    if model.beside and (others := {name: value for name, value in content.items() if name not in own}):
        given[model.beside] = others
    return given


def _value(annotation: Any, given: Any, faults: list[str], at: str) -> Any:
    before, (inner, behind) = len(faults), bare(annotation)
    if isinstance(given, FromVariable):
        given = _parsed(inner, given)
    value = _converted(annotation, given, faults, at)
    if len(faults) > before or value is None:
        return None
    try:
        if get_origin(inner) is tuple:
            value = tuple(_validated(bare(get_args(inner)[0])[1], item) for item in value)
        return _validated(behind, value)
    except ValueError as e:
        faults.append(f"{at}: {e}")
        return None


def _validated(behind: Sequence[Any], value: Any) -> Any:
    for validator in behind:
        if isinstance(validator, Validator):
            value = validator.check(value)
    return value


def _converted(annotation: Any, given: Any, faults: list[str], at: str) -> Any:
    inner = bare(annotation)[0]
    if (section := section_of(inner)) is not None:
        table = _table(given, faults, at)
        return None if table is None else read(section, table, faults, f"{at}.")
    if (item := item_of(inner)) is not None:
        table = _table(given, faults, at)
        if table is None or item is Any:
            return table
        return {name: _value(item, value, faults, f"{at}.{name}") for name, value in table.items()}
    is_text = isinstance(given, FromVariable)
    try:
        return msgspec.convert(
            str(given) if is_text else given, annotation, strict=not is_text, dec_hook=as_path
        )
    except msgspec.ValidationError:
        as_json = ", in one variable written as JSON" if is_text and get_origin(inner) is tuple else ""
        faults.append(f"{at}: is to be {_meant(at.rpartition('.')[2], annotation)}{as_json}")
        return None


def _table(given: Any, faults: list[str], at: str) -> dict[str, Any] | None:
    if isinstance(given, Mapping):
        return dict(cast(Mapping[str, Any], given))
    as_json = "; in one variable it is written as JSON" if isinstance(given, FromVariable) else ""
    faults.append(f"{at}: is to be a table, with a name for each value{as_json}")
    return None


def as_path(kind: type, given: object) -> Any:
    """For msgspec, which knows no paths. Raises `TypeError` where it is no text."""
    if kind is not Path or not isinstance(given, str):
        raise TypeError(f"no {kind.__name__}: {type(given).__name__}")
    return Path(given)


def _parsed(inner: Any, text: FromVariable) -> Any:
    """A yes, a table or a list that a variable holds; else the text itself."""
    if inner is bool:
        return SPELLINGS.get(text.strip().lower(), text)
    kinds = [inner, *get_args(inner)] if get_origin(inner) is not dict else [inner]
    if any(section_of(kind) or get_origin(kind) in (dict, tuple) for kind in kinds):
        try:
            return orjson.loads(str(text))
        except orjson.JSONDecodeError:
            pass
    return text


def _meant(name: str, annotation: Any) -> str:
    """In the words of its type, with the bound that is the same for all times."""
    inner, behind = bare(annotation)
    for said in (each for each in behind if isinstance(each, ValueWords)):
        return said.words
    if get_origin(inner) is tuple:
        return f"a list, of which each is {_meant(name, get_args(inner)[0])}"
    most = any(isinstance(each, msgspec.Meta) and each.le == MOST for each in behind)
    return takes(name, annotation, quote='"') + (f", to {MOST:.0f}" if most else "")

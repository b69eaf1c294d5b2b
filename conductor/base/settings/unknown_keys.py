"""Keys and variables that are no settings: each is named, with the nearest one that is."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from conductor.base.settings.base_section import Section
from conductor.base.settings.kinds import item_of, section_of

#: What stood elsewhere in an earlier version, by where it stands now.
MOVED = {("engines", "policy"): "engine_policy"}


def moved_keys(content: Mapping[str, Any]) -> list[str]:
    """«engines.policy is now engine_policy»: of what an earlier version took there."""
    return [
        f"{section}.{key} is now {place}, a key of its own at the top of the file"
        for (section, key), place in MOVED.items()
        if isinstance(below := content.get(section), Mapping) and isinstance(below.get(key), str)
    ]


def unknown_keys(content: Mapping[str, Any], model: type[Section], at: str = "") -> list[str]:
    """«lanes.gpu.wrokers is not a setting, did you mean workers?» for every key the model does not have."""
    faults: list[str] = []
    kinds = {field.name: field.type for field in msgspec.structs.fields(model)}
    named = section_of(item_of(kinds.pop(model.beside))) if model.beside else None
    for key, value in content.items():
        if key in kinds:
            faults += _unknown_below(value, kinds[key], f"{at}{key}.")
        elif named is not None and isinstance(value, Mapping):
            faults += unknown_keys(value, named, f"{at}{key}.")
        else:
            faults.append(f"{at}{key} is not a setting{did_you_mean(key, kinds)}")
    return faults


def _unknown_below(value: Any, annotation: Any, at: str) -> list[str]:
    if not isinstance(value, Mapping):
        return []
    if (section := section_of(annotation)) is not None:
        return unknown_keys(value, section, at)
    if (item := section_of(item_of(annotation))) is None:
        return []
    nested = [(name, below) for name, below in value.items() if isinstance(below, Mapping)]
    return [fault for name, below in nested for fault in unknown_keys(below, item, f"{at}{name}.")]


def unknown_variables(
    environ: Mapping[str, str], prefix: str, known: Sequence[str], model: type[Section]
) -> list[str]:
    """Of those that begin with `prefix`; what follows a double underscore is a key below."""
    faults: list[str] = []
    for variable in (name for name in environ if name.startswith(prefix)):
        first, *below = variable.split("__")
        if first not in known:
            faults.append(f"${variable} is not a setting{did_you_mean(variable, known)}")
            continue
        content: Any = environ[variable]
        for key in reversed((first.removeprefix(prefix), *below)):
            content = {key.lower(): content}
        if below:
            faults += [f"${variable}: {fault}" for fault in unknown_keys(content, model)]
    return faults


def did_you_mean(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {near[0]}?" if near else ""

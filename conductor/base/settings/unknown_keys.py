"""Keys and variables that are no settings: each is named, with the nearest one that is."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from pydantic import BaseModel


def unknown_keys(content: Mapping[str, Any], model: type[BaseModel], at: str = "") -> list[str]:
    """«lanes.gpu.wrokers is not a setting, did you mean workers?» for every key the model does not have."""
    faults: list[str] = []
    for key, value in content.items():
        field = model.model_fields.get(key)
        if field is None and isinstance(value, Mapping) and (item := named_in(model)) is not None:
            faults += unknown_keys(value, item, f"{at}{key}.")
        elif field is None:
            faults.append(f"{at}{key} is not a setting{did_you_mean(key, model.model_fields)}")
        elif isinstance(value, Mapping):
            faults += _unknown_below(value, field.annotation, f"{at}{key}.")
    return faults


def named_in(model: type[BaseModel]) -> type[BaseModel] | None:
    """What a section holds by names of the user's own, beside the keys that it has itself; None: nothing."""
    if model.model_config.get("extra") != "allow":
        return None
    return get_type_hints(model)["__pydantic_extra__"].__args__[-1]


def _unknown_below(value: Mapping[str, Any], annotation: Any, at: str) -> list[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return unknown_keys(value, annotation, at)
    item = getattr(annotation, "__args__", (None, None))[-1]
    if isinstance(item, type) and issubclass(item, BaseModel):
        nested = [(name, v) for name, v in value.items() if isinstance(v, Mapping)]
        return [f for name, v in nested for f in unknown_keys(v, item, f"{at}{name}.")]
    return []


def unknown_variables(
    environ: Mapping[str, str], prefix: str, known: Sequence[str], model: type[BaseModel]
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

"""A view as JSON, the same from every door: every field is there, also where it has its default."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson


def complete(value: Any) -> Any:
    """Structs as dicts with all their fields, defaults included."""
    if isinstance(value, msgspec.Struct):
        return {name: complete(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(key): complete(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [complete(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def json_text(value: Any, *, is_indented: bool = False) -> str:
    """`value` (Structs, mappings, paths) as one JSON document."""
    # omit_defaults keeps manifest lines short; here whoever reads wants every field.
    plain = msgspec.to_builtins(complete(value), str_keys=True, enc_hook=str)
    try:
        return orjson.dumps(plain, option=orjson.OPT_INDENT_2 if is_indented else 0).decode()
    except TypeError:  # a name that is not UTF-8
        return json.dumps(plain, indent=2 if is_indented else None)

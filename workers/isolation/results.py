"""What a body returned, as what a receipt can hold: JSON, of a size that belongs into one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson

from conductor.base.errors import BadResult
from conductor.base.text import size

#: A result is a line of a receipt, and goes through Redis: what is larger belongs into a declared output.
MAX_BYTES = 1 << 20
#: Deeper than this it is not written down either (orjson's own limit).
_MAX_DEPTH = 254
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


def plain(result: Any) -> dict[str, Any]:
    """The result as plain JSON values. What is no number (NaN, Infinity) becomes its name, as protobuf writes
    it: "NaN", "Infinity", "-Infinity". Raises `BadResult`, which names the value that cannot be written down.
    """
    if result is None:
        return {}
    if not isinstance(result, Mapping):
        raise BadResult(f"the result cannot be written down: it is a {_kind(result)}, and a result is a dict")
    given = cast("Mapping[str, Any]", result)
    try:
        data = orjson.dumps(given if isinstance(given, dict) else dict(given), option=_OPTIONS)
    except (TypeError, ValueError, RecursionError) as e:
        raise BadResult(f"the result cannot be written down: {_fault(given) or e}") from None
    if len(data) > MAX_BYTES:
        words = f"the result has {size(len(data))}, more than {size(MAX_BYTES)}"
        raise BadResult(f"{words}: what is large belongs into a declared output")
    if b"null" in data:  # It may be a NaN that was written down as nothing.
        data = orjson.dumps(_named(given), option=_OPTIONS)
    return cast("dict[str, Any]", orjson.loads(data))


def _named(value: Any) -> Any:
    """With names for what is no number. It was written down once: it is not too deep, and holds no circle."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else "NaN" if value != value else _infinity(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return {key: _named(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [_named(item) for item in cast("Iterable[Any]", value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _named(getattr(value, field.name)) for field in dataclasses.fields(value)}
    # numpy's numbers and arrays.
    to_list = getattr(value, "tolist", None)
    return _named(to_list()) if callable(to_list) else value


def _infinity(value: float) -> str:
    return "Infinity" if value > 0 else "-Infinity"


def _fault(result: Mapping[str, Any]) -> str:
    """«result.frames[3] is a set»: the first value that cannot be written down."""
    stack: list[tuple[str, Any, tuple[int, ...]]] = [("result", result, ())]
    while stack:
        path, value, above = stack.pop()
        if id(value) in above:
            return f"{path} holds itself"
        if len(above) >= _MAX_DEPTH:
            return f"{path[:60]} … lies too deep"
        inside = (*above, id(value))
        if isinstance(value, Mapping):
            items = list(cast("Mapping[Any, Any]", value).items())
            if odd := [key for key, _ in items if not isinstance(key, str)]:
                return f"{path} has the key {odd[0]!r}, a {_kind(odd[0])}, and keys are strings"
            stack += [(f"{path}.{key}", item, inside) for key, item in reversed(items)]
        elif isinstance(value, list | tuple):
            each = list(cast("Iterable[Any]", value))
            stack += [(f"{path}[{n}]", item, inside) for n, item in reversed(list(enumerate(each)))]
        elif words := _fault_of_one(value):
            return f"{path} {words}"
    return ""


def _fault_of_one(value: Any) -> str:
    try:
        orjson.dumps(value, option=_OPTIONS)
    except (TypeError, ValueError) as e:
        if isinstance(value, int):
            return "is a number of more than 64 bits"
        if isinstance(value, str):
            return "is no text that can be encoded (a file name that is not UTF-8?)"
        return f"is a {_kind(value)}" if "not JSON serializable" in str(e) else f"is a {_kind(value)}: {e}"
    return ""


def _kind(value: Any) -> str:
    return type(value).__name__

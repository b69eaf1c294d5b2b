"""JSON objects in the words of a model, and letters that can be written down. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a model's words, the last first: between ``` fences or pleasantries, behind what
    it tried.
    """
    found = list[tuple[int, dict[str, Any]]]()
    at = text.find("{")
    while at >= 0:
        end, value = _object_at(text, at)
        if value is not None:
            found.append((at, value))
        at = text.find("{", end)
    yield from (value for _, value in reversed(found))


def _object_at(text: str, start: int) -> tuple[int, dict[str, Any] | None]:
    """(where to look on, the object that begins there)."""
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):
        return start + 1, None
    return end, whole_letters_of(value)


def whole_letters(text: str) -> str:
    """Half of a letter (a lone surrogate) can be written into no file."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def whole_letters_of(value: Any) -> Any:
    if isinstance(value, str):
        return whole_letters(value)
    if isinstance(value, dict):
        items = cast(dict[str, Any], value).items()
        return {whole_letters(name): whole_letters_of(item) for name, item in items}
    return [whole_letters_of(item) for item in cast(list[Any], value)] if isinstance(value, list) else value

"""The types of settings, in words: what a value is to be, for the page of all settings and for who wrote
another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Meta

from conductor.base.settings.base_section import MOST, Section

#: End of a name → what its figure counts.
UNITS = {
    "_s": "seconds",
    "_mib": "MiB",
    "_bytes": "bytes",
    "_per_min": "in a minute",
    "_per_hour": "in an hour",
    "_per_day": "US dollars a day",
    "usd_per_million_input": "US dollars",
    "usd_per_million_output": "US dollars",
    "usd_per_second": "US dollars",
    "_c": "°C",
    "_minutes": "minutes",
}
PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}


def bare(annotation: Any) -> tuple[Any, list[Any]]:
    """Without `Annotated` and without None; and what stands behind the type."""
    behind: list[Any] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            behind += more
        elif get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation):
            rest = [each for each in get_args(annotation) if each is not NoneType]
            annotation = rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007  made, not written
        else:
            return annotation, behind


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a value is."""
    inner = bare(annotation)[0]
    return inner if isinstance(inner, type) and issubclass(inner, Section) else None


def item_of(annotation: Any) -> Any:
    """What a table by names of the user's own holds; None: it is no such table."""
    inner = bare(annotation)[0]
    return get_args(inner)[1] if get_origin(inner) is dict else None


def takes(name: str, annotation: Any, quote: str = "`") -> str:
    """«seconds, above 0», «`time` or `content`», «a list of words»."""
    inner, behind = bare(annotation)
    origin = get_origin(inner)
    if origin is Literal:
        return _either([f"{quote}{word}{quote}" for word in get_args(inner)])
    if origin in (Union, UnionType):
        return ", or ".join(takes(name, each, quote) for each in get_args(inner))
    if origin is tuple:
        return f"a list of {'paths' if bare(get_args(inner)[0])[0] is Path else 'words'}"
    if origin is dict:
        return "a table"
    unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), None)
    counted = unit if inner in (int, float) else None
    return ", ".join([counted or PLAIN.get(inner, "text"), *_range(behind)])


def _either(words: Sequence[str]) -> str:
    return " or ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} or {words[-1]}"


def _range(behind: Sequence[Any]) -> Iterator[str]:
    for word, attribute in (("above", "gt"), ("from", "ge"), ("to", "le")):
        for each in (each for each in behind if isinstance(each, Meta)):
            if (edge := getattr(each, attribute)) is not None and edge != MOST:
                yield f"{word} {edge:g}" if edge < 1e6 else f"{word} {edge}"

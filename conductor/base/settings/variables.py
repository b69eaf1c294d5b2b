"""`CONDUCTOR_*` of the environment as a tree of settings, laid over the file's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson

from conductor.base.settings.reading import FromVariable


def from_variables(environ: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """`{prefix}LANES__GPU__WORKERS=2` → `{"lanes": {"gpu": {"workers": "2"}}}`; the innermost one wins."""
    tree: dict[str, Any] = {}
    named = (name for name in environ if name.startswith(prefix))
    for variable in sorted(named, key=lambda name: name.count("__")):
        content: Any = FromVariable(environ[variable])
        for key in reversed(variable.removeprefix(prefix).lower().split("__")):
            content = {key: content}
        tree = merged(tree, content)
    return tree


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both trees; where both have a value, that of `over`."""
    result = dict(under)
    for key, value in over.items():
        below, above = table(result.get(key)), table(value)
        result[key] = value if below is None or above is None else merged(below, above)
    return result


def table(value: Any) -> Mapping[str, Any] | None:
    """A table as the file has it, or as JSON in one variable; None: the value is none."""
    if isinstance(value, FromVariable) and value.lstrip().startswith("{"):
        try:
            value = orjson.loads(str(value))
        except orjson.JSONDecodeError:
            return None
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else None

"""Where each setting comes from: the environment, the file or the default."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import orjson

from conductor.base.secrets import MASK, is_secret_name, scrub, without_passwords
from conductor.base.settings.base_section import Section, is_address
from conductor.base.settings.settings import CONFIG_NAME, ENV_PREFIX, Settings
from conductor.base.settings.toml_file import read_toml
from conductor.base.text import escaped
from conductor.model.spec import Value


class SettingRow(Value, frozen=True, kw_only=True):
    #: As conductor.toml would write it: `lanes.gpu.workers`.
    key: str
    value: Any
    #: «$CONDUCTOR_NODE», «conductor.toml» or «default».
    origin: str


def settings_with_origin(settings: Settings) -> list[SettingRow]:
    """Every setting in force, flat, in the order of the model."""
    file = settings.project / CONFIG_NAME
    written = read_toml(file) if file.is_file() else {}
    return [
        SettingRow(key=key, value=shown(key, value), origin=origin_of(key, written, os.environ))
        for key, value in flat(settings)
    ]


def flat(section: Section, at: str = "") -> Iterator[tuple[str, Any]]:
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if name != section.beside:
            yield from flat_value(f"{at}{name}", value)
        elif value:
            yield from flat_value(at.removesuffix("."), value)


def flat_value(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Section):
        yield from flat(value, f"{key}.")
    elif isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from flat_value(f"{key}.{name}", item)
    elif isinstance(value, tuple):
        yield key, [str(item) for item in value]
    else:
        yield key, value if isinstance(value, bool | int | float | str | None) else plain(value)


def plain(value: Any) -> Any:
    return {} if isinstance(value, Mapping) else str(value)


def shown(key: str, value: Any) -> Any:
    """Passwords and keys are nobody's to read: redis://user:***@host, api_key = "***"."""
    if not isinstance(value, str) or not value:
        return value
    if is_address(key):
        return without_passwords(value)
    return MASK if is_secret_name(key.rpartition(".")[2]) else scrub(value)


def origin_of(key: str, written: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    parts = key.split(".")
    known = {name.upper(): name for name in environ}
    for end in range(len(parts), 0, -1):  # the innermost variable wins, as it does when settings are loaded
        variable = known.get(ENV_PREFIX + "__".join(parts[:end]).upper())
        if variable and (end == len(parts) or has(parsed(environ[variable]), parts[end:])):
            return f"${variable}"
    return CONFIG_NAME if has(written, parts) else "default"


def has(tree: Any, path: Sequence[str]) -> bool:
    for part in path:
        if not isinstance(tree, Mapping) or part not in tree:
            return False
        tree = cast(Mapping[str, Any], tree)[part]
    return True


def parsed(text: str) -> Any:
    """A section given as JSON in one variable: `CONDUCTOR_LANES='{"gpu": {"workers": 2}}'`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def as_text(value: Any) -> str:
    """As TOML would write it; what is not set as `(none)`."""
    return "(none)" if value is None else escaped(orjson.dumps(value).decode())

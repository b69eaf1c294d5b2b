"""What must never be said: the values behind the configured names, and the variables no program of a job inherits.

Whoever loads the settings fills the register; whatever writes for others (logs, messages, receipts) asks it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

if TYPE_CHECKING:
    from conductor.settings import Settings

MASK = "***"
#: Shorter ones are no secrets, and would eat ordinary words.
MIN_LENGTH = 6
#: Variables whose name begins like this hold the way to Redis, however it is spelled (`CONDUCTOR_REDIS='{"url": …}'`).
_REDIS = "CONDUCTOR_REDIS"
_DASHBOARD = "CONDUCTOR_DASHBOARD"

_known: set[str] = set()


def remember(settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
    """From now on `scrub` masks what these settings keep secret."""
    _known.update(values(settings, environ))


def scrub(text: str) -> str:
    """`text` with every known secret masked. Libraries like to quote what they sent."""
    return mask(text, _known) if _known else text


def scrub_all(value: Any) -> Any:
    """The same for every string in a JSON value, keys included."""
    if not _known:
        return value
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return {scrub_all(key): scrub_all(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [scrub_all(item) for item in cast(Iterable[Any], value)]
    return value


def mask(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):  # the longer first: one may hold another
        if len(secret) >= MIN_LENGTH:
            text = text.replace(secret, MASK)
    return text


def values(settings: Settings, environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """The secrets themselves: passwords in addresses and what the configured variables hold."""
    found = {environ[name] for name in variables(settings) if name in environ}
    urls = (settings.redis.url, settings.dashboard.redis_url, *(e.base_url for e in settings.endpoints.values()))
    for url in urls:
        found |= passwords(url or "")
    return frozenset(secret for secret in found if len(secret) >= MIN_LENGTH)


def variables(settings: Settings) -> frozenset[str]:
    """Names of the environment variables that the settings name as holding a secret."""
    named = {endpoint.api_key_env for endpoint in settings.endpoints.values()}
    named |= {settings.redis.signing_key_env, settings.dashboard.password_env}
    return frozenset(name for name in named if name)


def passwords(url: str) -> set[str]:
    """The password of `scheme://user:password@host`, as written and as meant."""
    authority = url.partition("://")[2].rpartition("@")[0]
    password = authority.partition(":")[2]
    return {password, unquote(password)} - {""}


def without_passwords(url: str) -> str:
    """redis://user:***@host/0: for messages."""
    scheme, _, rest = url.partition("://")
    who, at, where = rest.rpartition("@")
    user, colon, _ = who.partition(":")
    return f"{scheme}://{user}{colon and ':' + MASK}@{where}" if at else url


# ── what children inherit ─────────────────────────────────────────────────────────────────────────────────


def for_bodies(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of the process that runs task bodies: no way to Redis, no signing key; API keys stay."""
    keys = {endpoint.api_key_env for endpoint in settings.endpoints.values()}
    return _without(environ, frozenset(variables(settings) - keys))


def for_programs(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a program that a body starts: none of the secrets."""
    return _without(environ, variables(settings))


def _without(environ: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environ.items()
        if name not in names and not name.upper().startswith((_REDIS, _DASHBOARD))
    }

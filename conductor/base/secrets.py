"""What must never be said: the values behind the configured names, and the variables no program of a job
inherits.

Whoever loads the settings fills the register; whatever writes for others (logs, messages, receipts) asks it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote, unquote_plus

from conductor.base.secret_spellings import spelling_of

MASK = "***"
#: Shorter ones are no secrets, and would eat ordinary words.
MIN_LENGTH = 6
MIN_TOKEN = 8
#: Variables whose name begins like this hold the way to Redis, however it is spelled
#: (`CONDUCTOR_REDIS='{"url": …}'`).
_REDIS = "CONDUCTOR_REDIS"
_DASHBOARD = "CONDUCTOR_DASHBOARD"

#: Names under which a secret stands, in a query and among an endpoint's parameters.
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|apikey|auth|authorization|credentials?|sig|signature)$",
    re.IGNORECASE,
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")

_known: set[str] = set()


@dataclass(frozen=True, kw_only=True)
class SecretSources:
    """Where the settings say that secrets are."""

    #: Names of the environment variables that hold what task bodies need: the key of an API, the password of
    #: a store.
    variables_of_bodies: frozenset[str] = frozenset()
    #: Names of those that hold any other secret.
    other_variables: frozenset[str] = frozenset()
    #: Names of those that hold an address which lets whoever knows it speak (a webhook, a chat).
    address_variables: frozenset[str] = frozenset()
    #: Addresses, which may hold a password.
    urls: frozenset[str] = frozenset()
    #: Members of requests: what stands there under the name of a secret is one.
    parameters: tuple[Mapping[str, Any], ...] = ()

    @property
    def variables(self) -> frozenset[str]:
        """Names of all environment variables that hold a secret."""
        return self.variables_of_bodies | self.other_variables | self.address_variables


def remember(sources: SecretSources, environ: Mapping[str, str] = os.environ) -> None:
    """From now on `scrub` masks the secrets that stand there."""
    _known.update(values(sources, environ))


def scrub(text: str) -> str:
    """`text` with every known secret masked, in whatever spelling. Libraries like to quote what they sent."""
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
            text = spelling_of(secret).masked(text, MASK)
    return text


def values(sources: SecretSources, environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """The secrets themselves: passwords in addresses, what the configured variables hold, and what an
    endpoint's parameters call one."""
    found = {environ[name] for name in sources.variables if name in environ}
    proxies = (value for name, value in environ.items() if name.lower() in _PROXIES)
    for url in (*sources.urls, *proxies):
        found |= passwords(url)
    for name in sources.address_variables & environ.keys():
        found |= tokens(environ[name])
    for parameters in sources.parameters:
        found |= _named_secrets(parameters)
    return frozenset(part for secret in found for part in _parts(secret) if len(part) >= MIN_LENGTH)


def _parts(secret: str) -> set[str]:
    """As it is, without what surrounds it, and each of its lines: what sends a key strips it, and logs
    break lines.
    """
    return {secret, secret.strip(), *(line.strip() for line in secret.splitlines())}


def is_secret_name(name: str) -> bool:
    """Does what stands under it want to be masked: `api_key`, `X-Auth-Token`, `password`."""
    return bool(_SECRET_NAME.search(name))


def _named_secrets(value: object, name: str = "") -> set[str]:
    if isinstance(value, str):
        return {value} if is_secret_name(name) else set()
    if isinstance(value, Mapping):
        items = cast(Mapping[str, object], value).items()
        return set[str]().union(*(_named_secrets(item, key) for key, item in items))
    return set()


def passwords(url: str) -> set[str]:
    """Of `scheme://user:password@host/?key=secret`: the password, or the user of one without (a token), and
    what stands in the query under the name of a secret; as written and as meant."""
    scheme, _, rest = url.partition("://")
    user, colon, password = _authority(rest).rpartition("@")[0].partition(":")
    found = {password}
    if not colon and scheme.lower() in ("http", "https"):
        found.add(user)
    found |= {value for name, value in _query(url) if is_secret_name(name)}
    return {spelled for secret in found for spelled in (secret, unquote(secret), unquote_plus(secret))} - {""}


def tokens(url: str) -> set[str]:
    """Of an address that is a secret as a whole: the parts of it that would do alone. Ordinary words are
    none, or every log would lose them; nor is the name of a host, where one stands."""
    rest = url.partition("://")[2]
    who, at, where = _authority(rest).rpartition("@")
    path = rest[len(f"{who}{at}{where}") :]
    parts = {where} if where.isalnum() else set[str]()
    parts |= {who, *who.split(":")} | set(re.split(r"[/?&=:,#]", path))
    return passwords(url) | {part for part in parts if _is_token(part)}


def _is_token(part: str) -> bool:
    return len(part) >= MIN_TOKEN and not (part.isalpha() and part in (part.lower(), part.upper()))


def without_passwords(url: str) -> str:
    """redis://user:***@host/0?password=***: for messages."""
    scheme, mark, rest = url.partition("://")
    authority = _authority(rest)
    who, at, where = authority.rpartition("@")
    user, colon, _ = who.partition(":")
    if at:
        hidden = MASK if not colon and scheme.lower() in ("http", "https") else user
        rest = f"{hidden}{colon and ':' + MASK}@{where}{rest[len(authority) :]}"
    before, asks, query = rest.partition("?")
    shown = "&".join(
        f"{name}={MASK}" if is_secret_name(unquote(name)) and value else f"{name}{equals}{value}"
        for name, equals, value in (pair.partition("=") for pair in query.split("&"))
    )
    return f"{scheme}{mark}{before}{asks}{shown}"


def _authority(rest: str) -> str:
    """Up to the last «@»: a password that was not quoted may hold whatever it likes."""
    who, at, where = rest.rpartition("@")
    if "?" in who:  # It stands in the query.
        return re.split(r"[/?#]", rest, maxsplit=1)[0]
    return f"{who}{at}{re.split(r'[/?#]', where, maxsplit=1)[0]}"


def _query(url: str) -> list[tuple[str, str]]:
    """Name and value of each, the value as written."""
    pairs = (pair.partition("=") for pair in url.partition("?")[2].partition("#")[0].split("&"))
    return [(unquote(name), value) for name, _, value in pairs]


# ── what children inherit ─────────────────────────────────────────────────────────────────────────────────


def for_bodies(sources: SecretSources, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of the process that runs task bodies: no way to Redis, no signing key; API keys
    stay.
    """
    return _without(
        environ, (sources.other_variables | sources.address_variables) - sources.variables_of_bodies
    )


def for_programs(variables: frozenset[str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a program that a body starts: none of the variables that hold a secret."""
    return _without(environ, variables)


def _without(environ: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environ.items()
        if name not in names and not name.upper().startswith((_REDIS, _DASHBOARD))
    }

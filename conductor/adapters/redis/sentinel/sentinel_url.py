"""`redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT],…/NAME[/DATABASE][?…]`, read. Pure.

User and password are those of the data server; the Sentinels' own stand in the query, as
`sentinel_username` and `sentinel_password`. With `rediss+sentinel://` both speak TLS. All else in the query
is redis-py's (`ssl_ca_certs=/PATH.pem`), for both.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from msgspec import Struct
from redis.connection import parse_url

SCHEMES = ("redis+sentinel", "rediss+sentinel")
FORM = "redis+sentinel://HOST:26379,HOST:26379,HOST:26379/NAME/0"
PORT = 26379
#: What of the query is the Sentinels' → redis-py's name of it.
_THEIRS = {"sentinel_username": "username", "sentinel_password": "password"}


HostPort = tuple[str, int]


class SentinelUrl(Struct, frozen=True, kw_only=True):
    #: Host and port of each Sentinel that is named. There may be more.
    sentinels: tuple[HostPort, ...]
    #: Under which the Sentinels know the primary.
    service: str
    has_tls: bool
    #: For connections to the data server, and to a Sentinel, as redis-py names them.
    options: dict[str, Any]
    sentinel_options: dict[str, Any]

    @property
    def majority(self) -> int:
        return len(self.sentinels) // 2 + 1

    @property
    def shown_sentinels(self) -> str:
        return ", ".join(map(shown, self.sentinels))


def is_sentinel_url(url: str) -> bool:
    return url.partition("://")[0] in SCHEMES


def read_sentinel_url(url: str) -> SentinelUrl:
    """Raises `ValueError` in words."""
    scheme, _, rest = url.partition("://")
    who, at, where = rest.rpartition("@")
    hosts, _, behind = where.partition("/")
    path, _, query = behind.partition("?")
    service, _, database = path.partition("/")
    if not service or not hosts:
        raise ValueError(f"it has to name the Sentinels and the primary that they watch ({FORM})")
    if not re.fullmatch("[0-9]*", database):
        raise ValueError(f"its database is a number ({FORM})")
    pairs = parse_qsl(query, keep_blank_values=True)
    shared = [(name, value) for name, value in pairs if name not in _THEIRS]
    has_tls = scheme == SCHEMES[1]
    plain = "rediss" if has_tls else "redis"
    # redis-py reads the rest as it reads every address: types of the options, quoted letters.
    options = parse_url(f"{plain}://{who}{at}-/{database or 0}?{urlencode(shared)}")
    theirs = parse_url(f"{plain}://-?{urlencode(shared)}")
    for each in (options, theirs):
        each.pop("host", None)
        each.pop("connection_class", None)
    return SentinelUrl(
        sentinels=tuple(_host_and_port(each) for each in hosts.split(",")),
        service=unquote(service),
        has_tls=has_tls,
        options=options,
        sentinel_options={**theirs, **{_THEIRS[name]: value for name, value in pairs if name in _THEIRS}},
    )


def _host_and_port(text: str) -> HostPort:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ValueError(f"{text!r} is no HOST:PORT of a Sentinel ({FORM})")
    return host, port or PORT


def shown(place: HostPort) -> str:
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

"""The connection: lean, patient for a moment, and with errors in words that name the address and the
remedy.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from redis import Redis, exceptions
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from conductor.adapters.redis.keepalive import keepalive
from conductor.adapters.redis.sentinel.following_connection import finder_of, following_pool
from conductor.adapters.redis.sentinel.primary_finder import NoPrimaryError
from conductor.adapters.redis.sentinel.sentinel_url import is_sentinel_url, read_sentinel_url
from conductor.adapters.redis.tls_options import check_options, remedy
from conductor.base.errors import ConfigError, Fenced, Unreachable
from conductor.base.secrets import without_passwords

#: A blocking command (BLPOP, BLMOVE) must not block longer than this: the socket gives up after
#: `SOCKET_TIMEOUT_S`.
MAX_BLOCK_S = 5.0
SOCKET_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
#: Of what a server says with its refusal so much is shown: some explain at length.
SHOWN_CHARS = 100


class QuietlyClosed(Redis):
    """Closed, it leaves alone the connections that other threads read from: redis-py would tear them away,
    and its parser then fails with whatever a closed buffer raises."""

    def close(self) -> None:
        self.connection_pool.disconnect(inuse_connections=False)


def connect(url: str, **others: Any) -> Redis:
    """A client on `url`. Opens nothing yet. Every step may be sent twice after a lost reply: they all bear
    it. Behind Sentinels it follows the primary. `others`: redis-py's options, in place of ours.
    """
    options: dict[str, Any] = {
        # RESP2 and no CLIENT SETINFO (redis-py reads package metadata for it): a connection costs a third
        # less.
        "protocol": 2,
        "driver_info": None,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "health_check_interval": 30,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.02), retries=3),
        **keepalive(url),
        **others,
    }
    try:
        if is_sentinel_url(url):
            client = QuietlyClosed(connection_pool=following_pool(read_sentinel_url(url), options))
        else:
            _check_database(url)
            client = QuietlyClosed.from_url(url, **options)
        check_options(client.connection_pool)
    except ValueError as e:
        raise ConfigError(f"redis.url {without_passwords(url)} cannot be used: {e}") from None
    return client


def _check_database(url: str) -> None:
    """redis-py takes what it cannot read for 0, and 1/2 for 12: a ledger where nobody looks for it."""
    parts = urlsplit(url)
    if parts.scheme in ("redis", "rediss") and not re.fullmatch("/?|/[0-9]+", unquote(parts.path)):
        raise ValueError("its database is a number (redis://HOST:6379/1)")


def address(client: Redis) -> str:
    """What to call the server in a message: its socket, or host:port. Never its password."""
    if finder := finder_of(client):
        return finder.label
    known: dict[str, Any] = client.connection_pool.connection_kwargs
    if path := known.get("path"):
        return f"unix://{path}"
    return f"{known.get('host', 'localhost')}:{known.get('port', 6379)}"


#: How a server's refusal begins → what to do about it.
REMEDIES = {
    "NOAUTH": "it asks for a password: put it into redis.url (redis://:PASSWORD@host:port)",
    "WRONGPASS": "user or password is wrong: correct redis.url",
    "NOPERM": "its user may not do this: give it the rights of the conductor's ACL",
    "OOM": "its memory is full, nothing was written: raise maxmemory (CONFIG SET maxmemory 0 "
    "lifts the limit)",
    "MISCONF": "it cannot write to its disk, nothing was accepted: make room there",
    "READONLY": "it is a replica: point redis.url at the primary",
    "LOADING": "it is still reading its data: try again in a moment",
    "BUSY": "it is busy with a script: try again in a moment",
    "DENIED": "it is in protected mode and hears no other host: give it a password, and put that "
    "into redis.url",
    "MASTERDOWN": "it is a replica without its primary: point redis.url at the primary",
    "NOREPLICAS": "it wants more replicas than it has before it takes a write (its min-replicas-to-write)",
    "CLUSTER": "it is one of a Redis Cluster, over which the keys of a step lie scattered: take a server "
    "that is none",
    "UNKNOWN": "it does not know a command that is needed: it is another kind of server, or does "
    "not allow it",
    "OPEN": "it asks for no password: take the one in redis.url out",
    "FULL": "it has as many clients as it takes: raise its maxclients",
}

#: How a reply goes on that has no such word of its own.
BEGINNINGS = {
    "Authentication required": "NOAUTH",
    "ACL failure in script": "NOPERM",
    "AUTH <password> called without": "OPEN",
    "unknown command": "UNKNOWN",
    "max number of clients": "FULL",
}


#: redis-py takes the word off these and makes it a class.
CLASSES: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.AuthenticationError, "WRONGPASS"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.ClusterDownError, "CLUSTER"),
    (exceptions.ClusterCrossSlotError, "CLUSTER"),
    (exceptions.AskError, "CLUSTER"),
)


#: How redis-py begins: the address is said already.
_ERRNO = re.compile(r"^Error -?\d+ connecting to .*?\. (?=\S)")


@contextmanager
def translating(client: Redis) -> Generator[None]:
    """Redis's errors as `Unreachable` and `Fenced`. What is a fault of ours passes through."""
    try:
        yield
    except exceptions.RedisError as e:
        raise translated(client, e) from None


def translated(client: Redis, error: exceptions.RedisError) -> Exception:
    text, where = str(error), address(client)
    if text.startswith("FENCED "):
        return Fenced(text.removeprefix("FENCED "))
    if is_of_database(error):
        database: object = client.connection_pool.connection_kwargs.get("db")
        return ConfigError(
            f"Redis at {where} has no database {database}: take a lower number in redis.url (most "
            "have 0 to 15)"
        )
    if word := refusal(error, text):
        return Unreachable(f"Redis at {where} refused: {REMEDIES[word]} ({text[:SHOWN_CHARS]})")
    if isinstance(error, exceptions.InvalidResponse):
        return Unreachable(f"what answers at {where} is no Redis{_TLS * (_ALERT in text)}: correct redis.url")
    if isinstance(error, NoPrimaryError):
        what_to_do = (
            remedy(client.connection_pool, text, "HOST:26379/NAME/0") or "start them, or correct redis.url"
        )
        return Unreachable(f"no Sentinel says which server is {where} ({text}): {what_to_do}")
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError)):
        what_to_do = (
            remedy(client.connection_pool, text, "HOST:6379/0")
            or "start it, or set redis.url in conductor.toml"
        )
        return Unreachable(
            f"Redis at {where} cannot be reached ({_ERRNO.sub('', text).rstrip('.')}); {what_to_do}"
        )
    return error


def is_of_database(error: exceptions.RedisError) -> bool:
    """The server has none of that number."""
    return "DB index" in str(error)


#: How a server says that it was not asked for TLS.
_ALERT, _TLS = "\\x15\\x03", " without TLS (rediss://)"


def refusal(error: exceptions.RedisError, text: str) -> str | None:
    """The word of `REMEDIES` that a reply began with, or comes to."""
    for beginning, word in BEGINNINGS.items():
        if text.startswith(beginning):
            return word
    for kind, word in CLASSES:
        if isinstance(error, kind):
            return word
    word = text.split(" ", 1)[0]
    return word if word in REMEDIES else None

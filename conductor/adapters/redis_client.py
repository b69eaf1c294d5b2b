"""The connection: lean, patient for a moment, and with errors in words that name the address and the remedy."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from loguru import logger
from redis import Redis, exceptions
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from conductor.errors import ConfigError, Fenced, Unreachable

#: A blocking command (BLPOP, BLMOVE) must not block longer than this: the socket gives up after `SOCKET_TIMEOUT_S`.
MAX_BLOCK_S = 5.0
SOCKET_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0


def connect(url: str) -> Redis:
    """A client on `url`. Opens nothing yet. Every step may be sent twice after a lost reply: they all bear it."""
    try:
        return Redis.from_url(
            url,
            # RESP2 and no CLIENT SETINFO (redis-py reads package metadata for it): a connection costs a third less.
            protocol=2,
            driver_info=None,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            health_check_interval=30,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), retries=3),
        )
    except ValueError as e:
        raise ConfigError(f"redis.url {without_password(url)} cannot be used: {e}") from None


def without_password(url: str) -> str:
    scheme, found, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else url


def address(client: Redis) -> str:
    """What to call the server in a message: its socket, or host:port. Never its password."""
    known: dict[str, Any] = client.connection_pool.connection_kwargs
    if path := known.get("path"):
        return f"unix://{path}"
    return f"{known.get('host', 'localhost')}:{known.get('port', 6379)}"


#: How a server's refusal begins → what to do about it.
REMEDIES = {
    "NOAUTH": "it asks for a password: put it into redis.url (redis://:PASSWORD@host:port)",
    "WRONGPASS": "user or password is wrong: correct redis.url",
    "NOPERM": "its user may not do this: give it the rights of the conductor's ACL",
    "OOM": "its memory is full: raise maxmemory, or let running jobs drain; nothing was written",
    "MISCONF": "it cannot write to its disk: make room there; nothing was written",
    "READONLY": "it is a replica: point redis.url at the primary",
    "LOADING": "it is still reading its data: try again in a moment",
    "BUSY": "it is busy with a script: try again in a moment",
}


@contextmanager
def translating(client: Redis) -> Generator[None]:
    """Redis's errors as `Unreachable` and `Fenced`. What is a fault of ours passes through."""
    try:
        yield
    except (exceptions.AuthenticationError, exceptions.ResponseError) as e:
        raise refusal(client, e) from None
    except exceptions.BusyLoadingError as e:
        raise refusal(client, e) from None
    except (exceptions.ConnectionError, exceptions.TimeoutError) as e:
        where = address(client)
        raise Unreachable(
            f"Redis at {where} cannot be reached ({e}); start it, or set redis.url in conductor.toml"
        ) from None


def refusal(client: Redis, error: exceptions.RedisError) -> Exception:
    text = str(error)
    first = text.split(" ", 1)[0].rstrip(":")
    if first == "FENCED":
        return Fenced(text.removeprefix("FENCED "))
    for word, remedy in REMEDIES.items():
        # Redis-py strips the word from some replies and puts it into the class; scripts put it behind their own.
        if first == word or f" {word} " in text or word.lower() in type(error).__name__.lower():
            return Unreachable(f"Redis at {address(client)} refused: {remedy} ({text})")
    if isinstance(error, exceptions.AuthenticationError):
        return Unreachable(f"Redis at {address(client)} refused: {REMEDIES['WRONGPASS']} ({text})")
    return error


def check_server(client: Redis) -> None:
    """Reach it, and warn where it may lose what it accepted. Raises `Unreachable`."""
    with translating(client):
        client.ping()
    where = address(client)
    try:
        told: dict[str, str] = client.config_get("maxmemory-policy", "appendonly")  # pyright: ignore[reportAssignmentType]
    except exceptions.ResponseError:
        return  # not for this user to ask
    if (policy := told.get("maxmemory-policy", "noeviction")) != "noeviction":
        logger.warning(
            f"Redis at {where} throws keys away when its memory is full (maxmemory-policy {policy}), jobs among them; "
            "remedy: CONFIG SET maxmemory-policy noeviction"
        )
    if told.get("appendonly", "yes") != "yes":
        logger.warning(
            f"Redis at {where} keeps no append-only file: what it holds is gone when it is killed; "
            "remedy: CONFIG SET appendonly yes (`conductor rebuild` restores from manifests and receipts)"
        )

"""The connection: lean, patient for a moment, and with errors in words that name the address and the remedy."""

from __future__ import annotations

from collections.abc import Generator, Mapping
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
#: Redis's first version in which the steps run: older ones answer INFO in a script with one section alone.
OLDEST = 7


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
    "OOM": "its memory is full, nothing was written: raise maxmemory (CONFIG SET maxmemory 0 lifts the limit)",
    "MISCONF": "it cannot write to its disk, nothing was accepted: make room there",
    "READONLY": "it is a replica: point redis.url at the primary",
    "LOADING": "it is still reading its data: try again in a moment",
    "BUSY": "it is busy with a script: try again in a moment",
}


#: redis-py takes the word off these and makes it a class.
CLASSES: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.AuthenticationError, "WRONGPASS"),
)


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
    if word := refusal(error, text):
        return Unreachable(f"Redis at {where} refused: {REMEDIES[word]} ({text})")
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError)):
        return Unreachable(f"Redis at {where} cannot be reached ({text}); start it, or set redis.url in conductor.toml")
    return error


def refusal(error: exceptions.RedisError, text: str) -> str | None:
    """The word of `REMEDIES` that a reply began with."""
    if text.startswith("Authentication required"):
        return "NOAUTH"
    if text.startswith("ACL failure in script"):
        return "NOPERM"
    for kind, word in CLASSES:
        if isinstance(error, kind):
            return word
    word = text.split(" ", 1)[0]
    return word if word in REMEDIES else None


def check_server(client: Redis, is_lenient: bool = False) -> None:
    """Reach it, and refuse one that is too old, or forgets what it accepted (`ConfigError`); `is_lenient`: of that only
    warn.

    Raises `Unreachable`."""
    with translating(client):
        client.ping()
    facts = server_facts(client)
    if fault := too_old(facts):
        raise ConfigError(f"Redis at {address(client)} {fault}")
    faults = [f"Redis at {address(client)} {fault}" for fault in distrust(facts)]
    if faults and not is_lenient:
        raise ConfigError(f"{'; and '.join(faults)}; or accept it knowingly: redis.is_volatile_ok = true")
    for fault in faults:
        logger.warning(fault)


def server_facts(client: Redis) -> dict[str, str]:
    """What INFO says of its version, persistence and memory; nothing where this user may not ask."""
    try:
        with client.pipeline(transaction=False) as pipe:
            # One section each: several in one call are new in 7.
            pipe.info("server")
            pipe.info("persistence")
            pipe.info("memory")
            sections: list[dict[str, Any]] = pipe.execute()
    except exceptions.ResponseError:
        return {}
    return {name: str(value) for section in sections for name, value in section.items()}


def too_old(facts: Mapping[str, str]) -> str:
    """What to do about a server in which the steps do not run; empty: they do, or nobody knows. Pure."""
    version = facts.get("redis_version", "")
    major = version.partition(".")[0]
    if not major.isdigit() or int(major) >= OLDEST:
        return ""
    return f"is version {version}: take Redis {OLDEST} or newer, or any Valkey (redis.url in conductor.toml)"


def distrust(facts: Mapping[str, str]) -> Generator[str]:
    """Why such a server cannot be trusted with jobs, and what to do about it. Pure."""
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield (
            f"throws keys away when its memory is full (maxmemory-policy {policy}), jobs among them: "
            "CONFIG SET maxmemory-policy noeviction"
        )
    if facts.get("aof_enabled", "1") != "1":
        yield "keeps no append-only file, so what it holds is gone when it is killed: CONFIG SET appendonly yes"

"""What a Redis server must be before it is entrusted with a ledger: one that would do things halfway, or
forget them, is refused."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

from loguru import logger
from redis import ConnectionPool, Redis, exceptions
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from conductor.adapters.redis.client import SHOWN_CHARS, address, is_of_database, translated
from conductor.adapters.redis.durability import losses, replicated, watched
from conductor.adapters.redis.sentinel.following_connection import finder_of
from conductor.adapters.redis.sentinel.sentinels import Sentinels
from conductor.base.errors import ConfigError, Unreachable

#: Who does not answer the first word for so long is not waited for. Later there is more patience: then it is
#: known.
ANSWERS_S = 5.0
#: Redis's first version in which the steps run: older ones answer INFO in a script with one section alone.
OLDEST = 7
#: How redis-py says that the server spoke first.
SPOKE_FIRST = ("Connection not ready", "Connection has data")
HUNG_UP = ("reset by peer", "closed by server", "Broken pipe")


def check_server(client: Redis, is_lenient: bool = False) -> None:
    """Reach it, and refuse one in which the steps do not run, or that forgets what it accepted; `is_lenient`:
    of that only warn.

    Raises `ConfigError`, and `Unreachable` where it may be another one in a moment."""
    try:
        greet(client)
    except Unreachable as e:
        # What a server with a full disk holds can still be read.
        if not (is_lenient and "MISCONF" in str(e)):
            raise
        logger.warning("{}", e)
    facts = server_facts(client)
    where = f"Redis at {address(client)}"
    if fault := unfit(facts) or too_old(facts):
        raise ConfigError(f"{where} {fault}")
    if facts.get("role") == "slave":
        raise Unreachable(f"{where} is a replica: point redis.url at the primary")
    faults = [f"{where} {fault}" for fault in distrust(facts)]
    if faults and not is_lenient:
        raise ConfigError(f"{'; and '.join(faults)}; or accept it knowingly: redis.is_volatile_ok = true")
    for fault in faults:
        logger.warning(fault)


def greet(client: Redis) -> None:
    """The first word with whatever is there. Raises `Unreachable`, or `ConfigError`, in one sentence in
    any case.
    """
    try:
        with _impatient(client) as asking:
            asking.ping()
    except exceptions.RedisError as e:
        error = _unasked(client) or e if str(e) in SPOKE_FIRST else e
        # A cluster has one database, and that it is a cluster is what is to be said.
        fault = _unfit_elsewhere(client) if is_of_database(error) else ""
        raise (
            ConfigError(f"Redis at {address(client)} {fault}") if fault else _explained(client, error)
        ) from None


def _unfit_elsewhere(client: Redis) -> str:
    """`unfit` of a server whose database the client cannot have."""
    try:
        with _impatient(client, db=0) as asking:
            return unfit(server_facts(asking))
    except exceptions.RedisError:
        return ""


def _explained(client: Redis, error: exceptions.RedisError) -> Exception:
    told, text, where = translated(client, error), str(error)[:SHOWN_CHARS], address(client)
    if told is error:
        return Unreachable(
            f"Redis at {where} refused ({text}): correct redis.url, or the server's configuration"
        )
    if isinstance(error, exceptions.TimeoutError) and "connecting" not in text:
        return Unreachable(f"Redis at {where} does not answer: restart it, or correct redis.url")
    if any(words in text for words in HUNG_UP):
        return Unreachable(
            f"Redis at {where} hangs up ({text}): write rediss:// if it speaks TLS, or correct redis.url"
        )
    return told


@contextmanager
def _impatient(client: Redis, **others: Any) -> Generator[Redis]:
    """A client like it for the first word: a connection that fails is tried again, silence is not."""
    pool = client.connection_pool
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.02), 3, supported_errors=(exceptions.ConnectionError,))
    options: dict[str, Any] = {
        **pool.connection_kwargs,
        "socket_timeout": ANSWERS_S,
        "retry": retry,
        **others,
    }
    own = ConnectionPool(connection_class=pool.connection_class, **options)
    with Redis(connection_pool=own) as asking:
        try:
            yield asking
        finally:
            own.disconnect()


def _unasked(client: Redis) -> exceptions.RedisError | None:
    """What a server says before it was asked anything, when it turns somebody away."""
    connection: Any = client.connection_pool.make_connection()
    try:
        connection.connect()
        connection.read_response()
    except exceptions.RedisError as e:
        return e
    finally:
        connection.disconnect()
    return None


def unfit(facts: Mapping[str, str]) -> str:
    """What to do about a server of another kind than one that holds data by itself; empty: it is one.
    Pure.
    """
    # Valkey calls it by a name of its own.
    mode = facts.get("redis_mode") or facts.get("server_mode") or ""
    if mode == "cluster":
        return (
            "is one of a Redis Cluster, over which the keys of a step would lie scattered: point "
            "redis.url at a "
            "server that is none"
        )
    if mode == "sentinel":
        return (
            "is a Sentinel, which holds no data: write redis+sentinel://HOST:26379,…/NAME/0, or point "
            "redis.url at the server that it watches"
        )
    return ""


def server_facts(client: Redis) -> dict[str, str]:
    """What INFO says of its kind, persistence, memory and part in a replication; nothing where it is not
    told.
    """
    try:
        with client.pipeline(transaction=False) as pipe:
            # One section each: several in one call are new in 7.
            pipe.info("server")
            pipe.info("persistence")
            pipe.info("memory")
            pipe.info("replication")
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
        yield (
            "keeps no append-only file, so what it holds is gone when it is killed: CONFIG SET appendonly yes"
        )


def risks(client: Redis) -> list[tuple[str, str]]:
    """What of acknowledged work this server can lose, and what to do about it (`durability.py`)."""
    try:
        told = cast(dict[str, str], client.config_get("min-replicas-*", "appendfsync"))
        config = {str(name): str(value) for name, value in told.items()}
    except exceptions.ResponseError:
        config = {}  # The conductor's own user may not ask.
    finder, seen = finder_of(client), None
    if finder is not None:
        asked = Sentinels(finder.url)
        for place in finder.url.sentinels:
            with suppress(exceptions.RedisError):
                seen = watched(asked.watched(place), len(finder.url.sentinels))
                break
        asked.close()
    return list(losses(replicated(server_facts(client), config), seen))

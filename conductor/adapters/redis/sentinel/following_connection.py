"""Connections that follow the primary: each is made to the server that is it at that moment."""

from __future__ import annotations

from typing import Any

from redis import Connection, ConnectionPool, Redis, SSLConnection, exceptions

from conductor.adapters.redis.sentinel.primary_finder import PrimaryFinder
from conductor.adapters.redis.sentinel.sentinel_url import SentinelUrl, shown
from conductor.adapters.redis.sentinel.sentinels import Sentinels

#: How a server answers that has just been made a replica: to a write, to who waits in a blocking command,
#: and where it does not answer old data for new.
_DEMOTED = ("READONLY", "UNBLOCKED", "MASTERDOWN")


class Following(Connection):
    """Not redis-py's `SentinelManagedConnection`: that one goes back to its old server when a command finds
    it closed, and trusts the first Sentinel that answers."""

    def __init__(self, *, finder: PrimaryFinder, **options: Any) -> None:
        self._finder = finder
        super().__init__(**options)

    def _connect(self) -> Any:
        place = self._finder.primary()
        self.host, self.port = place
        sock = super()._connect()
        self._finder.connected(sock, place)
        return sock

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health)
        # A Sentinel may not know yet that its primary is none any more.
        self.send_command("INFO", "replication", check_health=False)
        if b"role:slave" in self.read_response(disable_decoding=True):
            self.disconnect()
            raise exceptions.ConnectionError(
                f"{shown((self.host, self.port))} is a replica, and no other server has taken its place yet"
            )

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)
        except exceptions.RedisError as e:
            if not is_demoted(e):
                raise
            # The next connection asks the Sentinels again.
            self.disconnect()
            raise exceptions.ConnectionError(
                f"{shown((self.host, self.port))} is the primary no more ({e})"
            ) from None


class FollowingTls(Following, SSLConnection):
    pass


def following_pool(url: SentinelUrl, options: dict[str, Any]) -> ConnectionPool:
    """Nothing is asked or opened yet. `options`: redis-py's, of connections to the primary."""
    kind = FollowingTls if url.has_tls else Following
    finder = PrimaryFinder(url, Sentinels(url).primary)
    return ConnectionPool(connection_class=kind, finder=finder, **{**options, **url.options})


def finder_of(client: Redis) -> PrimaryFinder | None:
    """Also of a client that was made like another one of these. None: its server is always the same."""
    return client.connection_pool.connection_kwargs.get("finder")


def is_demoted(error: exceptions.RedisError) -> bool:
    return isinstance(error, (exceptions.ReadOnlyError, exceptions.MasterDownError)) or str(error).startswith(
        _DEMOTED
    )

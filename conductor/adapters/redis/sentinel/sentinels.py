"""The Sentinels, asked."""

from __future__ import annotations

from typing import Any, cast

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from conductor.adapters.redis.sentinel.primary_finder import NamedPrimary
from conductor.adapters.redis.sentinel.sentinel_url import HostPort, SentinelUrl

#: One that does not answer is not waited for longer.
ANSWERS_S = 0.5


class Sentinels:
    """Connections to them, kept. By the name that each is called in the address."""

    def __init__(self, url: SentinelUrl) -> None:
        self._url = url
        self._clients: dict[HostPort, Redis] = {}

    def primary(self, place: HostPort) -> NamedPrimary:
        """Raises redis-py's errors, also where this one does not know the name."""
        epoch = int(self.watched(place)["config-epoch"])
        # Behind the epoch: a failover between the two is taken for the one before, never the other way round.
        found = cast(Any, self._client(place).sentinel_get_master_addr_by_name(self._url.service))
        if found is None:
            raise exceptions.ResponseError(f"No such master with name {self._url.service}")
        host, port = found
        return NamedPrimary(epoch=epoch, place=(_text(host), int(port)))

    def watched(self, place: HostPort) -> dict[str, Any]:
        """What it knows of the primary: `quorum`, `num-slaves`, `down-after-milliseconds`, …"""
        return cast(dict[str, Any], self._client(place).sentinel_master(self._url.service))

    def _client(self, place: HostPort) -> Redis:
        if place not in self._clients:
            host, port = place
            options: dict[str, Any] = {
                "protocol": 2,
                "driver_info": None,
                **self._url.sentinel_options,
                "socket_timeout": ANSWERS_S,
                "socket_connect_timeout": ANSWERS_S,
                "retry": Retry(NoBackoff(), 1),
            }
            self._clients[place] = Redis(host=host, port=port, ssl=self._url.has_tls, **options)
        return self._clients[place]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def _text(word: bytes | str) -> str:
    return word.decode() if isinstance(word, bytes) else word

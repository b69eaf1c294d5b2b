"""Can a Redis lose what it acknowledged, and how is that door shut. Pure: of what the server and its
Sentinels say.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from msgspec import Struct

#: A failover is to be over within ten seconds: the Sentinels may wait for so much of it.
MOST_DOWN_AFTER_MS = 6000
#: Fewer cannot lose one of them and still be a majority.
FEWEST_SENTINELS = 3


class PrimaryView(Struct, frozen=True, kw_only=True):
    """A primary, as it speaks of itself."""

    replicas: int
    #: It takes writes only while so many replicas are near; None: it does not say.
    min_replicas: int | None
    #: Seconds after which a silent replica is not near any more.
    max_lag_s: int | None
    appendfsync: str | None


class SentinelView(Struct, frozen=True, kw_only=True):
    """The same, as a Sentinel sees it."""

    #: With the one that says so.
    sentinels: int
    #: In `redis.url`.
    named: int
    quorum: int
    down_after_ms: int


def replicated(facts: Mapping[str, str], config: Mapping[str, str]) -> PrimaryView:
    """`facts`: INFO. `config`: CONFIG GET, empty where this user may not ask."""
    asked = config.get("min-replicas-to-write")
    # INFO names the replicas that are near where it goes by them at all.
    known = 1 if "min_slaves_good_slaves" in facts else 0
    return PrimaryView(
        replicas=int(facts.get("connected_slaves", 0)),
        min_replicas=known if asked is None else int(asked),
        max_lag_s=None if asked is None else int(config.get("min-replicas-max-lag", 0)),
        appendfsync=config.get("appendfsync"),
    )


def watched(told: Mapping[str, Any], named: int) -> SentinelView:
    """`told`: SENTINEL MASTER."""
    return SentinelView(
        sentinels=int(told["num-other-sentinels"]) + 1,
        named=named,
        quorum=int(told["quorum"]),
        down_after_ms=int(told["down-after-milliseconds"]),
    )


def losses(server: PrimaryView, seen: SentinelView | None) -> Generator[tuple[str, str]]:
    """What may be lost or stand still, and what to do about it. Nothing of that is lost for good: the ledger
    is made whole from journal and receipts."""
    if seen is not None:
        yield from of_sentinels(seen)
        if server.replicas == 0:
            yield "it has no replica, so nobody can take over", "add one: REPLICAOF HOST PORT"
    if server.replicas and not server.min_replicas:
        yield (
            "what it acknowledged and no replica has heard is forgotten at a failover, and cut off from its "
            "replicas it takes writes for nobody",
            "CONFIG SET min-replicas-to-write 1 and min-replicas-max-lag 5, on each server, CONFIG REWRITE",
        )
    elif server.min_replicas and server.replicas <= server.min_replicas:
        yield (
            f"it takes no write once one of its {server.replicas} replicas is away (min-replicas-to-write "
            f"{server.min_replicas})",
            "add a replica, or lower it",
        )
    if server.max_lag_s and server.min_replicas and server.max_lag_s > MOST_DOWN_AFTER_MS / 1000:
        yield (
            f"cut off from its replicas it takes writes for {server.max_lag_s} s that are forgotten",
            "CONFIG SET min-replicas-max-lag 5",
        )
    if server.appendfsync not in (None, "always"):
        yield (
            f"a power cut of its host costs its last second (appendfsync {server.appendfsync})",
            "CONFIG SET appendfsync always, at a third of the rate",
        )


def of_sentinels(seen: SentinelView) -> Generator[tuple[str, str]]:
    if seen.sentinels < FEWEST_SENTINELS:
        yield (
            f"{seen.sentinels} of the Sentinels know each other: without a majority none may name another "
            "primary",
            f"run {FEWEST_SENTINELS} or more, on different hosts",
        )
    elif seen.quorum > seen.sentinels:
        yield (
            f"{seen.quorum} Sentinels have to agree, and there are {seen.sentinels}",
            f"SENTINEL SET NAME quorum {seen.sentinels // 2 + 1}",
        )
    if seen.named < min(2, seen.sentinels):
        yield "redis.url names one Sentinel: without it nobody is found", "name all of them in redis.url"
    if seen.down_after_ms > MOST_DOWN_AFTER_MS:
        yield (
            f"for {seen.down_after_ms / 1000:g} s after its primary has gone nobody takes over",
            "SENTINEL SET NAME down-after-milliseconds 5000, on each",
        )

"""What `doctor` says of acknowledged work that a set-up can lose."""

from __future__ import annotations

import pytest

from conductor.adapters.redis.durability import PrimaryView, SentinelView, losses, replicated, watched

SAFE = PrimaryView(replicas=2, min_replicas=1, max_lag_s=5, appendfsync="always")
SEEN = SentinelView(sentinels=3, named=3, quorum=2, down_after_ms=5000)


def test_a_set_up_that_loses_nothing_has_nothing_to_say() -> None:
    assert list(losses(SAFE, SEEN)) == []
    alone = PrimaryView(replicas=0, min_replicas=0, max_lag_s=10, appendfsync="always")
    assert list(losses(alone, None)) == []


@pytest.mark.parametrize(
    ("server", "seen", "words"),
    [
        (PrimaryView(replicas=0, min_replicas=0, max_lag_s=10, appendfsync=None), SEEN, "has no replica"),
        (
            PrimaryView(replicas=2, min_replicas=0, max_lag_s=10, appendfsync=None),
            SEEN,
            "no replica has heard",
        ),
        (PrimaryView(replicas=1, min_replicas=1, max_lag_s=5, appendfsync=None), SEEN, "no write once one"),
        (PrimaryView(replicas=2, min_replicas=1, max_lag_s=60, appendfsync=None), SEEN, "for 60 s"),
        (PrimaryView(replicas=2, min_replicas=1, max_lag_s=5, appendfsync="everysec"), SEEN, "last second"),
        (SAFE, SentinelView(sentinels=2, named=2, quorum=2, down_after_ms=5000), "2 of the Sentinels"),
        (SAFE, SentinelView(sentinels=3, named=3, quorum=4, down_after_ms=5000), "4 Sentinels have to agree"),
        (SAFE, SentinelView(sentinels=3, named=1, quorum=2, down_after_ms=5000), "names one Sentinel"),
        (SAFE, SentinelView(sentinels=3, named=3, quorum=2, down_after_ms=30000), "for 30 s after"),
    ],
)
def test_each_door_is_named_alone(server: PrimaryView, seen: SentinelView, words: str) -> None:
    ((said, advice),) = losses(server, seen)
    assert words in said and advice


def test_what_servers_say_is_read() -> None:
    config = {"min-replicas-to-write": "1", "min-replicas-max-lag": "5", "appendfsync": "everysec"}
    assert replicated({"connected_slaves": "2"}, config) == PrimaryView(
        replicas=2, min_replicas=1, max_lag_s=5, appendfsync="everysec"
    )
    # Of a user that may not ask for the configuration only what INFO says.
    facts = {"connected_slaves": "1", "min_slaves_good_slaves": "1"}
    assert replicated(facts, {}) == PrimaryView(replicas=1, min_replicas=1, max_lag_s=None, appendfsync=None)
    told = {"num-other-sentinels": 2, "quorum": 2, "down-after-milliseconds": 1000}
    assert watched(told, 3) == SentinelView(sentinels=3, named=3, quorum=2, down_after_ms=1000)

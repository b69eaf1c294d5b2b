"""When the keeper looks again."""

from __future__ import annotations

from typing import Any, cast

from conductor.base.errors import Unreachable
from conductor.ports import Attempts
from workers.attempt.lease_keeper import Keeper
from workers.isolation.stop_signals import Stopping


class Unreached:
    """A ledger that cannot be reached."""

    def renew(self, *args: Any) -> None:
        raise Unreachable("no Redis")


def test_after_a_renewal_that_did_not_arrive_it_does_not_sleep_until_the_next_sample():
    keeper = Keeper(cast(Attempts, Unreached()), "w1", 30.0, Stopping(), lambda held: None)

    assert keeper._round() <= 0.25  # pyright: ignore[reportPrivateUsage]

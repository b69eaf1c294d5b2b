"""When the keeper looks again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from conductor.base.errors import Unreachable
from conductor.model.receipt import Usage
from conductor.ports import Attempts
from workers.attempt.lease_keeper import Keeper
from workers.isolation.held_attempt import Held
from workers.isolation.stop_signals import Stopping


class Unreached:
    """A ledger that cannot be reached."""

    def renew(self, *args: Any) -> None:
        raise Unreachable("no Redis")


def test_after_a_renewal_that_did_not_arrive_it_does_not_sleep_until_the_next_sample():
    keeper = Keeper(cast(Attempts, Unreached()), "w1", 30.0, Stopping(), lambda held: None)

    assert keeper._round() <= 0.25  # pyright: ignore[reportPrivateUsage]


def test_leases_are_renewed_before_anything_is_measured():
    """Which may take long on a busy host."""
    did: list[str] = []

    class Noting(Unreached):
        def renew(self, *args: Any) -> None:
            did.append("renewed")
            super().renew()

    def sample() -> None:
        did.append("measured")

    keeper = Keeper(cast(Attempts, Noting()), "w1", 30.0, Stopping(), lambda held: None)
    meter: Any = SimpleNamespace(sample=sample, usage=Usage, beyond="")
    reservation: Any = SimpleNamespace(job_id="job00001", attempt=1, task="mine.write", node="n", devices=())
    held = Held(reservation, meter, 0.0)
    held.is_running = True
    keeper.hold(held)

    keeper._round()  # pyright: ignore[reportPrivateUsage]

    assert did == ["renewed", "measured"]

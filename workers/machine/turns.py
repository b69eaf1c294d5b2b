"""What is brought to the ledger and what it answers: one turn at a time, asked until it is answered."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from conductor.model.ledger_entries import Begun, Started, Turned, WorkerTurn
from workers.machine.actions import (
    Action,
    HandIn,
    HoldLeases,
    PutBack,
    Recall,
    ReleaseLeases,
    SendTurn,
    Take,
    Understand,
    Write,
)

if TYPE_CHECKING:
    from workers.attempt.attempt import Attempt
    from workers.attempt.outcome import Done, Unpublished
    from workers.isolation.held_attempt import Held
    from workers.machine.batching import Batching
    from workers.machine.held_attempts import Hand, Key
    from workers.machine.interrupts import Interrupts

#: While the ledger hands nothing out it is asked again so often.
CLOSED_S = 0.1
#: Redis is away: asked again so often, for as long as it takes. The work in hand is worth the wait.
AGAIN_S = 0.5


class Asking:
    """A turn on its way."""

    def __init__(self, turn: WorkerTurn, done: tuple[Done, ...], asked_at: float) -> None:
        self.turn = turn
        self.done = done
        self.asked_at = asked_at
        self.wait_s = 0.0
        self.is_refused = self.is_unheard = False


class LedgerTurns:
    """One worker's. Times are monotonic."""

    def __init__(
        self,
        worker: str,
        queue: str,
        lease_s: float,
        hand: Hand,
        interrupts: Interrupts,
        batching: Batching,
        orders: deque[Action],
        in_hand: Sequence[Key],
    ) -> None:
        self._worker, self._queue, self._lease_s = worker, queue, lease_s
        self._hand = hand
        self._interrupts = interrupts
        self._batching = batching
        self._orders = orders
        #: Entries that were taken from the queue, and not brought to the ledger.
        self._in_hand = tuple(in_hand)
        self._numbers = (f"{worker}:{n}" for n in itertools.count(1))
        #: The ledger's step as this worker was told it last.
        self._seen = 0
        self._asking: Asking | None = None
        self._taking: WorkerTurn | None = None
        self._opening: Understand | None = None
        self._confirmed: tuple[Held, ...] = ()
        self._step = 0
        self._handing: HandIn | None = None
        self._has_left = False

    # ── events ────────────────────────────────────────────────────────────────────────────────────────────

    def taken(self, turned: Turned, asked_at: float) -> Sequence[Key]:
        """What came of the turn behind a take. `asked_at`: its leases have begun since then. → as
        `answered`
        """
        self._taking = None
        return self._accept(turned, asked_at)

    def lost(self) -> None:
        """All was put back, or the ledger cannot be asked before this worker leaves: its supervisor finds
        what it holds."""
        self._has_left = True

    def answered(self, turned: Turned) -> Sequence[Key]:
        """→ what it was told to run, and has in hand already: once is enough."""
        asking = self._asking
        assert asking is not None, "it was asked"
        asking.is_unheard = False
        if turned.refused:
            asking.is_refused = True
            return ()
        if turned.is_closed and asking.turn.in_hand and not self._interrupts.is_asked:
            asking.wait_s = CLOSED_S
            return ()
        return self._over(asking, turned)

    def unreachable(self) -> None:
        assert self._asking is not None, "it was asked"
        self._asking.is_unheard, self._asking.wait_s = True, AGAIN_S

    def understood(self, attempts: Sequence[Attempt]) -> None:
        """Of those that were started. The others are over, and their ends known to the ledger."""
        self._opening = None
        self._hold(tuple(self._hand.take(attempt) for attempt in attempts))

    def written(self, unwritten: Sequence[Unpublished]) -> None:
        """Of what is done, all but these is on disk."""
        self._hand.write(unwritten)

    def handed_in(self) -> None:
        self._handing = None
        for attempt in self._hand.brought:
            self._interrupts.forget((attempt.job_id, attempt.number))
        self._orders.append(ReleaseLeases(self._hand.brought_in()))

    # ── what follows ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def opening(self) -> Understand | None:
        return self._opening

    @property
    def handing(self) -> HandIn | None:
        return self._handing

    @property
    def needs_end_of_follower(self) -> bool:
        """The ledger refused one that has begun, or never answered: its body has to end first, for until then
        its predecessor's place is not given up."""
        asking = self._asking
        return asking is not None and (
            asking.is_refused or (asking.is_unheard and self._interrupts.is_urgent)
        )

    def asking(self) -> SendTurn | None:
        """What is on its way, once more where it has to be. Nobody follows who may not."""
        asking = self._asking
        if asking is None:
            return None
        if asking.is_unheard and self._interrupts.is_urgent:
            # Interrupts to leave first: the leases run out then, the receipts stay.
            self._over(asking, None)
            return None
        if asking.is_refused:
            asking.is_refused, asking.wait_s = False, 0.0
            asking.turn = msgspec.structs.replace(asking.turn, number=next(self._numbers), begun=())
        return SendTurn(asking.turn, asking.wait_s)

    def due(self, now: float) -> Write | SendTurn | None:
        hand = self._hand
        is_due = (
            hand.leaving or hand.written or self._in_hand or (hand.not_begun and hand.given)
            or self._batching.is_due(now)
        )  # fmt: skip
        if not is_due:
            return None
        # Receipts to disk first: from then on the results count, whoever is killed.
        return Write(tuple(hand.done)) if hand.done else self._bring(now)

    def idle(self) -> Take | Recall | PutBack | None:
        """Nothing is in hand."""
        assert not self._hand.reported(), "something is held, and nothing is to be done for it"
        if not self._queue or self._has_left:
            return None
        if self._interrupts.is_asked:
            return Recall() if self._taking is not None else PutBack()
        self._taking = self._taking or self._a_turn(is_from_hand=True)
        return Take(self._taking)

    def _bring(self, now: float) -> SendTurn:
        done, leaving, not_begun = self._hand.bring()
        turn = self._a_turn(
            done=tuple(each.receipt for each in done),
            returned=tuple((attempt.job_id, attempt.number) for attempt in leaving),
            in_hand=self._in_hand,
            begun=self._begun(),
            not_begun=not_begun,
        )
        self._in_hand = ()
        self._asking = Asking(turn, done, now)
        return SendTurn(turn, 0.0)

    def _a_turn(self, **what: Any) -> WorkerTurn:
        most, budget_s = self._batching.room()
        task_durations = self._batching.task_durations
        return WorkerTurn(
            worker=self._worker,
            queue=self._queue,
            lease_s=self._lease_s,
            number=next(self._numbers),
            most=most,
            budget_s=budget_s,
            task_durations=task_durations.short(),
            is_idle=self._hand.is_idle,
            news=task_durations.news(),
            seen=self._seen,
            **what,
        )

    def _begun(self) -> tuple[Begun, ...]:
        follower = self._hand.follower
        return () if follower is None or follower.behind is None else (follower.behind,)

    # ── answers ───────────────────────────────────────────────────────────────────────────────────────────

    def _over(self, asking: Asking, turned: Turned | None) -> Sequence[Key]:
        self._asking = None
        self._handing = HandIn(asking.done, turned.answers if turned else (None,) * len(asking.done))
        return self._accept(turned or Turned(), asking.asked_at)

    def _accept(self, turned: Turned, asked_at: float) -> Sequence[Key]:
        """All that the ledger has started is in hand with this, or is about to be."""
        valid_until = asked_at + self._lease_s
        hand, follower = self._hand, self._hand.follower
        new: dict[Key, Started] = {}
        twice: list[Key] = []
        for started in turned.started:
            key = started.reservation.job_id, started.reservation.attempt
            if follower is not None and key == (follower.job_id, follower.number):
                self._confirmed = (hand.confirm(started, valid_until),)
                follower = None
            elif hand.has(*key) or key in new:
                twice.append(key)
            else:
                new[key] = started
        self._step = turned.step
        if new:
            self._opening = Understand(tuple(new.values()), valid_until)
        else:
            self._hold(())
        return twice

    def _hold(self, helds: tuple[Held, ...]) -> None:
        """Only with the last of them: what it has not seen of its own, the ledger does not take for
        dropped.
        """
        self._seen = max(self._seen, self._step)
        self._orders.append(HoldLeases(self._confirmed + helds, self._step))
        self._confirmed = ()

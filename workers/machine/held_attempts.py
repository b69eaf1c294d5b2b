"""What one worker answers for. Each attempt is in exactly one place, and to move it is all that can be done
with it: there is no list of attempts that a caller could forget.

```
take ─▶ waiting ─ give ─▶ given ─ end ─▶ ended ─ succeed ─▶ done ─ write ─▶ written ─┐
  ▲        │ ▲              ▲ │            └─ fail ─▶ failing ◀─────┘                ├─ bring ─▶ brought
  │        │ └─ take_back ──│─┘                          └─ out                      │
  │        └─ leave ─▶ leaving ──────────────────────────────────────────────────────┘
started         preload ─┘ (a successor: taken back, it is a word for the ledger)
```
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from workers.task_api.failure_causes import AttemptFault

if TYPE_CHECKING:
    from conductor.model.ledger_entries import Begun, Started
    from workers.attempt.attempt import Attempt
    from workers.attempt.outcome import Done, Unpublished
    from workers.isolation.held_attempt import Held
    from workers.isolation.protocol import BodyEnded

#: (job id, number)
Key = tuple[str, int]


class AttemptEnd(NamedTuple):
    """`Ended` is the body's own word, `Fault` what was seen from outside."""

    attempt: Attempt
    said: BodyEnded | AttemptFault


class Hand:
    """One worker's, main thread only. Pure.

    Who is preloaded has no lease: it is the ledger's only once it has been `confirm`ed.
    """

    def __init__(self) -> None:
        self._leased: dict[Key, Held] = {}
        self._waiting: deque[Attempt] = deque()
        self._given: deque[Attempt] = deque()
        self._ended: deque[AttemptEnd] = deque()
        self._failing: list[Unpublished] = []
        self._done: list[Done] = []
        self._written: list[Done] = []
        self._leaving: list[Attempt] = []
        self._brought: list[Attempt] = []
        #: Lined up, and will not begin: the ledger is to be told.
        self._not_begun: list[Begun] = []

    # ── what lies where ───────────────────────────────────────────────────────────────────────────────────

    @property
    def waiting(self) -> Sequence[Attempt]:
        """Started in the ledger, not with the child."""
        return self._waiting

    @property
    def given(self) -> Sequence[Attempt]:
        """With the child, in order. The first is the one that runs, as far as was heard."""
        return self._given

    @property
    def ended(self) -> Sequence[AttemptEnd]:
        """Heard, and not published."""
        return self._ended

    @property
    def failing(self) -> Sequence[Unpublished]:
        """Nothing of them is in place, and the ledger does not know. The last one goes first."""
        return self._failing

    @property
    def done(self) -> Sequence[Done]:
        """Their outputs are in place, their receipts are not written."""
        return self._done

    @property
    def written(self) -> Sequence[Done]:
        """Their receipts are on disk, and the ledger does not know."""
        return self._written

    @property
    def leaving(self) -> Sequence[Attempt]:
        """Go back unbegun with the next turn."""
        return self._leaving

    @property
    def brought(self) -> Sequence[Attempt]:
        """The ledger is being told."""
        return self._brought

    @property
    def not_begun(self) -> Sequence[Begun]:
        return self._not_begun

    @property
    def is_idle(self) -> bool:
        """The child has nothing to do, and nothing waits for it."""
        return not (self._waiting or self._given or self._ended)

    @property
    def running(self) -> Attempt | None:
        return self._given[0] if self._given else None

    @property
    def successor(self) -> Attempt | None:
        """Lined up behind the one that runs, as far as is known here."""
        return self._given[1] if len(self._given) > 1 and self._given[1].behind is not None else None

    @property
    def follower(self) -> Attempt | None:
        """It was preloaded, the one before it has ended, and the ledger does not know yet that it has
        begun.
        """
        first = self._ended[0].attempt if self._ended else self.running
        return first if first is not None and first.behind is not None else None

    def in_child(self) -> Iterator[Attempt]:
        """With the child, or to be."""
        return chain(self._waiting, self._given)

    def reported(self) -> tuple[Key, ...]:
        """All that is renewed. Any thread's."""
        return tuple(self._leased)

    def has(self, job_id: str, number: int) -> bool:
        return (job_id, number) in self._leased

    # ── moves ─────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, attempt: Attempt) -> Held:
        """The ledger has started it: its lease is to be renewed."""
        self._waiting.append(attempt)
        return self._lease(attempt)

    def give(self, attempt: Attempt) -> None:
        """The child has it: the first of those that wait, or one that is preloaded."""
        if attempt.behind is None:
            assert self._waiting[0] is attempt, "in order"
            self._waiting.popleft()
        self._given.append(attempt)

    def confirm(self, started: Started, valid_until: float) -> Held:
        """The follower is an attempt of the ledger's now, and its lease is to be renewed."""
        follower = self.follower
        assert follower is not None, "it was begun"
        follower.is_started(started, valid_until)
        return self._lease(follower)

    def take_back(self, count: int) -> None:
        """The last so many of what was given have not begun: they wait again, and successors are none any
        more.
        """
        for _ in range(count):
            attempt = self._given.pop()
            attempt.held.is_running = False
            if attempt.behind is None:
                self._waiting.appendleft(attempt)
                continue
            self._not_begun.append(attempt.behind)
            if self._given:
                self._given[-1].held.behind = {}

    def refuse(self, preloaded: Begun) -> None:
        """It cannot be preloaded here."""
        self._not_begun.append(preloaded)

    def end(self, said: BodyEnded | AttemptFault) -> None:
        """The first of what was given is over."""
        self._ended.append(AttemptEnd(self._given.popleft(), said))

    def end_unbegun(self, said: BodyEnded | AttemptFault) -> None:
        """The first of those that wait is over without a body."""
        self._ended.append(AttemptEnd(self._waiting.popleft(), said))

    def succeed(self, done: Done) -> None:
        """The first of what has ended is in place."""
        self._ended.popleft()
        self._done.append(done)

    def fail(self, unpublished: Unpublished) -> None:
        """The first of what has ended is not in place."""
        self._ended.popleft()
        self._failing.append(unpublished)

    def write(self, unwritten: Iterable[Unpublished]) -> None:
        """The receipts of what is done are on disk, but for these: they failed after all."""
        for each in unwritten:
            self._done = [done for done in self._done if done.attempt is not each.attempt]
            self._failing.append(each)
        self._written += self._done
        self._done.clear()

    def out(self, unpublished: Unpublished) -> Held | None:
        """It failed, and the ledger knows; or it was dropped, for it is another worker's."""
        self._failing.remove(unpublished)
        return self._drop(unpublished.attempt)

    def leave(self) -> None:
        """Whatever waits goes back with the next turn."""
        self._leaving += self._waiting
        self._waiting.clear()

    def bring(self) -> tuple[tuple[Done, ...], tuple[Attempt, ...], tuple[Begun, ...]]:
        """To the ledger, until `brought_in`: what is done, what goes back, who of those preloaded will not
        begin.
        """
        done, leaving, not_begun = tuple(self._written), tuple(self._leaving), tuple(self._not_begun)
        self._brought += [*(each.attempt for each in done), *leaving]
        self._written.clear()
        self._leaving.clear()
        self._not_begun.clear()
        return done, leaving, not_begun

    def brought_in(self) -> tuple[Held, ...]:
        """The ledger knows: their leases are over."""
        helds = [self._drop(attempt) for attempt in self._brought]
        self._brought.clear()
        return tuple(held for held in helds if held is not None)

    def _lease(self, attempt: Attempt) -> Held:
        self._leased[attempt.job_id, attempt.number] = attempt.held
        return attempt.held

    def _drop(self, attempt: Attempt) -> Held | None:
        return self._leased.pop((attempt.job_id, attempt.number), None)

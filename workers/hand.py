"""What one worker answers for. Each attempt is in exactly one place, and to move it is all that can be done with it:
there is no list of attempts that a caller could forget.

```
take ─▶ waiting ─ give ─▶ given ─ end ─▶ ended ─ pick ─▶ concluded ─ succeed ─▶ done ──┐
  ▲        │ ▲              ▲ │                              └─ out (failed, dropped)   ├─ bring ─▶ brought ─ brought_in
  │        │ └─ take_back ──│─┘                                                         │
  │        └─ leave ─▶ leaving ─────────────────────────────────────────────────────────┘
started         line_up ─┘ (an heir: taken back, it is a word for the ledger)
```
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from workers.causes import Fault
from workers.protocol import Ended

if TYPE_CHECKING:
    from conductor.model.entries import Begun, Started
    from workers.attempt import Attempt
    from workers.lease import Held
    from workers.outcome import Done

#: (job id, number)
Key = tuple[str, int]


class End(NamedTuple):
    """`Ended` is the body's own word, `Fault` what was seen from outside."""

    attempt: Attempt
    said: Ended | Fault


class Hand:
    """One worker's, main thread only; pure but for `hold` and `release`, which begin and end the renewing of a lease.

    Who is lined up has no lease: it is the ledger's only once it has been `confirm`ed.
    """

    def __init__(self, hold: Callable[[Held], None], release: Callable[[Held], None]) -> None:
        self._hold = hold
        self._release = release
        self._leased: dict[Key, Held] = {}
        self._waiting: deque[Attempt] = deque()
        self._given: deque[Attempt] = deque()
        self._ended: deque[End] = deque()
        self._concluded: list[Attempt] = []
        self._done: list[Done] = []
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
    def has_ended(self) -> bool:
        """An end was heard that nobody has picked."""
        return bool(self._ended)

    @property
    def done(self) -> Sequence[Done]:
        """Their outputs are in place, and the ledger does not know."""
        return self._done

    @property
    def leaving(self) -> Sequence[Attempt]:
        """Go back unbegun with the next turn."""
        return self._leaving

    @property
    def not_begun(self) -> Sequence[Begun]:
        return self._not_begun

    @property
    def is_busy(self) -> bool:
        """Something is still to be done for one of them."""
        return bool(self._waiting or self._given or self._ended or self._done or self._leaving)

    @property
    def is_idle(self) -> bool:
        """The child has nothing to do, and nothing waits for it."""
        return not (self._waiting or self._given or self._ended)

    @property
    def running(self) -> Attempt | None:
        return self._given[0] if self._given else None

    @property
    def heir(self) -> Attempt | None:
        """Lined up behind the one that runs, as far as is known here."""
        return self._given[1] if len(self._given) > 1 and self._given[1].behind is not None else None

    @property
    def follower(self) -> Attempt | None:
        """It was lined up, the one before it has ended, and the ledger does not know yet that it has begun."""
        first = self._ended[0].attempt if self._ended else self.running
        return first if first is not None and first.behind is not None else None

    def in_child(self) -> Iterator[Attempt]:
        """With the child, or to be."""
        return chain(self._waiting, self._given)

    def vouched(self) -> tuple[Key, ...]:
        """All that is renewed. Any thread's."""
        return tuple(self._leased)

    # ── moves ─────────────────────────────────────────────────────────────────────────────────────────────

    def has(self, job_id: str, number: int) -> bool:
        return (job_id, number) in self._leased

    def take(self, attempt: Attempt) -> None:
        """The ledger has started it."""
        self._lease(attempt)
        self._waiting.append(attempt)

    def give(self, attempt: Attempt) -> None:
        """The child has it: the first of those that wait, or one that is lined up."""
        if attempt.behind is None:
            assert self._waiting[0] is attempt, "in order"
            self._waiting.popleft()
        self._given.append(attempt)

    def confirm(self, started: Started, valid_until: float) -> None:
        """The follower is an attempt of the ledger's now."""
        follower = self.follower
        assert follower is not None, "it was begun"
        follower.is_started(started, valid_until)
        self._lease(follower)

    def take_back(self, count: int) -> None:
        """The last so many of what was given have not begun: they wait again, and heirs are none any more."""
        for _ in range(count):
            attempt = self._given.pop()
            attempt.held.is_running = False
            if attempt.behind is None:
                self._waiting.appendleft(attempt)
                continue
            self._not_begun.append(attempt.behind)
            if self._given:
                self._given[-1].held.behind = {}

    def refuse(self, lined: Begun) -> None:
        """It cannot be lined up here."""
        self._not_begun.append(lined)

    def end(self, said: Ended | Fault) -> None:
        """The first of what was given is over."""
        self._ended.append(End(self._given.popleft(), said))

    def pick(self) -> End | None:
        """The next that has ended, to be concluded: `succeed` or `out`."""
        if not self._ended:
            return None
        end = self._ended.popleft()
        self._concluded.append(end.attempt)
        return end

    def end_unbegun(self, said: Ended | Fault) -> End:
        """The first of those that wait is over without a body, and picked."""
        end = End(self._waiting.popleft(), said)
        self._concluded.append(end.attempt)
        return end

    def succeed(self, done: Done) -> None:
        self._concluded.remove(done.attempt)
        self._done.append(done)

    def out(self, attempt: Attempt) -> None:
        """It failed, and the ledger knows; or it was dropped, for it is another worker's."""
        self._concluded.remove(attempt)
        self._let_go(attempt)

    def unwritten(self, done: Iterable[Done]) -> None:
        """Their receipts could not be written: they failed after all."""
        for each in done:
            self._done.remove(each)
            self._let_go(each.attempt)

    def leave(self) -> None:
        """Whatever waits goes back with the next turn."""
        self._leaving += self._waiting
        self._waiting.clear()

    def bring(self) -> tuple[tuple[Done, ...], tuple[Attempt, ...], tuple[Begun, ...]]:
        """To the ledger, until `brought_in`: what is done, what goes back, who of those lined up will not begin."""
        done, leaving, not_begun = tuple(self._done), tuple(self._leaving), tuple(self._not_begun)
        self._brought += [*(each.attempt for each in done), *leaving]
        self._done.clear()
        self._leaving.clear()
        self._not_begun.clear()
        return done, leaving, not_begun

    def brought_in(self) -> None:
        for attempt in self._brought:
            self._let_go(attempt)
        self._brought.clear()

    def strand(self) -> Sequence[Attempt]:
        """With nothing to do nothing may be held. What is, goes back with the next turn; who it is."""
        stranded = [*self._concluded, *self._brought]
        self._concluded.clear()
        self._brought.clear()
        self._leaving += stranded
        return stranded

    def _lease(self, attempt: Attempt) -> None:
        self._leased[attempt.job_id, attempt.number] = attempt.held
        self._hold(attempt.held)

    def _let_go(self, attempt: Attempt) -> None:
        held = self._leased.pop((attempt.job_id, attempt.number), None)
        if held is not None:
            self._release(held)

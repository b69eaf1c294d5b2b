"""The attempts one worker has started, on their way: begun in order, ended one by one, handed in together.

A long job goes alone. Of short ones several are started in one step of the ledger, lie ready in the child, share an
fsync of their receipts and are accepted in the step that starts the next ones.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from loguru import logger

from conductor.core.tally import COUNTS
from conductor.model.entries import Begun, Started, Turn, Turned
from conductor.model.receipt import MOST_UNHEARD, Receipt
from workers import causes, kept
from workers.attempt import Attempt, Refused
from workers.attempt_parts import Parts
from workers.body import Course
from workers.causes import Fault
from workers.hand import End, Hand
from workers.heirs import Heirs
from workers.host import ChildBroken
from workers.outcome import Done, Runner
from workers.pace import TOGETHER_S, Paces
from workers.protocol import Ended

#: What is done is handed in after so long at the latest, while others go on.
FLUSH_S = 0.04
#: So much is to be left when a worker has its turn: the next are there before the child has run dry. Not for less than
#: half of that, so that many share a turn.
AHEAD_S = 0.05
#: A body that takes longer was none of the short ones: what waits behind it goes back, for others to take.
LONG_S = 0.1
#: While an heir is lined up it is looked so often whether it may still begin: new code, lost lease.
LOOK_S = 1.0
#: Given to the child ahead of time.
WINDOW = 32

#: How an attempt ended; None: it was not this worker's turn (any more).
OnEnd = Callable[[Receipt], None]


class Flow:
    """One worker's. `run` returns when all that it started has ended and the queue gave no more."""

    def __init__(self, parts: Parts, queue: str = "", on_end: OnEnd = lambda receipt: None) -> None:
        """`queue`: taken from as long as jobs are short; empty: nothing but what `run` is given."""
        self._parts = parts
        self._queue = queue
        self._on_end = on_end
        self._runner = Runner(parts, self._stop_follower)
        self._hand = Hand(parts.keeper.hold, parts.keeper.release)
        self._course = Course(parts.host, parts.stopping, self._hand)
        self._heirs = Heirs(parts, self._hand, self._course)
        parts.watchdog.over(self._course, self._hand)
        self._paces = Paces()
        #: When the first of those to be handed in was done.
        self._done_at = 0.0
        self._has_failed = False
        self._numbers = (f"{parts.worker}:{n}" for n in itertools.count(1))

    def run(self, in_hand: Sequence[tuple[str, int]]) -> None:
        """`in_hand`: (job id, attempt) of the entries that were taken from the queue."""
        with self._parts.claim.busy():
            self._turn(in_hand)
            self._go_on()

    def idle_turn(self) -> Turn:
        """For `Intake.take`: the turn behind the entry that wakes this worker."""
        return self._a_turn(is_from_hand=True)

    def run_taken(self, turned: Turned, asked_at: float) -> None:
        """What came of that turn. `asked_at`: (monotonic) its leases have begun since then."""
        with self._parts.claim.busy():
            self._start(turned, asked_at)
            # Told to leave while it waited: what came all the same goes back unbegun.
            self._reconsider()
            self._go_on()

    def _go_on(self) -> None:
        while self._hand.is_busy:
            self._feed()
            self._listen()
            self._heirs.line_up()
            self._reconsider()
            if self._is_turn_due():
                self._turn()
        if stranded := self._hand.strand():
            names = ", ".join(f"{attempt.job_id} attempt {attempt.number}" for attempt in stranded)
            logger.error("Held with nothing to do, and given back: {}", names)
            self._turn()

    # ── through the child ─────────────────────────────────────────────────────────────────────────────────

    def _feed(self) -> None:
        hand = self._hand
        while hand.waiting and self._course.can_take and len(hand.given) < WINDOW:
            attempt = hand.waiting[0]
            if hand.given and self._heirs.has_to_wait(attempt):
                return
            if (said := self._before(attempt)) is not None:
                self._conclude(hand.end_unbegun(said))
            elif not self._give(attempt):
                return

    def _before(self, attempt: Attempt) -> Ended | Fault | None:
        """How it ends without a body."""
        if attempt.held.verdict == "cancel":
            return causes.CANCELLED
        if attempt.held.verdict == "gone" or self._parts.stopping.is_urgent:
            return Fault("worker_lost", "the attempt was taken from its worker before it began")
        if (fault := self._runner.kept_back(attempt)) is not None:
            return fault
        layout, spec = self._parts.settings.layout, attempt.spec
        attempt.earlier = earlier = kept.find(layout, spec, attempt.number)
        kept.clean_before(layout, spec, attempt.number)
        if earlier is None:
            return None
        return Ended(job_id=attempt.job_id, attempt=attempt.number, result=earlier.result)

    def _give(self, attempt: Attempt) -> bool:
        """False: the child is gone with what it was given before, and who listens to it hears how."""
        hand = self._hand
        try:
            if not hand.given:
                self._course.ensure(attempt.visible)
            self._claim(attempt)
            self._course.give(attempt)
        except ChildBroken as e:
            if hand.given:
                return False
            if not self._course.give_up(attempt):
                self._conclude(hand.end_unbegun(Fault("worker_lost", causes.cut(str(e)))))
            return True
        # Noted once the body has begun, before anybody can have changed it.
        _ = attempt.code_version
        return True

    def _claim(self, attempt: Attempt) -> None:
        self._parts.claim.take(attempt.job_id, attempt.number, attempt.reserved, self._parts.host.pid)

    def _listen(self) -> None:
        hand = self._hand
        if hand.given or hand.has_ended:
            if (end := self._course.wait(self._patience_s(), self._nap_s())) is not None:
                self._conclude(end)
            if not hand.given:
                self._parts.host.tidy()
        elif hand.waiting and not self._course.can_take:
            self._course.let_pass(self._patience_s())

    def _patience_s(self) -> float | None:
        hand, now = self._hand, time.monotonic()
        limits: list[float] = []
        if hand.done:
            limits.append(self._done_at + FLUSH_S - now)
        if hand.heir is not None:
            limits.append(LOOK_S)
        elif hand.given and (hand.waiting or len(hand.given) > 1):
            limits.append(self._course.began_at + LONG_S - now)
        return max(0.0, min(limits)) if limits else None

    def _conclude(self, end: End) -> None:
        """What became of one that has ended: to be handed in, or settled with the ledger by now."""
        attempt, said = end
        if isinstance(said, Ended):
            if said.began_at is not None:
                attempt.began_at, attempt.left_running = said.began_at, said.left_running
            if said.files is not None:
                self._parts.host.watch(said.files, attempt.began_at)
            elif said.began_at is not None:
                # One that had to import its modules says nothing of the next.
                self._paces.saw(attempt.spec.task, said.seconds)
        if (follower := self._hand.follower) is not None and follower is self._hand.running:
            self._claim(follower)
        ended = self._runner.conclude(attempt, said)
        if isinstance(said, Ended):
            self._parts.host.weigh(said, attempt.held.meter.vram_now_mib)
            if said.warm is not None:
                self._parts.claim.keeps(said.warm)
        if isinstance(ended, Done):
            if not self._hand.done:
                self._done_at = time.monotonic() - _late_s(said)
            self._hand.succeed(ended)
            return
        self._hand.out(attempt)
        if ended is not None:
            self._has_failed |= COUNTS[ended.cause or "task_error"].when == "always"
            self._on_end(ended)

    # ── with the ledger ───────────────────────────────────────────────────────────────────────────────────

    def _reconsider(self) -> None:
        """The one that runs is not short after all, or this worker is to leave: others may have the rest.

        After a failure too: the next ones may fail alike, and the conductor says how many more of them are to try."""
        hand, course = self._hand, self._course
        is_long = bool(hand.given) and time.monotonic() >= course.began_at + LONG_S
        is_over = is_long or self._has_failed or self._parts.stopping.is_asked
        heir = hand.heir
        if heir is not None and (self._has_failed or self._parts.stopping.is_asked or self._heirs.is_doubtful(heir)):
            course.take_back(1)
        self._has_failed = False
        if hand.not_begun and hand.given:
            self._turn()
        if hand.heir is None and is_over and (hand.waiting or len(hand.given) > 1):
            course.take_back()
            hand.leave()
            if is_long and (running := hand.running) is not None:
                self._paces.saw(running.spec.task, LONG_S)

    def _is_turn_due(self) -> bool:
        hand = self._hand
        if hand.leaving:
            return True
        if not hand.done:
            return False
        if hand.is_idle or len(hand.done) >= MOST_UNHEARD:
            return True
        if hand.follower is not None:
            return True
        if self._course.has_more:
            return False  # More have ended by now.
        is_dry = (self._left_s() or 0.0) <= AHEAD_S
        return time.monotonic() >= self._done_at + (AHEAD_S / 2 if is_dry else FLUSH_S)

    def _left_s(self) -> float | None:
        """What was begun should take so long; None: not known."""
        paces = [self._paces.of(attempt.spec.task) for attempt in self._hand.in_child()]
        return None if None in paces else sum(pace or 0.0 for pace in paces)

    def _nap_s(self) -> float:
        """So long nobody need look: short bodies follow each other in the child, and are handed in together."""
        left_s = self._left_s()
        hand = self._hand
        if left_s is None or len(hand.given) < 2 or hand.heir is not None:
            return 0.0
        first_s = self._done_at - time.monotonic() if hand.done else left_s / (len(hand.waiting) + len(hand.given))
        return max(0.0, min(first_s + FLUSH_S, left_s - AHEAD_S))

    def _turn(self, in_hand: Sequence[tuple[str, int]] = ()) -> None:
        """Receipts to disk first: from then on the results count, whoever is killed."""
        written = self._runner.written(self._hand.done)
        if len(written) < len(self._hand.done):
            self._hand.unwritten([each for each in self._hand.done if each not in written])
        done, leaving, not_begun = self._hand.bring()
        asked_at = time.monotonic()
        turn = self._a_turn(
            done=tuple(each.receipt for each in done),
            returned=tuple((attempt.job_id, attempt.number) for attempt in leaving),
            in_hand=tuple(in_hand),
            begun=self._begun(),
            not_begun=not_begun,
        )
        turned = self._ask(turn)
        self._start(turned or Turned(), asked_at)
        # The next body begins before what is left to do for those that are over.
        self._feed()
        self._course.refresh()
        self._runner.handed_in(done, turned.answers if turned else (None,) * len(done))
        self._hand.brought_in()
        for each in done:
            self._on_end(each.receipt)

    def _a_turn(self, **what: Any) -> Turn:
        most, budget_s = self._room()
        return Turn(
            worker=self._parts.worker,
            queue=self._queue,
            lease_s=self._parts.settings.lease_s,
            number=next(self._numbers),
            most=most,
            budget_s=budget_s,
            paces=self._paces.short(),
            is_idle=self._hand.is_idle,
            news=self._paces.news(),
            seen=self._parts.keeper.seen,
            **what,
        )

    def _room(self) -> tuple[int, float]:
        """How many more to take, and for how long; nothing beside a job that is not known to be short."""
        if not self._queue or self._parts.stopping.is_asked or self._hand.heir is not None:
            return 0, 0.0
        left_s, count = TOGETHER_S, 0
        for attempt in self._hand.in_child():
            pace = self._paces.of(attempt.spec.task)
            left_s -= TOGETHER_S if pace is None else pace
            count += 1
        most = MOST_UNHEARD - count
        return (most, left_s) if left_s > 0 and most > 0 else (0, 0.0)

    def _start(self, turned: Turned, asked_at: float) -> None:
        for started in turned.started:
            self._begin(started, asked_at)
        for job_id, number in turned.over:
            logger.info("Not started: {} attempt {}: it is over, or another attempt has its place", job_id, number)
        # Only now: what it has not seen of its own, the ledger does not take for dropped.
        self._parts.keeper.saw(turned.step)

    def _ask(self, turn: Turn) -> Turned | None:
        """One that began and may not run is ended first: until then its predecessor's place is not given up."""
        turned = self._runner.turn(turn)
        if turned is None or turned.refused:
            self._stop_follower()
        if turned is None or not turned.refused:
            return turned
        again = msgspec.structs.replace(turn, number=next(self._numbers), begun=())
        return self._runner.turn(again)

    def _begin(self, started: Started, asked_at: float) -> None:
        parts, hand, held = self._parts, self._hand, started.reservation
        valid_until = asked_at + parts.settings.lease_s
        follower = hand.follower
        if follower is not None and (follower.job_id, follower.number) == (held.job_id, held.attempt):
            hand.confirm(started, valid_until)
            return
        if hand.has(held.job_id, held.attempt):
            logger.error("Told twice to run {} attempt {}: once is enough", held.job_id, held.attempt)
            return
        try:
            attempt = Attempt(started, parts.catalogue, parts.settings, valid_until)
        except Refused as e:
            self._on_end(self._runner.refuse(started, e))
            return
        hand.take(attempt)

    # ── a follower ────────────────────────────────────────────────────────────────────────────────────────

    def _begun(self) -> tuple[Begun, ...]:
        follower = self._hand.follower
        return () if follower is None or follower.behind is None else (follower.behind,)

    def _stop_follower(self) -> None:
        """It began behind one that did not end well after all, or the ledger gave its place to another: it was none."""
        follower = self._hand.follower
        if follower is None:
            return
        follower.held.verdict = "gone"
        while self._hand.follower is follower:
            if (end := self._course.wait(None)) is not None:
                self._conclude(end)
        self._course.take_back()


def _late_s(said: Ended | Fault) -> float:
    """How long ago a body ended."""
    if not isinstance(said, Ended) or said.began_at is None:
        return 0.0
    return min(FLUSH_S, max(0.0, time.time() - said.began_at - said.seconds))

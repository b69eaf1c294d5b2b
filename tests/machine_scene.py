"""A worker's machine among a ledger and a child that are played: each action is carried out in one of the
ways it can turn out, and what may never happen is asserted where it would."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from math import inf
from types import SimpleNamespace as Plain
from typing import Any, cast

from flow_child import LEASE_S, PlayedAttempt

from conductor.model.ledger_entries import Preloaded, Turned, WorkerTurn
from conductor.model.receipt import Receipt
from workers.attempt.outcome import Done, Unpublished
from workers.isolation.protocol import BodyEnded, Passed
from workers.machine import actions
from workers.machine.held_attempts import Key
from workers.machine.machine import WorkerMachine
from workers.task_api.failure_causes import AttemptFault

BAD = AttemptFault("task_error", "it failed")


class PlayedBody:
    """Given to the child, which takes a ticket before it begins; without one it passes it over."""

    def __init__(self, attempt: PlayedAttempt, broke_off: int) -> None:
        self.attempt, self.broke_off = attempt, broke_off
        self.has_ticket = True


class MachineScene:
    """`pick`: of several ways in which something can turn out; the first is the one that ends the soonest.
    `most`: so many are started in one turn."""

    def __init__(self, pick: Callable[[Sequence[Any]], Any], most: int, in_hand: Sequence[Key] = ()) -> None:
        self.pick, self.now, self.level = pick, 1000.0, 0
        self.machine = WorkerMachine("w", "" if in_hand else "queue", LEASE_S, in_hand)
        self._most = most
        self._jobs, self._answered = 0, dict[str, Turned]()
        #: The ledger's: what runs here, who is preloaded behind whom, and what it has ever let begin.
        self.running, self.preloaded, self.let_begin = dict[Key, Any](), dict[Key, Any](), set[Key]()
        #: The turn behind a take whose answer was lost; what the worker was told to run.
        self.unheard: WorkerTurn | None = None
        self.heard = set[Key]()
        self.leased, self.disowned = set[Key](), set[Key]()
        #: The child's.
        self.inbox: deque[PlayedBody] = deque()
        self.said: deque[BodyEnded | Passed] = deque()
        self.runs: PlayedAttempt | None = None
        self.broke_off, self.heard_broke_off, self.is_there = 0, 0, False
        #: Seconds of a body, and for how long of these it had no core.
        self.took = 0.01, 0.0
        self.late = 0
        self.killed_for = list[str]()
        self.begun, self.ok = set[Key](), set[Key]()
        self.has_left = False

    def act(self) -> bool:
        """The next action, and what came of it. False: none is left."""
        action = self.machine.next(self.now)
        if action is None:
            self.has_left = True
            return False
        getattr(self, "on_" + type(action).__name__)(action)
        return True

    # ── the ledger ────────────────────────────────────────────────────────────────────────────────────────

    def a_job(self) -> Any:
        self._jobs += 1
        reservation = Plain(job_id=f"job{self._jobs:05d}", attempt=1, disk={})
        kind = self.pick(["short", "mid"])
        return Plain(line=b"", reservation=reservation, kind=kind, failures={}, job_class=None)

    def preload(self, key: Key) -> None:
        self.preloaded[key] = started = self.a_job()
        self.tell(key, started, started)

    def name_successor(self) -> None:
        """Of what runs, as far as the worker has heard."""
        first = self.machine.hand.running
        if first is not None and key_of(first) in self.running and key_of(first) not in self.preloaded:
            self.preload(key_of(first))

    def tell(self, key: Key, started: Any, successor: Any) -> None:
        of = started.reservation
        word = Preloaded(
            predecessor=key[0], of_attempt=key[1], job_id=of.job_id, attempt=of.attempt, successor=successor
        )
        self.machine.preloaded(word)

    def turn(self, turn: WorkerTurn) -> Turned:
        if turn.number not in self._answered:
            self._answered[turn.number] = self._turn(turn)
        return self._answered[turn.number]

    def _turn(self, turn: WorkerTurn) -> Turned:
        done = {(receipt.job_id, receipt.attempt) for receipt in turn.done}
        if refused := [key_of(b) for b in turn.begun if not self._may_follow(b, done)]:
            return Turned(refused=tuple(refused))
        assert done <= self.ok, "done, and it did not end well"
        assert not self.begun.intersection(turn.returned), "goes back as if it had not begun"
        for word in turn.not_begun:
            assert key_of(word) not in map(key_of, self.machine.hand.given), "it may begin any moment"
            self.preloaded.pop((word.predecessor, word.of_attempt), None)
        started = [self.preloaded[b.predecessor, b.of_attempt] for b in turn.begun]
        for key in (*done, *turn.returned):
            self.running.pop(key, None)
            self.preloaded.pop(key, None)
        wanted = turn.most or int(turn.is_from_hand) or len(turn.in_hand)
        started += [
            self.a_job()
            for _ in range(min(wanted, self.pick([0, *range(1, self._most + 1), self._most, self._most])))
        ]
        for each in started:
            key = each.reservation.job_id, each.reservation.attempt
            self.running[key] = each
            self.let_begin.add(key)
        return Turned(answers=("accepted",) * len(turn.done), started=tuple(started))

    def _may_follow(self, begun: Any, done: set[Key]) -> bool:
        key = begun.predecessor, begun.of_attempt
        successor = self.preloaded.get(key)
        is_it = successor is not None and successor.reservation.job_id == begun.job_id
        return is_it and key in done and key in self.running and self.pick([True, False])

    def ends(self, key: Key) -> None:
        self.running.pop(key, None)
        self.preloaded.pop(key, None)

    def hear(self, turned: Turned, tell: Callable[[], object]) -> None:
        """Only from here on the worker answers for what was started."""
        tell()
        self.heard.update(key_of(started.reservation) for started in turned.started)

    def on_Take(self, action: actions.Take) -> None:
        assert not self.leased, "waits for more with something in hand"
        assert self.unheard in (None, action.turn), (
            "asks for another turn before it knows what came of the last"
        )
        self.unheard = action.turn
        answer = self.pick(["answer", "answer", "answer", "lost", "away"])
        turned = Turned() if answer == "away" else self.turn(action.turn)
        if answer == "answer":
            self.unheard = None
            self.hear(turned, lambda: self.machine.turns.taken(turned, self.now))

    def on_Recall(self, action: actions.Recall) -> None:
        turn, self.unheard = self.unheard, None
        assert turn is not None, "there is something to recall"
        if self.pick(["answer", "away"]) == "away":
            self.machine.turns.lost()
            return
        turned = self.turn(turn)
        self.hear(turned, lambda: self.machine.turns.taken(turned, self.now))

    def on_PutBack(self, action: actions.PutBack) -> None:
        assert self.unheard is None, "leaves without knowing what was started for it"
        self.machine.turns.lost()

    def on_SendTurn(self, action: actions.SendTurn) -> None:
        self.now += action.wait_s
        answer = self.pick(["answer", "answer", "answer", "lost", "away", "closed"])
        if (
            answer == "closed"
            and action.turn.in_hand
            and action.turn.number not in self._answered
            and not self.level
        ):
            self.machine.turns.answered(Turned(is_closed=True))
        elif answer in ("answer", "closed"):
            turned = self.turn(action.turn)
            self.hear(turned, lambda: self.machine.turns.answered(turned))
        else:
            if answer == "lost":
                self.turn(action.turn)
            self.machine.turns.unreachable()

    def on_Understand(self, action: actions.Understand) -> None:
        understood = list[Any]()
        for started in action.started:
            if self.pick([True] * 9 + [False]):
                understood.append(PlayedAttempt(started, None, None, action.valid_until))
            else:
                self.ends(key_of(started.reservation))  # Refused, and the ledger knows.
        self.machine.turns.understood(understood)

    def on_HoldLeases(self, action: actions.HoldLeases) -> None:
        keys = [held.key for held in cast(Any, action.helds)]
        assert not self.leased.intersection(keys), "one lease is one lease"
        self.leased.update(keys)

    def on_ReleaseLeases(self, action: actions.ReleaseLeases) -> None:
        for held in cast(Any, action.helds):
            self.leased.remove(held.key)
            assert held.key not in self.running or self.level > 1, (
                f"{held.key} is given up, and the ledger's still"
            )

    def on_Write(self, action: actions.Write) -> None:
        unwritten = [done for done in action.done if not self.pick([True] * 9 + [False])]
        self.machine.turns.written([Unpublished(done.attempt, BAD, done=done) for done in unwritten])

    def on_HandIn(self, action: actions.HandIn) -> None:
        assert len(action.answers) == len(action.done)
        self.machine.turns.handed_in()

    def on_Fail(self, action: actions.Fail) -> None:
        what, key = action.unpublished, key_of(action.unpublished.attempt)
        successor = self.preloaded.get(key)
        if successor is not None and self.runs is not None:
            assert self.runs.key != key_of(successor.reservation), "room is given away that a body still uses"
        if what.fault is not None or key in self.let_begin:
            self.ends(key)
        self.machine.settled(what, what.fault.cause if what.fault is not None else None)

    def on_Disown(self, action: actions.Disown) -> None:
        self.disowned.add(key_of(action.attempt))

    # ── the child ─────────────────────────────────────────────────────────────────────────────────────────

    def put(self, attempt: Any) -> None:
        self.inbox.append(PlayedBody(attempt, self.heard_broke_off))
        self.machine.row.given(attempt, self.now)

    def on_Give(self, action: actions.Give) -> None:
        hand, row = self.machine.hand, self.machine.row
        for attempt in cast(Any, action.attempts):
            answer = self.pick(["given"] * 7 + ["stays", "over", "broken"])
            if hand.given and (answer in ("stays", "broken") or not self.is_there):
                return row.stays()
            if answer == "over":
                return row.over_unbegun(BAD)
            if answer == "broken":
                return row.false_start("it does not start")
            self.is_there = True
            self.put(attempt)
        return None

    def on_Preload(self, action: actions.Preload) -> None:
        if not self.is_there or not self.pick([True, True, False]):
            self.machine.not_preloaded(action.word)
            return
        attempt = PlayedAttempt(action.started, None, None, self.now + LEASE_S)
        attempt.behind = Plain(**{name: getattr(action.word, name) for name in BEGUN})
        self.put(attempt)

    def on_Doubt(self, action: actions.Doubt) -> None:
        assert self.machine.hand.successor is action.successor
        self.machine.doubted(self.pick([False, False, True]))

    def on_LookAtBody(self, action: actions.LookAtBody) -> None:
        self.machine.row.looked(self.pick([True, False]), self.now)

    def on_Begin(self, action: actions.Begin) -> None:
        pass

    def go_on(self) -> None:
        """The child does its next thing."""
        if not self.is_there:
            return
        if self.runs is not None:
            key, is_ok = self.runs.key, self.pick([True] * 9 + [False])
            self.runs, self.broke_off = None, self.broke_off + (not is_ok)
            if is_ok:
                self.ok.add(key)
            cause = None if is_ok else "task_error"
            seconds, delay_s = self.took
            ended = BodyEnded(
                job_id=key[0], attempt=key[1], cause=cause, began_at=self.now, seconds=seconds,
                run_delay_s=delay_s,
            )  # fmt: skip
            self.said.append(ended)
        elif self.inbox:
            body = self.inbox.popleft()
            key = body.attempt.key
            if not body.has_ticket or body.broke_off != self.broke_off:
                self.said.append(Passed(job_id=key[0], attempt=key[1]))
                return
            assert key not in self.begun, f"{key} began twice"
            body.has_ticket = False
            self.begun.add(key)
            self.runs = body.attempt

    def on_Listen(self, action: actions.Listen) -> None:
        assert action.until < self.now + 100.0, "for ever"
        row, answer = self.machine.row, self.pick(["word", "word", "word", "silence", "woken"])
        if answer == "word" and self.is_there and not self.said:
            self.go_on()
            self.go_on()
        is_quiet = False
        if answer == "word" and self.said:
            self.hear_word(self.said.popleft())
        elif not self.is_there:
            self.bury(None)
        elif answer != "woken":
            # One that comes late has stood still itself, and looks once more.
            self.late = self.late + 1 if self.now >= action.until else 0
            assert self.late < 3, "late, and nobody does anything about it"
            limit_s = 0.0 if action.limit_s is None else action.limit_s
            self.now, is_quiet = (
                max(self.now, action.until if action.limit_s is None else self.now + limit_s),
                True,
            )
        self.machine.listened(is_quiet, bool(self.said), self.now)
        assert is_quiet or row is self.machine.row

    def hear_word(self, word: BodyEnded | Passed) -> None:
        if isinstance(word, Passed):
            assert self.machine.row.is_passing((word.job_id, word.attempt)), (
                "it was taken back, or passed over"
            )
            self.machine.row.passed((word.job_id, word.attempt))
            return
        self.heard_broke_off += word.breaks_off
        self.machine.row.ended(word, self.now)

    def bury(self, fault: AttemptFault | None) -> None:
        unbegun = sum(body.has_ticket for body in self.inbox)
        said = tuple(self.said)
        self.inbox.clear()
        self.said.clear()
        self.runs, self.is_there, self.broke_off, self.heard_broke_off = None, False, 0, 0
        self.machine.row.gone(unbegun, said, fault, self.now)

    def on_TakeBack(self, action: actions.TakeBack) -> None:
        back = [body for body in self.inbox if body.has_ticket]
        back = back if action.most is None else back[len(back) - min(action.most, len(back)) :]
        for body in back:
            body.has_ticket = False
        self.machine.row.took_back(action.most, len(back), self.now)

    def on_StopBody(self, action: actions.StopBody) -> None:
        assert not any(body.has_ticket for body in self.inbox), "another one may be meant"

    def on_KillChild(self, action: actions.KillChild) -> None:
        self.killed_for.append(action.fault.cause)
        self.bury(action.fault)

    def on_FindFault(self, action: actions.FindFault) -> None:
        self.machine.row.blamed(action.fault or AttemptFault("worker_lost", "it died"))

    def on_Publish(self, action: actions.Publish) -> None:
        attempt, said = cast(Any, action.end)
        key = attempt.key
        assert key in self.let_begin or key in self.disowned, f"{key} is published, and none of the ledger's"
        is_to_blame = key in self.begun or attempt.false_starts > 1 or said == BAD or key not in self.running
        is_told = self.machine.interrupts.why_not_begin(key) is not None
        assert isinstance(said, BodyEnded) or is_to_blame or is_told, (
            f"charged with {said.message!r}, and it never began"
        )
        is_gone = key in self.disowned or (key in self.let_begin and key not in self.running)
        if is_gone:
            self.machine.unpublished(Unpublished(attempt))
        elif isinstance(said, AttemptFault) or said.cause is not None or not self.pick([True] * 9 + [False]):
            self.machine.unpublished(Unpublished(attempt, BAD))
        else:
            assert key in self.ok, f"{key} did not end well"
            self.machine.published(Done(attempt, a_receipt(key), cast(Any, None)), self.now)

    # ── what always holds ─────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Each attempt that the worker heard of is in one place, under a lease, and what is given under a
        deadline.
        """
        hand, machine = self.machine.hand, self.machine
        places = [key_of(attempt) for attempt in placed(machine)]
        assert len(places) == len(set(places)), f"in two places: {places}"
        opening = machine.turns.opening
        about_to_be = {key_of(s.reservation) for s in opening.started} if opening is not None else set[Key]()
        lost = self.heard & self.running.keys() - set(places) - about_to_be
        assert not lost or self.level > 1, f"started in the ledger, and nowhere here: {lost}"
        owned = {key for key in places if key in self.heard and key in self.let_begin}
        assert owned == set(hand.reported()), "what is in hand is renewed, and nothing else"
        if hand.given and machine.row.blame() is None:
            assert machine.row.attend(self.now) is not None and machine.row.long_at < inf, "no deadline"


def placed(machine: WorkerMachine) -> Iterator[Any]:
    hand = machine.hand
    ends = (end.attempt for end in hand.ended)
    outcomes = (each.attempt for each in chain(hand.failing, hand.done, hand.written))
    return chain(hand.waiting, hand.given, ends, outcomes, hand.leaving, hand.brought)


BEGUN = ("predecessor", "of_attempt", "job_id", "attempt")


def key_of(what: Any) -> Key:
    return what.job_id, what.number if hasattr(what, "number") else what.attempt


def a_receipt(key: Key) -> Receipt:
    return cast(Any, Plain(job_id=key[0], attempt=key[1]))

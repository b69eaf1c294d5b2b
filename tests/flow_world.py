"""The real flow and course of a worker in a world of its own: child, ledger, keeper and clock are played, and
whatever can happen between two of their words does. Time is virtual; all chance comes from one seed."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from math import inf
from types import SimpleNamespace as Plain
from typing import Any, cast

import pytest
from flow_child import (
    LEASE_S,
    TIMEOUT_S,
    Fate,
    HostOfPlayed,
    PlayedAttempt,
    PlayedChannel,
    PlayedHeld,
)
from flow_ledger import PlayedLedger

from conductor.base.errors import Unreachable
from conductor.model.ledger_entries import Turned, WorkerTurn
from conductor.model.receipt import Receipt
from workers.attempt.outcome import Done, Unpublished
from workers.isolation.protocol import BodyEnded
from workers.machine.held_attempts import Key
from workers.parent import child_actions, driver, execution, ledger_actions, successors
from workers.parent.intake import TakenJob
from workers.task_api.failure_causes import AttemptFault

BAD = AttemptFault("task_error", "it failed")


class PlayedIntake:
    """So many takes, each once nothing is held; then the worker is told to leave. Answers are lost on
    their way.
    """

    def __init__(self, world: FlowWorld, most: int) -> None:
        self._world = world
        self._left = most
        self._asked: WorkerTurn | None = None

    def take(self, a_turn: Callable[[], WorkerTurn]) -> TakenJob:
        world = self._world
        self._world.check_empty()
        if self._asked is None:
            self._asked, self._left = a_turn(), self._left - 1
        if self._left < 0:
            world.stopping.level = max(1, world.stopping.level)
            self._asked = None
            return TakenJob(Turned(), world.now)
        if world.chance(0.2):
            world.meddle()
        return self._answer(self._asked)

    def settle(self) -> TakenJob | None:
        return None if self._asked is None else self._answer(self._asked)

    def put_back(self) -> None:
        self._world.check_empty()

    def _answer(self, turn: WorkerTurn) -> TakenJob:
        asked_at = self._world.now
        turned = self._world.redis(lambda: self._world.ledger.turn(turn))
        self._asked = None
        return TakenJob(turned, asked_at)


# ── the worker's other parts ──────────────────────────────────────────────────────────────────────────────


class PlayedKeeper:
    def __init__(self) -> None:
        self.helds: list[PlayedHeld] = []
        self._verdicts: deque[tuple[PlayedHeld, str]] = deque()

    def says(self, held: PlayedHeld, verdict: str) -> None:
        if held.verdict is None:
            held.verdict = verdict
            self._verdicts.append((held, verdict))

    def next_verdict(self) -> tuple[PlayedHeld, str] | None:
        return self._verdicts.popleft() if self._verdicts else None

    def saw(self, step: int) -> None: ...

    def hold(self, held: PlayedHeld) -> None:
        self.helds.append(held)

    def release(self, held: PlayedHeld) -> None:
        self.helds.remove(held)


class PlayedStopping:
    """Signals come when they come; to sleep is to let the world go on."""

    def __init__(self, world: FlowWorld) -> None:
        self._world = world
        self.level = 0

    is_asked = property(lambda self: self.level > 0)
    is_urgent = property(lambda self: self.level > 1)

    def retire(self) -> None:
        """Where it has nothing in hand: `FlowWorld.check_empty` looks at the end."""
        assert not self._world.ledger.running, "it retires while something runs"
        self.level = max(1, self.level)

    def sleep(self, limit_s: float) -> bool:
        self._world.pass_time(max(0.0, limit_s))
        return self._world.is_woken()

    def listen(self, channel: PlayedChannel, limit_s: float) -> bool:
        """As `select`: until the child has said something or is gone, the time is up, or somebody wakes
        us.
        """
        world, until = self._world, self._world.now + limit_s
        while True:
            child = world.host.child
            assert child is not None, "nobody is there to be listened to"
            if child.said or child.is_dead:
                return True
            if world.now >= until or world.is_woken():
                return False
            world.pass_time(max(0.0, min(until, child.next_event()) - world.now))


class PlayedRunner:
    """What becomes of ends, held against what really happened."""

    def __init__(self, parts: Any) -> None:
        self._world: FlowWorld = parts.world

    def conclude(self, attempt: PlayedAttempt, said: BodyEnded | AttemptFault) -> Done | Unpublished:
        world, key = self._world, attempt.key
        world.meddle()
        world.check_end(attempt, said)
        assert attempt.behind is None or attempt.held.verdict == "gone", f"{key} is none of the ledger's"
        if attempt.held.verdict == "gone":
            return Unpublished(cast(Any, attempt))
        is_bad = isinstance(said, AttemptFault) or said.cause is not None or attempt.held.verdict == "cancel"
        if is_bad or world.chance(0.05):
            return Unpublished(cast(Any, attempt), BAD)
        return Done(cast(Any, attempt), a_receipt(key, "ok"), cast(Any, None))

    def settle(self, what: Unpublished) -> Receipt | None:
        """The ledger hears of it: whoever is preloaded behind it is none any more, and may not run."""
        self._world.meddle()
        key = what.attempt.job_id, what.attempt.number
        successor = self._world.ledger.preloaded.get(key)
        child = self._world.host.child
        if successor is not None and child is not None and child.runs is not None:
            of = successor.started.reservation
            assert child.runs.key != (of.job_id, of.attempt), "room is given away that a body still uses"
        self._world.ledger.ends(key)
        return None if what.fault is None else a_receipt(key, "failed")

    def kept_back(self, attempt: PlayedAttempt) -> None:
        self._world.meddle()

    def write(self, done: Sequence[Done]) -> tuple[Unpublished, ...]:
        self._world.meddle()
        if self._world.chance(0.03):
            return (Unpublished(done[0].attempt, BAD, done=done[0]),)
        return ()

    def handed_in(self, *_: object) -> None: ...

    def refuse(self, *_: object) -> None:
        raise AssertionError("nothing here is to be refused")


def a_receipt(key: Key, outcome: str) -> Receipt:
    return Receipt(
        v=1, job_id=key[0], attempt=key[1], workflow="w", task="t", outcome=cast(Any, outcome), started_at=0,
        ended_at=0, node="n", worker="w", cause=None if outcome == "ok" else "task_error",
    )  # fmt: skip


class FlowWorld:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now = 1000.0
        self.fates: dict[Key, Fate] = {}
        self.broken = False
        self.host, self.ledger, self.keeper = HostOfPlayed(self), PlayedLedger(self), PlayedKeeper()
        self.stopping = PlayedStopping(self)
        self.intake = PlayedIntake(self, self.dice.randint(1, 4))
        self._woken = 0
        self.struck: set[Key] = set()
        self.course: Any = None  # Of the flow that is played.

    def redis(self, step: Callable[[], Turned]) -> Turned:
        """Redis is away for a while, and answers are lost on their way."""
        answer = step()
        if self.chance(0.1):
            self.pass_time(self.dice.choice([0.0, 2.5, 11.5]))
            raise Unreachable("the answer was lost")
        return answer

    def check_empty(self) -> None:
        held = [held.key for held in self.keeper.helds]
        assert not held, f"held, and nobody runs them: {held}"
        # One that leaves at once may not have heard what its last turn started: its supervisor sees it go. So
        # it is where the answer to a take is still to come.
        if not self.stopping.is_urgent and self.intake._asked is None:
            assert not self.ledger.running, (
                f"running in the ledger, and here nobody runs them: {self.ledger.running}"
            )

    # Of the module `time`.
    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def chance(self, p: float) -> bool:
        return self.dice.random() < p

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        if (child := self.host.child) is not None:
            child.go_on()
        self.meddle()

    def meddle(self) -> None:
        """Between any two things that the worker does."""
        x = self.dice.random()
        if x < 0.25:
            self.ledger.tick()
        elif x < 0.5:
            self._go_on(self.dice.choice([0.0005, 0.005, 0.03]))
        elif x < 0.51:
            self._go_on(self.dice.choice([1.0, 8.0, 30.0]))  # The worker stands still.
            self._strike()
        elif x < 0.53 and self.keeper.helds:
            held = self.dice.choice(self.keeper.helds)
            self.keeper.says(held, self.dice.choice(["gone", "cancel"]))
            if held.verdict == "gone":
                self.ledger.ends(held.key)  # Its lease had run out.
        elif x < 0.532:
            self.stopping.level += 1
        elif x < 0.537:
            self.host.is_stale = True
        elif x < 0.54 and self.host.child is not None:
            self.host.child.is_dead = True

    def is_woken(self) -> bool:
        """Once for each word."""
        before, self._woken = self._woken, self.ledger.told
        return before < self.ledger.told or self.chance(0.05)

    def _go_on(self, seconds: float) -> None:
        self.now += seconds
        if (child := self.host.child) is not None:
            child.go_on()

    def _strike(self) -> None:
        """The watchdog, whose worker stood still: a body that lasts for too long is ended all the same."""
        child = self.host.child
        if child is None or child.is_dead or child.runs is None:
            return
        began_at = self.fates[child.runs.key].began_at
        if began_at is not None and self.now - began_at > TIMEOUT_S + 7.0:
            child.is_dead, self.course.struck = True, self.host.pid
            if not child.is_noisy:
                self.struck.add(child.runs.key)

    def check_end(self, attempt: PlayedAttempt, said: BodyEnded | AttemptFault) -> None:
        """What is said of it is so: nobody is charged for another's fault, or for what was not heard in
        time.
        """
        fate = self.fates.get(attempt.key, Fate())
        if isinstance(said, BodyEnded):
            assert fate.ended_at is not None, "it has ended"
            assert fate.is_ok == (said.cause is None)
            return
        if attempt.key in self.struck:
            assert said.cause == "timeout" or attempt.held.verdict or self.stopping.is_urgent, said.message
        if said.cause == "timeout" and fate.began_at is not None:
            took_s = (fate.ended_at or inf) - fate.began_at
            assert took_s >= TIMEOUT_S, f"called late, and it took {took_s:g} s"
        if fate.began_at is None:
            is_to_blame = (
                attempt.false_starts > 1 or self.broken or attempt.held.verdict or self.stopping.is_urgent
            )
            assert is_to_blame, f"charged with {said.message!r}, and it never began"


@contextmanager
def played(world: FlowWorld) -> Generator[driver.Flow]:
    """The real flow and course, with this world's parts and time."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (driver, execution, successors, ledger_actions, child_actions):
            patch.setattr(module, "time", world)
        nothing_kept = Plain(find=lambda *_: None, clean_before=lambda *_: None)
        for module in (ledger_actions, successors):
            patch.setattr(module, "Attempt", PlayedAttempt)
        for module in (child_actions, successors):
            patch.setattr(module, "saved_outputs", nothing_kept)
        patch.setattr(driver, "Runner", PlayedRunner)
        patch.setattr(ledger_actions, "emit_event", never_twice)
        patch.setattr(execution, "emit_event", lambda *_, **__: None)
        # It waits for something itself, or it could run and others do.
        patch.setattr(execution, "ran_s", lambda _: world.dice.choice([None, 0.0, 0.2]))
        patch.setattr(execution, "oom_counter", Plain(kills=lambda: 0, has_grown=lambda *_: False))
        claim = Plain(busy=nothing, take=lambda *_: None, keeps=lambda *_: None)
        parts = Plain(
            world=world, settings=Plain(lease_s=LEASE_S, layout=None),
            ledger=Plain(attempts=Plain(turn=lambda turn: world.redis(lambda: world.ledger.turn(turn)))),
            receipts=Plain(look=lambda: None),
            catalogue={}, host=world.host, keeper=world.keeper, stopping=world.stopping, worker="w", node="n",
            claim=claim, lining=world.ledger, watchdog=Plain(over=lambda *_: None),
        )  # fmt: skip
        idle_s = world.dice.choice((0.0, 0.5))
        one = driver.Flow(cast(Any, parts), "queue", intake=cast(Any, world.intake), idle_s=idle_s)
        world.course = one._course
        yield one


def never_twice(event: str, words: str, **fields: object) -> None:
    """No word of a worker's is an error, but that it was told to run what it runs."""
    assert event != "attempt.told_twice", words.format(**fields)


@contextmanager
def nothing() -> Generator[None]:
    yield

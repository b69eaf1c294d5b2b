"""The ledger of the played world: what it calls running, who is preloaded, and what it answers to a turn."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace as Plain
from typing import TYPE_CHECKING, Any

from flow_child import (
    KINDS,
    Fate,
)

from conductor.model.ledger_entries import Preloaded, Turned, WorkerTurn
from workers.machine.held_attempts import Key

if TYPE_CHECKING:
    from flow_world import FlowWorld

OFTEN = (10, 6, 2, 1, 1)


class PlayedLedger:
    """What it calls running here, and who is preloaded behind whom."""

    def __init__(self, world: FlowWorld) -> None:
        self._world = world
        self.running: dict[Key, Any] = {}
        self.preloaded: dict[Key, Any] = {}
        self.words: deque[Preloaded] = deque()
        self._answered: dict[str, Turned] = {}
        self._jobs, self.told, self.breaks = 0, 0, 0

    def next(self) -> Preloaded | None:
        return self.words.popleft() if self.words else None

    def a_job(self) -> Any:
        self._jobs += 1
        disk = {"scratch": 1} if self._world.chance(0.5) else {}
        reservation = Plain(job_id=f"job{self._jobs:05d}", attempt=1, disk=disk)
        kind = self._world.dice.choices([*KINDS], OFTEN)[0]
        return Plain(line=b"", reservation=reservation, kind=kind, failures={}, job_class=None)

    def tick(self) -> None:
        """Names successors, and does not name others again."""
        world = self._world
        for key, successor in self.preloaded.items():
            if not successor.is_void and world.chance(0.4):
                successor.is_void = True
                self._tell(key, successor.started, None)
        free = [key for key in self.running if key not in self.preloaded]
        if free and world.chance(0.6):
            key, started = world.dice.choice(free), self.a_job()
            self.preloaded[key] = Plain(started=started, is_void=False)
            self._tell(key, started, started)

    def _tell(self, key: Key, started: Any, successor: Any) -> None:
        of = started.reservation
        self.told += 1
        self.words.append(
            Preloaded(
                predecessor=key[0],
                of_attempt=key[1],
                job_id=of.job_id,
                attempt=of.attempt,
                successor=successor,
            )
        )

    def turn(self, turn: WorkerTurn) -> Turned:
        """Asked again, the same answer."""
        if turn.number not in self._answered:
            self._answered[turn.number] = self._turn(turn)
        return self._answered[turn.number]

    def _turn(self, turn: WorkerTurn) -> Turned:
        self._world.meddle()
        done = {(receipt.job_id, receipt.attempt) for receipt in turn.done}
        refused = [(b.job_id, b.attempt) for b in turn.begun if not self._may_follow(b, done)]
        if refused:
            return Turned(refused=tuple(refused))
        for word in turn.not_begun:
            successor = self.preloaded.get((word.predecessor, word.of_attempt))
            if successor is not None and successor.started.reservation.job_id == word.job_id:
                del self.preloaded[word.predecessor, word.of_attempt]
        started = [self.preloaded[b.predecessor, b.of_attempt].started for b in turn.begun]
        answers = tuple("accepted" if self.running.pop(key, None) else "gone" for key in _keys(turn))
        for key in turn.returned:
            fate = self._world.fates.get(key, Fate())
            assert fate.began_at is None, f"{key} goes back as if it had not begun"
            self.running.pop(key, None)
        for key in (*done, *turn.returned):
            self.preloaded.pop(key, None)
        if turn.most or turn.is_from_hand:
            started += [self.a_job() for _ in range(self._world.dice.randint(0, min(6, turn.most or 1)))]
        for each in started:
            self.running[each.reservation.job_id, each.reservation.attempt] = each
        return Turned(answers=answers, started=tuple(started))  # pyright: ignore[reportArgumentType]

    def _may_follow(self, begun: Any, done: set[Key]) -> bool:
        key = (begun.predecessor, begun.of_attempt)
        successor = self.preloaded.get(key)
        is_it = (
            successor is not None
            and not successor.is_void
            and successor.started.reservation.job_id == begun.job_id
        )
        return is_it and key in done and key in self.running and self._world.chance(0.8)

    def ends(self, key: Key) -> None:
        """Failed, cancelled, or rescued by others."""
        self.running.pop(key, None)
        self.preloaded.pop(key, None)


def _keys(turn: WorkerTurn) -> list[Key]:
    return [(receipt.job_id, receipt.attempt) for receipt in turn.done]

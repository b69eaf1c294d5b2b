"""The child of a worker in the played world (`flow_world`): its attempts, what it says and when, and its
host.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf
from types import SimpleNamespace as Plain
from typing import TYPE_CHECKING, Any

from workers.isolation.child_process import ChildBroken
from workers.isolation.protocol import BodyEnded, BodyProgress, Garbled, Passed
from workers.machine.held_attempts import Key

if TYPE_CHECKING:
    from flow_world import FlowWorld

LEASE_S, TIMEOUT_S = 10.0, 5.0
#: What a body does → how long it takes.
KINDS = {"short": 0.008, "mid": 0.3, "fails": 0.01, "dies": 0.02, "hangs": inf}


@dataclass
class Fate:
    """What really became of an attempt's body."""

    began_at: float | None = None
    ended_at: float | None = None
    is_ok: bool = False


class PlayedAttempt:
    """What flow and course ask of an attempt."""

    def __init__(self, started: Any, catalogue: object, settings: object, valid_until: float) -> None:
        reservation = started.reservation
        self.started, self.kind = started, started.kind
        self.job_id, self.number = reservation.job_id, reservation.attempt
        self.body, self.left_running = f"{self.number}.abcd", ()
        self.spec = Plain(task="short" if self.kind == "short" else "long", writes=())
        self.request = Plain(timeout_s=TIMEOUT_S, stall_s=0.0)
        self.held = PlayedHeld(self.key, reservation, valid_until)
        self.devices, self.visible, self.reserved, self.code_version = (), (), {}, "code"
        self.began_at, self.false_starts = 0.0, 0
        self.behind: Any = None
        self.as_of, self.earlier = (0, 0), None

    @property
    def key(self) -> Key:
        return self.job_id, self.number

    @property
    def run(self) -> PlayedAttempt:
        return self

    def is_started(self, started: Any, valid_until: float) -> None:
        self.started, self.behind, self.held.valid_until = started, None, valid_until

    def begin(self, pid: int) -> None:
        self.held.is_running = True


@dataclass
class PlayedHeld:
    #: It is never frozen.
    pardon_s = 0.0

    key: Key
    reservation: Any
    valid_until: float
    verdict: str | None = None
    adopted: int = 0
    is_running: bool = False
    is_news: bool = False
    progress: float | None = None
    note: str = ""
    moved_at: float = 0.0
    behind: dict[str, int] = field(default_factory=dict[str, int])
    meter: Any = field(default_factory=lambda: Plain(beyond="", vram_now_mib=None))
    about: str = "flow.play"
    job_id = property(lambda self: self.key[0])
    attempt = property(lambda self: self.key[1])


# ── the child ─────────────────────────────────────────────────────────────────────────────────────────────


class PlayedChild:
    """Goes on by itself while time passes: takes a ticket, runs or passes over, says so."""

    def __init__(self, world: FlowWorld, boot_s: float) -> None:
        self._world = world
        self.at = world.now + boot_s
        self.inbox: deque[tuple[float, PlayedAttempt, int]] = deque()
        self.tickets, self.broke_off = 0, 0
        self.said: deque[object] = deque()
        self.is_dead, self.is_noisy = False, False
        self.runs: PlayedAttempt | None = None
        self._ends_at = inf
        self._is_told, self._hears = False, False

    def next_event(self) -> float:
        if self.is_dead:
            return inf
        if self.runs is not None:
            return self._ends_at
        return max(self.at, self.inbox[0][0]) if self.inbox else inf

    def go_on(self) -> None:
        while not self.is_dead and self.next_event() <= self._world.now:
            self.at = self.next_event()
            if self.runs is None:
                self._next(*self.inbox.popleft()[1:])
            else:
                self._end(self.runs)

    def stop(self) -> None:
        if self.runs is not None and self._hears:
            self._is_told, self._ends_at = True, min(self._ends_at, self._world.now + 0.01)

    def _next(self, run: PlayedAttempt, broke_off: int) -> None:
        has_ticket, self.tickets = self.tickets > 0, max(0, self.tickets - 1)
        if not has_ticket or broke_off != self.broke_off:
            self.said.append(Passed(job_id=run.job_id, attempt=run.number))
            return
        fate = self._world.fates.setdefault(run.key, Fate())
        assert fate.began_at is None, f"{run.key} began twice"
        fate.began_at = self.at
        self.runs, self._ends_at = run, self.at + KINDS[run.kind]
        self._is_told, self._hears = False, self._world.chance(0.7)
        if self._world.chance(0.2):
            self.said.append(BodyProgress(job_id=run.job_id, attempt=run.number, fraction=0.5))

    def _end(self, run: PlayedAttempt) -> None:
        fate = self._world.fates[run.key]
        fate.ended_at, self.runs, self._ends_at = self.at, None, inf
        if run.kind == "dies" and not self._is_told:
            self.is_dead = True
            return
        fate.is_ok = run.kind != "fails" and not self._is_told
        self.broke_off += not fate.is_ok
        cause = None if fate.is_ok else "task_error"
        if self._world.chance(0.01):
            self.is_noisy = True
            self.said.append(None)  # Something that nobody can make out.
        assert fate.began_at is not None
        seconds = self.at - fate.began_at
        self.said.append(
            BodyEnded(
                job_id=run.job_id, attempt=run.number, cause=cause, began_at=fate.began_at, seconds=seconds
            )
        )


class PlayedChannel:
    has_unsent = False

    def __init__(self, world: FlowWorld) -> None:
        self._world = world
        self.heard: deque[object] = deque()

    def has_buffered(self) -> bool:
        return bool(self.heard)

    def next(self) -> object | None:
        if not self.heard:
            return None
        word = self.heard.popleft()
        if word is None:
            raise Garbled("noise")
        return word

    def fill(self) -> None:
        child = self._world.host.child
        assert child is not None
        if not child.said and child.is_dead:
            raise EOFError
        for _ in range(self._world.dice.randint(1, 4)):
            if child.said:
                self.heard.append(child.said.popleft())

    def half_until(self) -> None:
        return None

    def check_half(self) -> None:
        return None


class HostOfPlayed:
    log, peak_mib = "log", None

    def __init__(self, world: FlowWorld) -> None:
        self._world = world
        self.child: PlayedChild | None = None
        self.channel = PlayedChannel(world)
        self.pid, self._pids, self._broke_off = 0, 0, 0
        self.unbegun = 0
        self.last_said: tuple[object, ...] = ()
        self.is_stale = False
        #: Something is kept on the device for the next job.
        self.is_warm = world.chance(0.2)

    def rest(self) -> None:
        """Source files are looked at while nobody waits."""
        self.is_stale = self.is_stale or self._world.chance(0.002)

    def ensure(self, devices: object) -> None:
        world = self._world
        if self.child is not None and (self.child.is_dead or self.is_stale):
            self.kill()
        self.is_stale = False
        if self.child is None:
            if world.chance(0.03):
                world.broken = True
                raise ChildBroken("it does not start")
            self._pids += 1
            self.pid, self._broke_off, self.channel = self._pids, 0, PlayedChannel(world)
            self.child = PlayedChild(world, world.dice.choice([0.0, 0.0, 0.3, 2.0]))
            world.meddle()

    def give(self, run: PlayedAttempt) -> None:
        if self.child is None or (self.child.is_dead and self._world.chance(0.5)):
            raise ChildBroken("it is gone")
        self.child.tickets += 1
        self.child.inbox.append((self._world.now, run, self._broke_off))
        self._world.meddle()

    def begin(self, log_start: int | None = None) -> None: ...

    def take_back(self, most: int | None = None) -> int:
        self._world.meddle()
        assert self.child is not None
        count = self.child.tickets if most is None else min(most, self.child.tickets)
        self.child.tickets -= count
        return count

    def unheard_ends(self) -> int:
        said = (*self.channel.heard, *(self.child.said if self.child is not None else ()))
        return sum(isinstance(word, BodyEnded) for word in said)

    def passes_over(self, behind: int) -> None:
        self._broke_off += 1

    def stop_body(self) -> None:
        if self.child is not None:
            self.child.stop()

    def is_due(self, devices: object) -> bool:
        return self.is_stale or self.child is None or self.child.is_dead

    def weigh(self, *_: object) -> None:
        self.is_stale |= self._world.chance(0.05)

    def kill(self) -> int:
        self._world.meddle()
        return self.bury()

    def bury(self) -> int:
        child, self.child, self.pid = self.child, None, 0
        self.unbegun, self.last_said = 0, ()
        if child is not None:
            self.last_said = tuple(word for word in (*self.channel.heard, *child.said) if word is not None)
            self.unbegun = child.tickets
        return -9

    def watch(self, *_: object) -> None: ...
    def clean_up(self) -> None: ...
    def keep_words(self, job_id: str, body: str, until: int | None = None) -> None: ...
    def last_words(self) -> str:
        return ""


# ── the ledger ────────────────────────────────────────────────────────────────────────────────────────────

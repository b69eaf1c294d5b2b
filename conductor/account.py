"""What a run came to: how fast, how long still, and for how long each gate held something back. Pure."""

from __future__ import annotations

from collections import deque

from conductor.model.decision import GATES
from conductor.model.spec import Value
from conductor.status import Status
from conductor.text import duration

#: The rate is that of the last so many seconds.
WINDOW_S = 30.0
#: A gap between two looks longer than this was not watched (a suspended laptop): it counts for nobody.
LONGEST_STEP_S = 10.0


class Account(Value, frozen=True, kw_only=True):
    """The short account at the end. `done` and `dead` are of this run, `left` is what has not ended."""

    seconds: float
    done: int
    dead: int
    left: int
    #: Cause → dead jobs, of all runs of these backlogs.
    causes: dict[str, int] = {}
    #: Gate → seconds during which it held at least one class back.
    held_s_by_gate: dict[str, float] = {}


class Pace:
    """Fed with one `Status` after the other, all of the same backlogs."""

    def __init__(self, first: Status) -> None:
        self.first = first
        self.last = first
        self.held_s: dict[str, float] = {}
        self._done: deque[tuple[float, int]] = deque([(first.now, ended(first))])

    def add(self, status: Status) -> None:
        step = status.now - self.last.now
        if 0 < step <= LONGEST_STEP_S:
            for gate in {verdict.gate for hold in status.holds for verdict in hold.closed}:
                self.held_s[gate] = self.held_s.get(gate, 0.0) + step
        self.last = status
        self._done.append((status.now, ended(status)))
        while len(self._done) > 2 and status.now - self._done[0][0] > WINDOW_S:
            self._done.popleft()

    @property
    def per_s(self) -> float:
        """Jobs ended per second, lately; 0 while none ended."""
        (start, before), (end, after) = self._done[0], self._done[-1]
        return max(0, after - before) / (end - start) if end > start else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until the rest is through at this rate; None while nobody can say."""
        rest = left(self.last)
        if rest == 0:
            return 0.0
        return rest / self.per_s if self.per_s > 0 else None

    def account(self) -> Account:
        first, last = self.first, self.last
        return Account(
            seconds=round(max(0.0, last.now - first.now), 1),
            done=max(0, last.total("done") - first.total("done")),
            dead=max(0, last.total("dead") - first.total("dead")),
            left=left(last),
            causes=last.dead,
            held_s_by_gate={gate: round(self.held_s[gate], 1) for gate in GATES if gate in self.held_s},
        )


def left(status: Status) -> int:
    return status.total("waiting", "admitted", "running")


def ended(status: Status) -> int:
    return status.total("done", "dead", "cancelled")


def lines(account: Account) -> list[str]:
    """The short account, for people."""
    words = [f"{account.done} done", *([f"{account.dead} dead"] if account.dead else [])]
    words += [f"{account.left} left"] if account.left else []
    out = [f"{', '.join(words)} in {duration(account.seconds)}"]
    if account.causes:
        out.append("dead, by cause: " + ", ".join(f"{n} {cause}" for cause, n in account.causes.items()))
    held = [f"{gate} {duration(seconds)}" for gate, seconds in account.held_s_by_gate.items()]
    out.append("held back, by gate: " + (", ".join(held) or "nothing, at any gate"))
    return out

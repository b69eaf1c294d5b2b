"""What a run came to: how fast, how long still, and for how long each gate held something back. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from conductor.base.text import duration, printable
from conductor.model.decision import GATES, Gate
from conductor.model.spec import Value
from conductor.views.dead_jobs import DeadJobs, counted, dead_lines, meanwhile, still
from conductor.views.status import Status

#: The rate is that of the last so many seconds.
WINDOW_S = 30.0


class Account(Value, frozen=True, kw_only=True):
    """The short account at the end. `done` and `dead` are of this run, `left` is what has not ended."""

    seconds: float
    done: int
    dead: int
    left: int
    dead_before: int = 0
    #: Cause → jobs that were dead before this run and still are.
    causes_before: dict[str, int] = {}
    #: Where nothing was done: why, in words.
    idle: str = ""
    #: Cause → jobs that died in this run.
    causes: dict[str, int] = {}
    #: The first few of the dead; what died only for the sake of another is left out.
    obituaries: tuple[DeadJobs, ...] = ()
    #: Jobs that are set aside since others of their kind failed alike, and what to do about each kind of
    #: them.
    review: int = 0
    reviews: tuple[str, ...] = ()
    #: What no node that reports could ever run, in words.
    never: tuple[str, ...] = ()
    #: Whose workers died at each start, and their last words.
    broken: tuple[str, ...] = ()
    #: What waits for jobs that this run does not feed, in words.
    stranded: tuple[str, ...] = ()
    #: The words of APIs that refuse everybody, for whose sake the rest waits.
    refused: tuple[str, ...] = ()
    #: Gate → seconds during which it held at least one class back.
    held_s_by_gate: dict[str, float] = {}
    #: How long the run should take, as said at its start, and how long it took; None: nothing was said.
    predicted_s: float | None = None
    took_s: float | None = None
    #: The two in words.
    forecast: str = ""


class Pace:
    """Fed with one `Status` after the other, all of the same backlogs."""

    def __init__(self, first: Status) -> None:
        self.first = first
        self.last = first
        self._done: deque[tuple[float, int]] = deque([(first.now, ended(first))])

    def add(self, status: Status) -> None:
        self.last = status
        self._done.append((status.now, ended(status)))
        while len(self._done) > 2 and status.now - self._done[0][0] > WINDOW_S:
            self._done.popleft()

    @property
    def per_s(self) -> float:
        """Jobs ended per second, lately; 0 while none ended."""
        (start, before), (end, after) = self._done[0], self._done[-1]
        return max(0, after - before) / (end - start) if end > start else 0.0

    def account(self) -> Account:
        first, last = self.first, self.last
        return Account(
            seconds=round(max(0.0, last.now - first.now), 1),
            done=max(0, last.total("done") - first.total("done")),
            dead=max(0, last.total("dead") - first.total("dead")),
            dead_before=first.total("dead"),
            causes_before=still(first.dead, last.dead),
            left=left(last),
            review=last.total("review"),
            causes=meanwhile(first.dead, last.dead),
            held_s_by_gate=in_order(since(first.lost_s, last.lost_s)),
        )


def left(status: Status) -> int:
    return status.total("waiting", "admitted", "running")


def ended(status: Status) -> int:
    return status.total("done", "dead", "cancelled")


def since(before: Mapping[Gate, float], now: Mapping[Gate, float]) -> dict[Gate, float]:
    """What the gate ledger counted meanwhile; one that was emptied in between counts from nothing."""
    return {gate: seconds - before.get(gate, 0.0) if seconds >= before.get(gate, 0.0) else seconds
            for gate, seconds in now.items()}  # fmt: skip


def in_order(held_s: Mapping[Gate, float]) -> dict[str, float]:
    return {gate: round(held_s[gate], 1) for gate in GATES if held_s.get(gate)}


def lines(account: Account) -> list[str]:
    """The short account, for people."""
    words = [f"{account.done} done", *([f"{account.dead} dead"] if account.dead else [])]
    words += [f"{account.left} left"] if account.left else []
    words += [f"{account.review} in review"] if account.review else []
    before = f" ({account.dead_before} died in earlier runs)" if account.dead_before else ""
    out = [f"{', '.join(words)} in {duration(account.seconds)}{before}"]
    if account.idle:
        out.append(printable(account.idle))
    if account.forecast:
        out.append(account.forecast)
    if account.causes:
        out.append(f"dead, by cause: {counted(account.causes)}")
    if account.causes_before:
        what_to_do = "conductor retry --cause CAUSE, or give one up: conductor cancel JOB"
        out.append(f"dead since earlier runs: {counted(account.causes_before)} ({what_to_do})")
    out += dead_lines(account.obituaries)
    out += [printable(words) for words in account.reviews]
    out += [printable(f"can never run here: {words}") for words in account.never]
    out += [printable(f"broken off: {words}") for words in account.broken]
    out += [printable(words) for words in account.stranded]
    out += [printable(f"waits for somebody to act: {words}") for words in account.refused]
    held = [f"{gate} {duration(seconds)}" for gate, seconds in account.held_s_by_gate.items()]
    if held or not (account.never or account.broken or account.stranded or account.refused):
        # A run that ends at once since nothing can go has named its gate.
        out.append(f"held back, by gate: {', '.join(held)}" if held else "no gate held anything back")
    return out

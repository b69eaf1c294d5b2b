"""In which order the classes of one backlog and priority are tried, by the rule that the limits name.

A key is a tuple, the smallest goes first. «auto» is two rules: what was all there at once is ordered so that the
whole ends soonest (the largest first); what keeps coming so that the mean one ends soonest (the shortest first),
and who has waited too long goes before all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from conductor.core.free import Free, release_at
from conductor.core.life import Life
from conductor.model.limits import Order
from conductor.model.snapshot import Candidate, Head, JobClass, Reservation

#: What was dispatched within so many seconds was there at once: the time that putting a long manifest takes.
AT_ONCE_S = 60.0
#: Too long a wait: this share of the longest that was seen, …
SHARE_OF_LONGEST = 0.8
#: … and this share of the time that all who wait and run would take one after the other, plus the job's own.
SHARE_OF_WORK = 0.75

Key = tuple[float, ...]
OrderBy = Callable[[JobClass, Head], Key]


class Sizes:
    """How large a request is: the share of the whole that it takes of what it takes most of."""

    def __init__(self, free: Free) -> None:
        nodes = free.nodes.values()
        self._vram = sum(d.vram.limit for node in nodes for d in node.devices.values())
        self._cpu = sum(node.cpu.limit for node in nodes)
        self._ram = sum(node.ram.limit for node in nodes if node.ram is not None)

    def of(self, vram_mib: float, cpu_milli: float, ram_mib: float) -> float:
        return max(_share(vram_mib, self._vram), _share(cpu_milli, self._cpu), _share(ram_mib, self._ram))

    def of_class(self, job_class: JobClass) -> float:
        needs = job_class.needs
        return self.of(needs.vram_mib * (needs.devices if needs.vram_mib else 0), needs.cpu * 1000, needs.ram_mib)

    def of_reservation(self, r: Reservation) -> float:
        return self.of(r.vram_mib * len(r.devices), r.cpu * 1000, r.ram_mib)


def _share(amount: float, whole: float) -> float:
    return amount / whole if whole else 0.0


class Orders:
    """The rule in force for one tick."""

    def __init__(self, rule: Order, candidates: Sequence[Candidate], free: Free, life: Life) -> None:
        self._life = life
        self._free = free
        self._candidates = candidates
        self._known_sizes: Sizes | None = None
        self._share: dict[str, float] = {}
        self._patience: float | None = None
        self._longest: float | None = None
        self.rule: Order = _chosen(candidates) if rule == "auto" else rule
        self._by: OrderBy = {
            "oldest": self._oldest,
            "fifo": self._oldest,
            "shortest": self._shortest,
            "guarded": self._shortest,
            "area": self._area,
            "auto": self._area,
            "largest": self._largest,
            "frees": self._frees,
            "critical": self._critical,
        }[self.rule]

    @property
    def has_chains(self) -> bool:
        return bool(self._life)

    @property
    def is_guarded(self) -> bool:
        return self.rule == "guarded"

    def key(self, job_class: JobClass, head: Head) -> Key:
        if self.is_guarded and self.is_overdue(job_class, head):
            return (0.0, head.since)
        return (1.0, *self._by(job_class, head), head.since)

    def _sizes(self) -> Sizes:
        if self._known_sizes is None:
            self._known_sizes = Sizes(self._free)
        return self._known_sizes

    # ── the rules ─────────────────────────────────────────────────────────────────────────────────────────

    def _oldest(self, job_class: JobClass, head: Head) -> Key:
        return ()

    def _shortest(self, job_class: JobClass, head: Head) -> Key:
        return (job_class.duration_s,)

    def _area(self, job_class: JobClass, head: Head) -> Key:
        """By work, the largest first. In a chain that is the longest path behind it; what gives its disk back at
        least what it takes goes before all."""
        member = self._life.member(head.job_id)
        if member is None:
            return (1.0, -job_class.duration_s * self._share_of(job_class))
        return (float(self._life.net(member) < 0), -member.tail_s * self._share_of(job_class))

    def _largest(self, job_class: JobClass, head: Head) -> Key:
        return (-self._share_of(job_class),)

    def _frees(self, job_class: JobClass, head: Head) -> Key:
        member = self._life.member(head.job_id)
        return (0.0 if member is None else -self._life.net(member),)

    def _critical(self, job_class: JobClass, head: Head) -> Key:
        member = self._life.member(head.job_id)
        return (-job_class.duration_s if member is None else -member.tail_s,)

    def _share_of(self, job_class: JobClass) -> float:
        known = self._share.get(job_class.id)
        if known is None:
            known = self._share[job_class.id] = self._sizes().of_class(job_class)
        return known

    # ── who has waited too long ───────────────────────────────────────────────────────────────────────────

    def is_overdue(self, job_class: JobClass, head: Head) -> bool:
        waited = self._free.now - head.since
        return waited > SHARE_OF_LONGEST * self._longest_s() and waited > (
            SHARE_OF_WORK * self._work_s() + job_class.duration_s
        )

    def _longest_s(self) -> float:
        if self._longest is None:
            since = min((head.since for c in self._candidates for head in c.heads[:1]), default=self._free.now)
            self._longest = max(self._free.snapshot.longest_wait_s, self._free.now - since)
        return self._longest

    def _work_s(self) -> float:
        """How long all that waits and runs would take if the whole were always full."""
        if self._patience is None:
            waiting = sum(c.waiting * c.job_class.duration_s * self._share_of(c.job_class) for c in self._candidates)
            now = self._free.now
            running = sum(
                (release_at(r, now) - now) * self._sizes().of_reservation(r)
                for r in self._free.reservations()
                if r.expected_s > 0
            )
            self._patience = waiting + running
        return self._patience


def _chosen(candidates: Sequence[Candidate]) -> Order:
    """Durations that nobody knows order nothing: then the oldest goes first."""
    heads = [head.since for c in candidates for head in c.heads]
    if not any(c.job_class.duration_s for c in candidates):
        return "oldest" if not heads or max(heads) - min(heads) > AT_ONCE_S else "area"
    return "area" if max(heads) - min(heads) <= AT_ONCE_S else "guarded"


def blocks(rule: Order) -> bool:
    """Does the first that does not fit keep all others back."""
    return rule == "fifo"

"""Samples: what attempts really took, a few of the last per kind, size and request. Pure; bounded in memory.

A ring holds what is comparable: same kind (task and parameters), same step of size, same declared needs.
Without a size the planned duration and bytes stand for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from msgspec import Struct, field

from conductor.core.needs.learned_amounts import BY_NAME, LEARNED, RAN_OUT_OF, Resource
from conductor.model.receipt import AdmittedNeeds, Receipt
from conductor.model.snapshot import JobClass
from conductor.model.spec import Needs

#: Samples a ring remembers: three times what the 95th percentile wants.
KEPT = 64
#: Rings in all, the longest unused go first: with `KEPT` samples each, some 10 MiB.
RINGS = 512


class Sample(Struct, frozen=True, kw_only=True, array_like=True):
    """One attempt, as its receipt tells of it. None: not measured."""

    job_id: str
    attempt: int
    #: When it ended, epoch seconds by its node's clock.
    at: float
    node: str
    code: str
    seconds: float
    vram_mib: int | None = None
    ram_mib: int | None = None
    #: Temporary files and outputs together.
    scratch_bytes: int | None = None
    tokens: int | None = None
    #: It ran out of this: what it took is less than it needs, and `reserved` was not enough.
    ran_out_of: Resource | None = None
    reserved: int = 0
    #: What its line said that it would take; 0: nothing.
    declared_s: float = 0.0

    def value(self, resource: Resource) -> int | None:
        """What the attempt took; of a resource that it ran out of, at least what was reserved for it."""
        measured: int | None = getattr(self, resource)
        return max(measured or 0, self.reserved) if self.ran_out_of == resource else measured


class Key(NamedTuple):
    kind: str
    size: float
    #: The request, so that what one was asked to hold is not learned from another.
    asks: str


class Ring(Struct, kw_only=True):
    """The last `KEPT` samples of one key, the oldest first."""

    kind: str
    size: float
    needs: Needs
    duration_s: float
    writes_bytes: int
    samples: list[Sample] = field(default_factory=list[Sample])

    @property
    def key(self) -> Key:
        return key_of(self.kind, self.size, self.needs, self.duration_s, self.writes_bytes)

    @property
    def task(self) -> str:
        return self.kind.partition(":")[0]

    def declared(self, resource: Resource) -> int:
        return BY_NAME[resource].declared(self.needs, self.writes_bytes)

    def add(self, sample: Sample) -> bool:
        """False: it is here already, or older than all that is kept."""
        if any(known.job_id == sample.job_id and known.attempt == sample.attempt for known in self.samples):
            return False
        if len(self.samples) >= KEPT and sample.at < self.samples[0].at:
            return False
        is_latest = not self.samples or self.samples[-1].at < sample.at
        self.samples.append(sample)
        if not is_latest:  # files of several workers are read one after the other
            self.samples.sort(key=lambda known: (known.at, known.job_id, known.attempt))
        del self.samples[:-KEPT]
        return True


def key_of(kind: str, size: float, needs: Needs, duration_s: float, writes_bytes: int) -> Key:
    asks = " ".join([f"x{needs.devices}", *[str(getattr(needs, row.name)) for row in LEARNED]])
    return Key(kind, size, asks if size else f"{asks} {writes_bytes} {duration_s:g}")


def key_of_class(c: JobClass) -> Key:
    return key_of(c.kind or c.task, c.size, c.needs, c.duration_s, sum(c.writes.values()))


class Forgotten(NamedTuple):
    """What is to teach nothing more: job → up to that attempt, task or kind → what ended until then (epoch
    seconds).
    """

    jobs: Mapping[str, int] = {}
    tasks: Mapping[str, float] = {}

    def has(self, kind: str, sample: Sample) -> bool:
        until = max(self.tasks.get(kind, 0.0), self.tasks.get(kind.partition(":")[0], 0.0))
        return sample.at <= until or sample.attempt <= self.jobs.get(sample.job_id, 0)


class Memory:
    """All rings. Whoever shares it between threads brings the lock."""

    def __init__(self, rings: Iterable[Ring] = ()) -> None:
        #: The most recently grown last.
        self._rings: dict[Key, Ring] = {}
        self._of_kind: dict[str, dict[Key, Ring]] = {}
        #: Kind → how often it has changed: what is worked out from it may be kept until then.
        self._versions: dict[str, int] = {}
        #: Task → the code of its latest sample, and when that was.
        self._latest: dict[str, tuple[float, str]] = {}
        self.nodes: set[str] = set()
        self._forgotten = Forgotten()
        for ring in rings:
            self._hold(ring.key, ring)
            for sample in ring.samples:
                self._note(ring, sample)

    def _hold(self, key: Key, ring: Ring) -> None:
        """Keep it as the one most recently grown; the longest unused goes."""
        self._rings.pop(key, None)
        self._rings[key] = self._of_kind.setdefault(ring.kind, {})[key] = ring
        while len(self._rings) > RINGS:
            oldest = next(iter(self._rings))
            del self._of_kind[self._rings.pop(oldest).kind][oldest]

    def learn(self, receipt: Receipt) -> bool:
        """Take a receipt in. False: it teaches nothing (a failure that ran out of nothing, or one known
        already).
        """
        self.nodes.add(receipt.node)
        sample = sample_of(receipt)
        if sample is None:
            return False
        asked = receipt.asked or AdmittedNeeds()
        kind = asked.kind or receipt.task
        if self._forgotten.has(kind, sample):
            return False
        key = key_of(kind, asked.size, asked.needs, asked.duration_s, asked.writes_bytes)
        ring = self._rings.get(key) or Ring(
            kind=kind,
            size=asked.size,
            needs=asked.needs,
            duration_s=asked.duration_s,
            writes_bytes=asked.writes_bytes,
        )
        self._hold(key, ring)
        is_new = ring.add(sample)
        if is_new:
            self._note(ring, sample)
        return is_new

    def forget(self, forgotten: Forgotten) -> None:
        """Now, and whenever it is read again."""
        self._forgotten = forgotten
        for ring in list(self._rings.values()):
            kept = [sample for sample in ring.samples if not forgotten.has(ring.kind, sample)]
            if len(kept) < len(ring.samples):
                ring.samples[:] = kept
                self._versions[ring.kind] = self._versions.get(ring.kind, 0) + 1
            if not kept:
                del self._of_kind[ring.kind][ring.key], self._rings[ring.key]

    def _note(self, ring: Ring, sample: Sample) -> None:
        self.nodes.add(sample.node)
        self._versions[ring.kind] = self._versions.get(ring.kind, 0) + 1
        at, _ = self._latest.get(ring.task, (0.0, ""))
        if sample.at >= at:
            self._latest[ring.task] = (sample.at, sample.code)

    def version(self, kind: str) -> int:
        return self._versions.get(kind, 0)

    def has_success(self, kind: str) -> bool:
        """Did one of its jobs do all that it does."""
        return any(sample.ran_out_of is None for ring in self.rings(kind) for sample in ring.samples)

    def latest_code(self, task: str) -> str:
        """Of the sample that ended last; empty where there is none."""
        return self._latest.get(task, (0.0, ""))[1]

    def ring(self, key: Key) -> Ring | None:
        return self._rings.get(key)

    def rings(self, kind: str | None = None) -> Iterator[Ring]:
        """Of one kind; or all, the longest unchanged first."""
        return iter((self._rings if kind is None else self._of_kind.get(kind, {})).values())


def sample_of(receipt: Receipt) -> Sample | None:
    """Of a success, and of a failure for want of memory. What else fails stops anywhere, and tells
    nothing.
    """
    ran_out_of = RAN_OUT_OF.get(receipt.cause) if receipt.cause and receipt.outcome == "failed" else None
    if receipt.outcome == "failed" and (ran_out_of is None or ran_out_of.has_files):
        return None  # a full disk is most often full of other things
    if receipt.outcome == "superseded" or receipt.is_repeated:
        return None  # its `ok`, or the line that asked for a verdict, is in the file too
    use, asked = receipt.usage, receipt.asked or AdmittedNeeds()
    return Sample(
        job_id=receipt.job_id,
        attempt=receipt.attempt,
        at=receipt.ended_at,
        node=receipt.node,
        code=receipt.code_version,
        seconds=receipt.seconds,
        tokens=tokens_of(receipt.result) if use.tokens is None else use.tokens,
        ran_out_of=ran_out_of.name if ran_out_of else None,
        reserved=ran_out_of.reserved(asked) if ran_out_of else 0,
        declared_s=asked.duration_s,
        **{row.name: row.peak(use) for row in LEARNED},
    )


def tokens_of(result: dict[str, Any]) -> int | None:
    """What a task says it used of an API: `result["tokens"]`, a number or numbers by name."""
    tokens = result.get("tokens")
    counts = list(cast("dict[str, Any]", tokens).values()) if isinstance(tokens, dict) else [tokens]
    known = [
        count for count in counts if isinstance(count, int) and not isinstance(count, bool) and count >= 0
    ]
    return sum(known) if known else None


# ── figures ───────────────────────────────────────────────────────────────────────────────────────────────


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed (nearest rank): one that was really
    seen.

    Of fewer than 20 values the 95th percentile is the largest: nobody can say more from so few.
    """
    ordered = sorted(values)
    rank = math.ceil(share * len(ordered) - 1e-9)
    return ordered[max(1, rank) - 1]


def usual(values: Iterable[float]) -> float:
    """The mean, which is what sums are made of, with each value cut at three times the median: one laptop
    that slept through a job does not move it."""
    ordered = list(values)
    limit = 3 * quantile(ordered, 0.5)
    return sum(min(value, limit) for value in ordered) / len(ordered)

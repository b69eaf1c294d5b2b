"""Learned needs: what jobs of a kind really took, and what admission asks for them because of it. Pure.

Up as soon as the 95th percentile exceeds what was declared; down only after many clean samples of the code
that runs now, and never below the task's floor. What nothing is known of is asked as declared.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from conductor.core.needs.declared_line import DeclaredLine, TimedJob, declared_line
from conductor.core.needs.evidence import (
    ENOUGH,
    FEW,
    fresh_bound,
    is_well_measured,
    of_receipts,
    when,
    without_wild,
    without_words,
)
from conductor.core.needs.learned_amounts import BY_NAME, LEARNED, Resource
from conductor.core.needs.robust_line import RobustLine, usual_line
from conductor.core.needs.samples import (
    Key,
    Memory,
    Ring,
    Sample,
    key_of_class,
    quantile,
    usual,
)
from conductor.model.snapshot import JobClass
from conductor.model.spec import Needs, RateNeed, Seconds, TaskDecl, Value

#: With fewer of its own size, durations and tokens are taken from all sizes: the first in a worker pays its
#: imports.
OWN = 8
#: Sizes within this factor are neighbours: what they took says something of this one.
NEAR = 2.0
P95 = 0.95
#: A whole device, whatever its size: cut to what there is where it is applied.
ALONE_MIB = 1 << 40

#: Intermediate results kept; then all are worked out anew.
KEPT_FACTS = 1000

Measure = Callable[[Sample], float | None]
T = TypeVar("T")


class Policy(Value, frozen=True, kw_only=True):
    """What the operator lets be learned."""

    is_on: bool = True
    #: On top of the 95th percentile.
    margin: float = 1.25
    #: Clean samples before less is asked than was declared; 0: never less.
    lower_after: int = ENOUGH


class LearnedEstimate(Value, frozen=True, kw_only=True):
    """One amount of one class: MiB, bytes, seconds or tokens, as `what` says."""

    what: str
    declared: float
    #: What admission goes by, before it is cut to what the largest place has.
    uses: float
    why: str
    p50: float | None = None
    p95: float | None = None
    highest: float | None = None
    #: What it rests on.
    samples: tuple[Sample, ...] = ()

    @property
    def is_learned(self) -> bool:
        return self.uses != self.declared


class Taught(NamedTuple):
    """A class with learned needs. `is_more`: some are above what its jobs' lines ask, and are still to be
    cut.
    """

    job_class: JobClass
    is_more: bool


class LearnedNeeds:
    """The estimates of a `Memory`. `code`: task → the code that runs now; where it is not named, the
    latest seen.
    """

    def __init__(
        self,
        memory: Memory,
        decls: Mapping[str, TaskDecl],
        policy: Policy | None = None,
        code: Mapping[str, str] | None = None,
    ) -> None:
        self.memory = memory
        self.policy = policy or Policy()
        self._decls = decls
        self.code = code or {}
        self._kept: dict[Hashable, tuple[tuple[int, str], Any]] = {}

    def code_of(self, task: str) -> str:
        return self.code.get(task) or self.memory.latest_code(task)

    def taught(self, c: JobClass) -> Taught:
        """The class with what was learned in place of what was declared. Its id stays: the ledger knows it
        by that.
        """
        if not self.policy.is_on:
            return Taught(c, is_more=c.planned is not None)
        found, amounts, writes = dict[str, LearnedEstimate](), dict[str, int](), sum(c.writes.values())
        for row in LEARNED:
            estimate = found[row.name] = self.need(c, row.name)
            if estimate.is_learned:
                uses = round(estimate.uses)
                amounts[row.name] = max(0, uses - writes) if row.has_files else uses
        needs = msgspec.structs.replace(c.needs, **amounts, rates=self._rates(c))
        is_more = (
            any(estimate.uses > estimate.declared for estimate in found.values())
            or needs.rates != c.needs.rates
        )
        is_more = is_more or c.planned is not None
        return Taught(msgspec.structs.replace(c, needs=needs, duration_s=self.duration_s(c)), is_more)

    def _rates(self, c: JobClass) -> dict[str, RateNeed]:
        tokens = self.tokens(c)
        if tokens is None or not tokens.is_learned or not self.policy.is_on:
            return c.needs.rates
        return {
            key: msgspec.structs.replace(need, tokens=round(tokens.uses)) if need.tokens else need
            for key, need in c.needs.rates.items()
        }

    # ── memory, VRAM, scratch ─────────────────────────────────────────────────────────────────────────────

    def need(self, c: JobClass, resource: Resource) -> LearnedEstimate:
        """Of scratch: temporary files and outputs together."""
        declared = BY_NAME[resource].declared(c.needs, sum(c.writes.values()))
        own, bounds = self._seen(c, resource)
        seen, wild = without_wild(sorted([*own, *bounds], key=when), resource)
        values = [float(s.value(resource) or 0) for s in seen]
        found = LearnedEstimate(
            what=resource,
            declared=declared,
            uses=declared,
            why="as declared"
            + (f", after {of_receipts(len(seen))}" if seen else "")
            + without_words(wild, resource),
            p50=quantile(values, 0.5) if values else None,
            p95=quantile(values, P95) if values else None,
            highest=max(values, default=None),
            samples=tuple(seen),
        )
        if not self.policy.is_on:
            return msgspec.structs.replace(found, why="as declared: learning is off")
        if resource == "vram_mib" and not seen and self._is_cold(c):
            why = "alone on its device: no VRAM is declared, and none was measured yet"
            return msgspec.structs.replace(found, uses=ALONE_MIB, why=why)
        if (more := self._more(found, resource)) is not None:
            return msgspec.structs.replace(more, why=more.why + without_words(wild, resource))
        return self._less(found, c, resource) or found

    def _seen(self, c: JobClass, resource: Resource) -> tuple[list[Sample], list[Sample]]:
        """What jobs of this size and request took; of smaller ones the out-of-memories, for it needs no
        less.
        """
        key, code = key_of_class(c), self.code_of(c.task)
        ring = self.memory.ring(key)
        own = [s for s in (ring.samples if ring else ()) if s.value(resource) is not None]
        bounds = [s for r, s in self._ran_out(c, resource) if r is not ring and 0 < r.size <= key.size]
        if not own:
            near = [r for r in self._near(key) if r.size <= key.size]
            own = [
                s
                for r in near
                for s in r.samples
                if s.value(resource) is not None and s.ran_out_of != resource
            ]
        present = [s for s in own if s.code == code]
        if len(present) >= ENOUGH:
            return present, [s for s in bounds if s.code == code]
        return own, bounds

    def _more(self, found: LearnedEstimate, resource: Resource) -> LearnedEstimate | None:
        fresh = fresh_bound(found.samples, resource)
        evidence = max(found.p95 or 0.0, fresh or 0)
        is_over = evidence > max(found.declared, BY_NAME[resource].small)
        if not is_over and (fresh is None or fresh < found.declared):
            return None
        uses = BY_NAME[resource].rounded(max(evidence * self.policy.margin, found.highest or 0.0))
        if uses <= found.declared:
            return None
        ran_out = sum(s.ran_out_of == resource for s in found.samples)
        also = f", {ran_out} of which ran out of it" if ran_out else ""
        why = f"p95 × {self.policy.margin:g} of {of_receipts(len(found.samples))}{also}: more than declared"
        return msgspec.structs.replace(found, uses=uses, why=why)

    def _less(self, found: LearnedEstimate, c: JobClass, resource: Resource) -> LearnedEstimate | None:
        """Only by the code that runs now, well measured, and where none of the kind ran out of it."""
        key, code, wanted = key_of_class(c), self.code_of(c.task), self.policy.lower_after
        if not wanted or found.declared <= 0:
            return None
        if any(s.code == code for _, s in self._ran_out(c, resource)):
            return None
        clean: list[tuple[Sample, float]] = [
            (s, value * max(1.0, key.size / ring.size if key.size else 1.0))
            for ring in self._near(key)
            for s in ring.samples
            if s.code == code and (value := s.value(resource)) is not None and is_well_measured(s, resource)
        ]
        if len(clean) < wanted:
            return None
        values = [value for _, value in clean]
        by_use = BY_NAME[resource].rounded(max(quantile(values, P95) * self.policy.margin, *values))
        uses = max(by_use, self._floor(c, resource), BY_NAME[resource].grain)
        if uses >= found.declared:
            return None
        samples = tuple(sorted((s for s, _ in clean), key=when))
        near = ", of nearby sizes too" if len(samples) > len(found.samples) else ""
        at_floor = "; its floor" if uses > by_use else ""
        of = of_receipts(len(samples))
        why = f"p95 × {self.policy.margin:g} of {of}{near}{at_floor}: less than declared"
        return msgspec.structs.replace(found, uses=uses, why=why, samples=samples)

    def _ran_out(self, c: JobClass, resource: Resource) -> list[tuple[Ring, Sample]]:
        """Of the whole kind."""
        kind = c.kind or c.task

        def fresh() -> list[tuple[Ring, Sample]]:
            return [(r, s) for r in self.memory.rings(kind) for s in r.samples if s.ran_out_of == resource]

        return self._once((kind, resource), kind, c.task, fresh)

    def _near(self, key: Key) -> Iterator[Ring]:
        """Of sizes within a factor of `NEAR`; without a size its own only."""
        own = self.memory.ring(key)
        if key.size:
            smallest, largest = key.size / NEAR, key.size * NEAR
            yield from (r for r in self.memory.rings(key.kind) if smallest <= r.size <= largest or r is own)
        elif own is not None:
            yield own

    def _floor(self, c: JobClass, resource: Resource) -> int:
        decl = self._decls.get(c.task)
        return BY_NAME[resource].declared(decl.floor if decl else Needs(), sum(c.writes.values()))

    def _is_cold(self, c: JobClass) -> bool:
        """A task whose own place is the GPU and that says nothing of its VRAM. Others were sent there by
        their line.
        """
        decl = self._decls.get(c.task)
        return c.lane == "gpu" and not c.needs.vram_mib and decl is not None and decl.lane == "gpu"

    # ── duration, tokens ──────────────────────────────────────────────────────────────────────────────────

    def duration_s(self, c: JobClass) -> Seconds:
        """What is expected of a job of this class; 0 where nobody knows."""
        return self.duration(c).uses

    def duration(self, c: JobClass) -> LearnedEstimate:
        """The usual one, for sums of it are what an ETA is. Unseen sizes: by a line through the others.

        Also where learning is switched off: an ETA holds nothing back."""
        return self._usual("duration_s", c, c.duration_s, lambda s: s.seconds)

    def tokens(self, c: JobClass) -> LearnedEstimate | None:
        """Of a class that takes tokens from one API; None for others."""
        asked = [need.tokens for need in c.needs.rates.values() if need.tokens]
        return self._usual("tokens", c, asked[0], lambda s: s.tokens) if len(asked) == 1 else None

    def _usual(self, what: str, c: JobClass, declared: float, of: Measure) -> LearnedEstimate:
        key = key_of_class(c)
        ring = self.memory.ring(key)
        own = self._known([ring] if ring else [], c.task, of)
        values = [value for _, _, value in own]
        x = key.size or (c.duration_s if what == "duration_s" else 0.0)
        line, count = self._line(what, key, c.task, of) if x and len(own) < OWN else (None, 0)
        plan = self._plan(key, c.task, of) if what == "duration_s" and key.size and declared > 0 else None
        if plan is not None and plan.says_more_of(key.size):
            uses, why = plan.line.at(declared), "by what was declared, which says more than the size"
            samples = tuple(s for _, s, _ in own)
        elif line is not None and count > len(own):
            uses, why = line.at(x), f"by size, from {of_receipts(count)}"
            near = [
                s for r in self._near(key) for s in r.samples if s.ran_out_of is None and of(s) is not None
            ]
            samples = tuple(sorted(near, key=when))
        elif own:
            uses, why, samples = (
                usual(values),
                f"the usual of {of_receipts(len(own))}",
                tuple(s for _, s, _ in own),
            )
        else:
            return LearnedEstimate(what=what, declared=declared, uses=declared, why="as declared")
        return LearnedEstimate(
            what=what,
            declared=declared,
            uses=uses,
            why=why,
            p50=quantile(values, 0.5) if values else None,
            p95=quantile(values, P95) if values else None,
            highest=max(values, default=None),
            samples=samples,
        )

    def _line(self, what: str, key: Key, task: str, of: Measure) -> tuple[RobustLine | None, int]:
        """Over all sizes of the kind (without sizes: planned durations), and how many samples it rests on."""

        def fresh() -> tuple[RobustLine | None, int]:
            rings = [ring for ring in self.memory.rings(key.kind) if _x(ring, key)]
            known = self._known(rings, task, of)
            return (usual_line((_x(ring, key), v) for ring, _, v in known) if known else None), len(known)

        return self._once((key.kind, what, key.size > 0), key.kind, task, fresh)

    def _plan(self, key: Key, task: str, of: Measure) -> DeclaredLine | None:
        """What the kind declares, held against its sizes."""

        def fresh() -> DeclaredLine | None:
            known = self._known([ring for ring in self.memory.rings(key.kind) if ring.size], task, of)
            line, _ = self._line("duration_s", key, task, of)
            if line is None:
                return None
            return declared_line(
                [TimedJob(ring.size, s.declared_s, line.at(ring.size), v) for ring, s, v in known]
            )

        return self._once((key.kind, "plan"), key.kind, task, fresh)

    def _known(self, rings: Sequence[Ring], task: str, of: Measure) -> list[tuple[Ring, Sample, float]]:
        """Of the code that runs now, where there are a few of it."""
        found = [
            (ring, sample, value)
            for ring in rings
            for sample in ring.samples
            if sample.ran_out_of is None and (value := of(sample)) is not None
        ]
        code = self.code_of(task)
        present = [known for known in found if known[1].code == code]
        return present if len(present) >= FEW else found

    def _once(self, name: Hashable, kind: str, task: str, fresh: Callable[[], T]) -> T:
        """What does not change until the kind has another sample, or the task other code."""
        state = (self.memory.version(kind), self.code_of(task))
        known = self._kept.get(name)
        if known is None or known[0] != state:
            if len(self._kept) > KEPT_FACTS:
                self._kept.clear()
            known = self._kept[name] = (state, fresh())
        return known[1]


def _x(ring: Ring, key: Key) -> float:
    """What stands for the size of its jobs; 0: nothing that compares."""
    return ring.size if key.size else 0.0 if ring.size else ring.duration_s

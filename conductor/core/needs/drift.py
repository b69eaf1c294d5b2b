"""Drift: jobs of a kind take more, or less, than they did: since another code, or for no known reason. Pure.

Compared are ranks (Mann and Whitney), of values in proportion to the usual one of their own size, so that
neither one wild value nor another mix of sizes is taken for a change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

from conductor.base.text import duration, many, printable
from conductor.core.needs.estimates import P95
from conductor.core.needs.learned_amounts import BY_NAME, LEARNED
from conductor.core.needs.samples import Ring, Sample, quantile
from conductor.model.spec import Value

#: What is compared: name → what a sample says of it.
MEASURES: dict[str, Callable[[Sample], float | None]] = {
    **{row.name: attrgetter(row.name) for row in LEARNED},
    "duration_s": lambda s: s.seconds,
    "tokens": lambda s: s.tokens,
}
WORDS = {**{row.name: row.words for row in LEARNED}, "duration_s": "duration", "tokens": "tokens"}
#: The last so many are held against those before.
LATELY = 10
#: Fewer than so many on either side prove nothing.
LEAST = 5
#: Standard deviations: once in a hundred by chance alone.
Z = 2.58
#: What is less than a tenth is not worth a word.
WORTH = 1.1


class Drift(Value, frozen=True, kw_only=True):
    kind: str
    what: str
    #: 95th percentiles.
    before: float
    after: float
    #: The code since which it is so; empty: the last few of the same code differ from those before.
    code: str = ""
    samples_before: int = 0
    samples_after: int = 0


def drifts(kind: str, rings: Sequence[Ring], code: str) -> list[Drift]:
    """What has changed in the rings of one kind. `code`: the one that runs now."""
    found: list[Drift] = []
    for what, of in MEASURES.items():
        by_code = _compared(kind, what, of, [_by_code(ring, code) for ring in rings], code)
        lately = by_code or _compared(kind, what, of, [_lately(ring, code) for ring in rings], "")
        found += [lately] if lately else []
    return found


Pair = tuple[list[Sample], list[Sample]]


def _clean(ring: Ring) -> Iterable[Sample]:
    return (s for s in ring.samples if s.ran_out_of is None)


def _by_code(ring: Ring, code: str) -> Pair:
    """Of the code before the present one, and of the present one."""
    new = [s for s in _clean(ring) if s.code == code]
    others = [s for s in _clean(ring) if s.code != code]
    last = others[-1].code if others else ""
    return [s for s in others if s.code == last], new


def _lately(ring: Ring, code: str) -> Pair:
    same = [s for s in _clean(ring) if s.code == code]
    return same[:-LATELY], same[-LATELY:]


def _compared(
    kind: str, what: str, of: Callable[[Sample], float | None], pairs: Sequence[Pair], code: str
) -> Drift | None:
    before: list[float] = []
    after: list[float] = []
    usual_before: list[float] = []
    usual_after: list[float] = []
    for pair in pairs:
        old, new = ([float(v) for s in side if (v := of(s)) is not None] for side in pair)
        if not old or not new or (middle := quantile([*old, *new], 0.5)) <= 0:
            continue
        before += old
        after += new
        usual_before += [value / middle for value in old]
        usual_after += [value / middle for value in new]
    if min(len(before), len(after)) < LEAST or abs(rank_z(usual_before, usual_after)) < Z:
        return None
    share = quantile(usual_after, 0.5) / max(quantile(usual_before, 0.5), 1e-9)
    if 1 / WORTH < share < WORTH:
        return None
    return Drift(
        kind=kind,
        what=what,
        before=quantile(before, P95),
        after=quantile(after, P95),
        code=code,
        samples_before=len(before),
        samples_after=len(after),
    )


def rank_z(a: Sequence[float], b: Sequence[float]) -> float:
    """How many standard deviations the ranks of `b` lie above chance; ties share their rank."""
    pooled = sorted([(value, 0) for value in a] + [(value, 1) for value in b])
    n, ranks_of_b, ties, at = len(pooled), 0.0, 0.0, 0
    while at < n:
        end = at
        while end < n and pooled[end][0] == pooled[at][0]:
            end += 1
        ranks_of_b += (at + 1 + end) / 2 * sum(side for _, side in pooled[at:end])
        ties += (end - at) ** 3 - (end - at)
        at = end
    u = ranks_of_b - len(b) * (len(b) + 1) / 2
    variance = len(a) * len(b) / 12 * (n + 1 - ties / (n * (n - 1))) if n > 1 else 0.0
    return (u - len(a) * len(b) / 2) / math.sqrt(variance) if variance > 0 else 0.0


# ── as text ───────────────────────────────────────────────────────────────────────────────────────────────


def sentence(d: Drift) -> str:
    """«media.render: VRAM p95 6.1 GiB → 8.4 GiB since code 3fa9c1d2 (30 receipts before, 12 since)»."""
    since = f"since code {short_code(d.code)}" if d.code else "lately, with the same code"
    change = f"{WORDS[d.what]} p95 {shown(d.what, d.before)} → {shown(d.what, d.after)}"
    return printable(
        f"{d.kind}: {change} {since} ({many(d.samples_before, 'receipt')} before, {d.samples_after} since)"
    )


def short_code(version: str) -> str:
    """«3fa9c1d2» of «0.1.0+3fa9c1d2»."""
    return version.rpartition("+")[2]


def shown(what: str, value: float | None) -> str:
    """An amount as people read it; «–» where it is not known."""
    if value is None:
        return "–"
    if what == "duration_s":
        return duration(value)
    return BY_NAME[what].shown(value) if what in BY_NAME else f"{value:.0f}"

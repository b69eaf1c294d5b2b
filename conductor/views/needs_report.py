"""What `conductor needs` shows: per kind and size what was declared, what was measured, what is asked and
why.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from conductor.base.errors import UsageError
from conductor.base.files.layout import Layout
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.base.text import many, printable, table
from conductor.core.failures.history import named
from conductor.core.needs.drift import WORDS, Drift, drifts, sentence, short_code, shown
from conductor.core.needs.estimates import ALONE_MIB, LearnedEstimate, LearnedNeeds, Policy
from conductor.core.needs.learned_amounts import LEARNED
from conductor.core.needs.samples import Ring, Sample
from conductor.model.snapshot import JobClass
from conductor.model.spec import RateNeed, TaskDecl, Value
from conductor.tick.learned_needs import Codes
from conductor.tick.receipt_samples import Receipts, cache_of

#: Of the receipts an estimate rests on, so many are named on the screen; `--json` has them all.
SHOWN = 6


class Rested(Value, frozen=True, kw_only=True):
    """A receipt that an estimate rests on."""

    job_id: str
    attempt: int
    at: float
    node: str
    code_version: str
    value: float
    ran_out: bool = False


class Amount(Value, frozen=True, kw_only=True):
    """One amount: MiB, bytes, seconds or tokens. `uses` None: a whole device."""

    what: str
    #: None: not told by receipts (tokens).
    declared: float | None
    p50: float | None
    p95: float | None
    highest: float | None
    uses: float | None
    why: str
    receipts: tuple[Rested, ...] = ()


class KindNeeds(Value, frozen=True, kw_only=True):
    """Jobs of one kind, size and request."""

    task: str
    kind: str
    size: float
    code_version: str
    receipts: int
    amounts: tuple[Amount, ...]


class Report(Value, frozen=True, kw_only=True):
    folder: str
    nodes: tuple[str, ...]
    is_on: bool
    kinds: tuple[KindNeeds, ...]
    drift: tuple[Drift, ...]


def gather(layout: Layout, policy: Policy, decls: Mapping[str, TaskDecl], name: str | None = None) -> Report:
    """From the receipts of this host, without Redis. `name`: a task or a kind. Raises `UsageError` for one
    unknown.
    """
    receipts = Receipts(layout.receipts_dir, cache_of(layout.state_dir))
    while news := receipts.news():
        for receipt in news:
            receipts.memory.learn(receipt)
    learned = LearnedNeeds(receipts.memory, decls, policy, Codes(decls))
    rings = [ring for ring in receipts.memory.rings() if name in (None, ring.task, ring.kind)]
    if name is not None and not rings and name not in decls:
        known = sorted({*decls, *(ring.kind for ring in receipts.memory.rings())})
        raise UsageError(f"no task is named {name}, and no receipt either{did_you_mean(name, known)}")
    rings.sort(key=lambda ring: (ring.kind, ring.size, ring.duration_s, ring.key.asks))
    found = [d for kind in dict.fromkeys(r.kind for r in rings) for d in _drifts(learned, kind)]
    return Report(
        folder=str(layout.receipts_dir),
        nodes=tuple(sorted(receipts.memory.nodes)),
        is_on=learned.policy.is_on,
        kinds=tuple(_kind(learned, ring, decls.get(ring.task)) for ring in rings),
        drift=tuple(found),
    )


def _drifts(learned: LearnedNeeds, kind: str) -> list[Drift]:
    rings = list(learned.memory.rings(kind))
    return drifts(kind, rings, learned.code_of(rings[0].task))


def _kind(learned: LearnedNeeds, ring: Ring, decl: TaskDecl | None) -> KindNeeds:
    c = class_of_ring(ring, decl)
    estimates = [learned.need(c, row.name) for row in LEARNED]
    amounts = [_amount(e) for e in estimates if e.samples or e.declared or e.uses]
    amounts.append(_amount(learned.duration(c)))
    if any(s.tokens is not None for s in ring.samples) and (tokens := learned.tokens(c)) is not None:
        amounts.append(msgspec.structs.replace(_amount(tokens), declared=None))
    return KindNeeds(
        task=ring.task,
        kind=ring.kind,
        size=ring.size,
        code_version=learned.code_of(ring.task),
        receipts=len(ring.samples),
        amounts=tuple(amounts),
    )


def class_of_ring(ring: Ring, decl: TaskDecl | None) -> JobClass:
    """A class that has just what its receipts tell of it."""
    return JobClass(
        id="",
        backlog="",
        task=ring.task,
        lane=decl.lane if decl else "cpu",
        needs=msgspec.structs.replace(ring.needs, rates={"": RateNeed(tokens=1)}),
        writes={"": ring.writes_bytes},
        duration_s=ring.duration_s,
        size=ring.size,
        kind=ring.kind,
    )


def _amount(e: LearnedEstimate) -> Amount:
    return Amount(
        what=e.what,
        declared=e.declared,
        p50=e.p50,
        p95=e.p95,
        highest=e.highest,
        uses=None if e.uses == ALONE_MIB else e.uses,
        why=e.why,
        receipts=tuple(
            _rested(s, e.what) for s in sorted(e.samples, key=lambda s: (s.at, s.job_id, s.attempt))
        ),
    )


def _rested(s: Sample, what: str) -> Rested:
    value = s.seconds if what == "duration_s" else getattr(s, what)
    return Rested(
        job_id=s.job_id, attempt=s.attempt, at=s.at, node=s.node, code_version=s.code, value=value or 0.0,
        ran_out=s.ran_out_of == what,
    )  # fmt: skip


# ── as text ───────────────────────────────────────────────────────────────────────────────────────────────


def lines(report: Report, name: str | None) -> list[str]:
    """All kinds in a table; of one named task every amount with its reason and its receipts."""
    if not report.kinds:
        of = f" of {name}" if name else ""
        return [f"no receipt{of} in {printable(report.folder)} yet: what is asked is what is declared"]
    out: list[str] = []
    if not report.is_on:
        out.append(
            "learning is off ([learning] is_on = false): what is declared is asked; only the ETA "
            "goes by receipts"
        )
    if name is None:
        out += _overview(report)
    else:
        for kind in report.kinds:
            out += _detail(kind)
    out += [f"drift: {sentence(d)}" for d in report.drift]
    nodes = ", ".join(report.nodes)
    return [*out, f"from the receipts in {printable(report.folder)}, of {printable(nodes)}"]


def _overview(report: Report) -> list[str]:
    rows: list[tuple[str, ...]] = [("kind", "size", "receipts", "what", "declared", "p50", "p95", "asks")]
    for kind in report.kinds:
        for a in kind.amounts:
            figures = (shown(a.what, v) for v in (a.declared, a.p50, a.p95))
            rows.append((kind.kind, _size(kind), str(kind.receipts), WORDS[a.what], *figures, _asks(a)))
    return table(rows, indent="")


def _detail(kind: KindNeeds) -> list[str]:
    of = f", size {_size(kind)}" if kind.size else ""
    out = [
        f"{kind.kind}{of}: {many(kind.receipts, 'receipt')}, code "
        f"{short_code(kind.code_version) or 'not known'}"
    ]
    for a in kind.amounts:
        figures = (("declared", a.declared), ("p50", a.p50), ("p95", a.p95), ("at most", a.highest))
        known = [f"{word} {shown(a.what, value)}" for word, value in figures if value is not None]
        verb = "expects" if a.what == "duration_s" else "asks"
        out += [f"  {WORDS[a.what]}: {', '.join(known)}; {verb} {_asks(a)}", f"    {a.why}"]
        out += [f"      {_receipt(a.what, r)}" for r in a.receipts[-SHOWN:]]
        if (more := len(a.receipts) - SHOWN) > 0:
            out.append(f"      … and {more} before (--json has them all)")
    return [printable(line) for line in out]


def _receipt(what: str, r: Rested) -> str:
    when = datetime.fromtimestamp(r.at).strftime("%Y-%m-%d %H:%M:%S")
    note = ", ran out" if r.ran_out else ""
    return f"{r.job_id} {named(r.attempt)}, {when} on {r.node}: {shown(what, r.value)}{note}"


def _asks(a: Amount) -> str:
    return "a whole device" if a.uses is None else shown(a.what, a.uses)


def _size(kind: KindNeeds) -> str:
    return f"{kind.size:.3g}" if kind.size else "–"

"""What more hardware or quota would gain: the same jobs played through with one thing more, each in its turn.

Durations are those of what there is: a faster GPU is not thought of, one more of the same is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from conductor.analysis.one_more import (
    GB,
    Budgets,
    Nodes,
    more_gpus,
    more_hosts,
    more_pilots,
    more_quota,
    more_scratch,
)
from conductor.analysis.simulation.rule import Rule, words
from conductor.analysis.simulation.world import World
from conductor.base.text import duration, many, table
from conductor.model.pilot import PilotShape
from conductor.model.spec import Value

#: Plays all jobs on these nodes and budgets.
Play = Callable[[Nodes, Budgets], World]


class PlayOutcome(Value, frozen=True, kw_only=True):
    """One play. `never`: jobs that cannot run at all there."""

    makespan_s: float
    done: int
    never: int
    #: Gate → seconds, over all jobs, that it held one back; gates that are closed together count each.
    lost_s_by_gate: dict[str, float] = {}


class Offer(Value, frozen=True, kw_only=True):
    """One thing more. `sooner_s` negative: later, for the order in which jobs find room is another."""

    what: str
    words: str
    makespan_s: float
    sooner_s: float
    #: Of the makespan as it is.
    share: float
    #: Jobs that could run then, and cannot now.
    more_done: int = 0


class Price(Value, frozen=True, kw_only=True):
    jobs: int
    #: What every play decided by.
    rule: Rule
    as_is: PlayOutcome
    offers: tuple[Offer, ...]
    #: Live: gate → seconds that it has held at least one class of the backlog so far, by the gate ledger.
    recorded_lost_s: dict[str, float] = {}
    notes: tuple[str, ...] = ()


class Wish(Value, frozen=True, kw_only=True):
    """How much more of each. `gpu_mib` 0: as the largest there is. `shapes`: engine with pilots → what one
    of them brings."""

    gpus: int = 1
    gpu_mib: int = 0
    scratch_bytes: int = 500 * GB
    quota: float = 2.0
    hosts: int = 1
    pilots: int = 1
    shapes: dict[str, PilotShape] = {}


def price(play: Play, nodes: Nodes, budgets: Budgets, wish: Wish, rule: Rule) -> Price:
    """Play it as it is, then with each wish by itself."""
    base, notes = outcome(play(nodes, budgets)), list[str]()
    offers = [
        offer(what, words, outcome(play(*changed)), base)
        for what, words, changed in changes(nodes, budgets, wish, notes)
    ]
    jobs = base.done + base.never
    return Price(jobs=jobs, rule=rule, as_is=base, offers=tuple(offers), notes=tuple(notes))


def outcome(world: World) -> PlayOutcome:
    ends = [job.end_s for job in world.jobs if job.end_s is not None]
    began = world.began_at
    return PlayOutcome(
        makespan_s=round(max(ends, default=began) - began, 3),
        done=world.done,
        never=len(world.jobs) - world.done,
        lost_s_by_gate={gate: round(seconds, 3) for gate, seconds in sorted(world.held_s.items())},
    )


def offer(what: str, words: str, found: PlayOutcome, base: PlayOutcome) -> Offer:
    sooner = base.makespan_s - found.makespan_s
    return Offer(
        what=what,
        words=words,
        makespan_s=found.makespan_s,
        sooner_s=round(sooner, 3),
        share=round(sooner / base.makespan_s, 4) if base.makespan_s else 0.0,
        more_done=found.done - base.done,
    )


# ── one thing more ────────────────────────────────────────────────────────────────────────────────────────


def changes(
    nodes: Nodes, budgets: Budgets, wish: Wish, notes: list[str]
) -> Iterator[tuple[str, str, tuple[Nodes, Budgets]]]:
    """(name, words, what there would be). What makes no sense here is left out, and noted."""
    if gpus := more_gpus(nodes, wish.gpus, wish.gpu_mib):
        yield "gpu", gpus[0], (gpus[1], budgets)
    else:
        notes.append(
            "no GPU is there, so nothing tells what jobs would take on one: one GPU more is not offered"
        )
    if nodes:
        scratch = more_scratch(nodes, wish.scratch_bytes)
        yield "scratch", scratch[0], (scratch[1], budgets)
    if quota := more_quota(budgets, wish.quota):
        yield "quota", quota[0], (nodes, quota[1])
    else:
        notes.append("no API has a configured quota (rates.KEY): more of it is not offered")
    if hosts := more_hosts(nodes, wish.hosts):
        yield "host", hosts[0], (hosts[1], budgets)
    for engine, shape in wish.shapes.items():
        if pilots := more_pilots(nodes, engine, shape, wish.pilots):
            yield f"pilot:{engine}", pilots[0], (pilots[1], budgets)
    if wish.shapes:
        notes.append("a pilot is counted from the start, though it waits for its engine first")


# ── in words ──────────────────────────────────────────────────────────────────────────────────────────────


def lines(found: Price) -> list[str]:
    base = found.as_is
    never = f"; {many(base.never, 'job')} can never run there" if base.never else ""
    out = [f"{many(found.jobs, 'job')}, {duration(base.makespan_s)} as it is{never}"]
    if base.lost_s_by_gate:
        lost = sorted(base.lost_s_by_gate.items(), key=lambda item: -item[1])
        out.append(
            "waited for, added up over the jobs: " + ", ".join(f"{gate} {duration(s)}" for gate, s in lost)
        )
    if found.recorded_lost_s:
        held = sorted(found.recorded_lost_s.items(), key=lambda item: -item[1])
        out.append(
            "held so far, by the gate ledger: " + ", ".join(f"{gate} {duration(s)}" for gate, s in held)
        )
    out.append(f"decided by: {words(found.rule)}")
    rows = [("with", "takes", "sooner by", "")]
    rows += [(o.words, duration(o.makespan_s), _sooner(o), _more(o)) for o in found.offers]
    return [*out, "", *table(rows, indent=""), *(f"note: {note}" for note in found.notes)]


def _sooner(found: Offer) -> str:
    if abs(found.share) < 0.0005:
        return "nothing"
    sign = "" if found.sooner_s >= 0 else "-"
    return f"{sign}{duration(abs(found.sooner_s))} ({100 * found.share:.1f} %)"


def _more(found: Offer) -> str:
    return f"and {many(found.more_done, 'job')} more can run" if found.more_done > 0 else ""

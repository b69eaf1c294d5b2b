"""Is all well: one word and its parts, from reports and readings that are there already. Nothing is touched
for it: no mount, no device, so that it is answered also where one of them hangs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from conductor.base.text import many, printable, size
from conductor.core.admission.earliest_start import is_never
from conductor.model.report import NodeReport, Volume
from conductor.model.spec import Value
from conductor.views.staleness import no_conductor
from conductor.views.status import Status

HealthState = Literal["healthy", "degraded", "unhealthy"]
ORDER: tuple[HealthState, ...] = ("healthy", "degraded", "unhealthy")
#: A ledger that answers later than that is slow, and one that answers later than that does not answer.
SLOW_S, SILENT_S = 1.0, 3.0


class HealthPart(Value, frozen=True, kw_only=True):
    name: str
    state: HealthState = "healthy"
    words: str = ""
    figures: dict[str, float] = {}


class Health(Value, frozen=True, kw_only=True):
    """`state`: that of its worst part. `age_s`: since the ledger was read last; None: it never was."""

    state: HealthState
    age_s: float | None = None
    parts: tuple[HealthPart, ...] = ()


def health(
    status: Status | None,
    age_s: float | None,
    silent_s: float,
    fault: str = "",
    failed_last_hour: int | None = None,
) -> Health:
    """`status`: as it was read last, `age_s` seconds ago; it is being read anew for `silent_s`. `fault`: why
    it cannot be read; empty: it can."""
    parts = (redis(silent_s, fault), *(() if status is None else of_ledger(status, failed_last_hour)))
    return Health(state=worst(parts), age_s=age_s, parts=parts)


def worst(parts: Sequence[HealthPart]) -> HealthState:
    return ORDER[max(ORDER.index(part.state) for part in parts)]


def redis(silent_s: float, fault: str) -> HealthPart:
    if fault:
        return HealthPart(name="redis", state="unhealthy", words=printable(fault))
    if silent_s <= SLOW_S:
        return HealthPart(name="redis", words="answers")
    state: HealthState = "unhealthy" if silent_s > SILENT_S else "degraded"
    return HealthPart(name="redis", state=state, words=f"Redis has not answered for {silent_s:.1f} s")


def of_ledger(status: Status, failed_last_hour: int | None) -> Iterator[HealthPart]:
    yield conductor(status)
    yield workers(status)
    yield roots(status.nodes)
    yield scratch(status.nodes)
    yield vram(status.nodes)
    yield pending(status)
    yield failed(status, failed_last_hour)


def conductor(status: Status) -> HealthPart:
    if status.leader is not None:
        return HealthPart(name="conductor", words=f"led by {printable(status.leader)}")
    needed = status.total("waiting", "admitted", "running")
    state: HealthState = "unhealthy" if needed else "degraded"
    words = no_conductor(status.ledger_age, status.now)
    return HealthPart(name="conductor", state=state, words=words)


def workers(status: Status) -> HealthPart:
    count = sum(lane.workers for lane in status.lanes)
    figures = {"nodes": float(len(status.nodes)), "workers": float(count)}
    dying = [q for node in status.nodes for q in node.queues if q.dying]
    if count == 0:
        state: HealthState = "unhealthy" if status.total("waiting", "admitted", "running") else "degraded"
        return HealthPart(name="workers", state=state, words="no node with workers reports", figures=figures)
    words = f"{many(count, 'worker')} on {many(len(status.nodes), 'node')}"
    if dying:
        words += f"; those of {printable(dying[0].queue)} die at each start: {printable(dying[0].dying)}"
    return HealthPart(name="workers", state="degraded" if dying else "healthy", words=words, figures=figures)


def volumes(nodes: Sequence[NodeReport]) -> Iterator[tuple[NodeReport, Volume]]:
    return ((node, volume) for node in nodes for volume in node.volumes)


def roots(nodes: Sequence[NodeReport]) -> HealthPart:
    """Scratch and NAS alike: every declared root of every node."""
    found = list(volumes(nodes))
    bad = [(n, v) for n, v in found if v.fault or not v.is_writable]
    if not bad:
        return HealthPart(name="roots", words=f"{many(len(found), 'root')} there and writable")
    words = "; ".join(
        printable(f"{node.node}/{v.root}: {v.fault or 'cannot be written to'}") for node, v in bad
    )
    return HealthPart(name="roots", state="unhealthy", words=words, figures={"faulty": float(len(bad))})


def scratch(nodes: Sequence[NodeReport]) -> HealthPart:
    """Room on the roots; the figure is the least free of all."""
    known = [(n, v, v.free_bytes) for n, v in volumes(nodes) if v.free_bytes is not None]
    if not known:
        return HealthPart(name="scratch", words="no disk reports what is free")
    node, least, free = min(known, key=lambda found: found[2])
    low = [f"{n.node}/{v.root}" for n, v, _ in known if v.opens_at_bytes is not None]
    words = f"least free: {size(free)} on {node.node}/{least.root}"
    if low:
        words = f"too little room on {', '.join(low)}: nothing new starts to write there; {words}"
    return HealthPart(
        name="scratch",
        state="degraded" if low else "healthy",
        words=printable(words),
        figures={"free_bytes": float(free)},
    )


def vram(nodes: Sequence[NodeReport]) -> HealthPart:
    devices = [(node, device) for node in nodes for device in node.devices]
    out = [(n, d) for n, d in devices if d.quarantined]
    used = sum(d.vram_used_mib or 0 for _, d in devices)
    total = sum(d.vram_total_mib or 0 for _, d in devices)
    words = f"{size(used << 20)} used of {size(total << 20)}" if devices else "no device"
    if out:
        words = "; ".join(printable(f"{n.node}/{d.key} is not used: {d.quarantined}") for n, d in out)
    return HealthPart(
        name="vram",
        state="degraded" if out else "healthy",
        words=words,
        figures={"used_mib": float(used), "total_mib": float(total)},
    )


def pending(status: Status) -> HealthPart:
    never = sum(h.waiting for h in status.holds if is_never(h, status.ledger_age.moment(status.now)))
    waiting, stuck = status.total("waiting"), len(status.stuck)
    words = f"{many(waiting, 'job')} waiting"
    words += f", {never} can never run here" if never else ""
    words += f", {stuck} in flight do not get on" if stuck else ""
    return HealthPart(
        name="pending",
        state="degraded" if never or stuck else "healthy",
        words=words,
        figures={"waiting": float(waiting), "never": float(never), "stuck": float(stuck)},
    )


def failed(status: Status, last_hour: int | None) -> HealthPart:
    dead = status.total("dead")
    if last_hour is None:
        return HealthPart(name="failed", words=f"{dead} dead in all", figures={"dead": float(dead)})
    return HealthPart(
        name="failed",
        state="degraded" if last_hour else "healthy",
        words=f"{last_hour} died in the last hour, {dead} dead in all",
        figures={"last_hour": float(last_hour), "dead": float(dead)},
    )

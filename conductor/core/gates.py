"""The gates: each a small function that answers with numbers, per place. Asked of every class that is held.

A gate of a node looks at one node that has workers of the lane; a gate of the class looks at none. A refusal is
data: need, have, limit, who holds it, when it could open, and whether it ever can.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache

from conductor.core.ask import Ask
from conductor.core.counter_gates import counter, node_counter
from conductor.core.free import DeviceFree, DiskFree, Free, NodeFree, Pool, RateFree
from conductor.core.lane_gate import lane
from conductor.core.obstacles import obstacle_words
from conductor.core.places import asks_vram, usable_devices
from conductor.core.plights import asks_one_first, plight_words
from conductor.core.resources import NODE, Resource
from conductor.model.decision import Gate, Verdict
from conductor.model.snapshot import JobClass, RateState, Reservation
from conductor.text import size

MIB = 1 << 20
#: Foreign use below a twentieth of the device (a desktop's windows) is not worth a word unless it decides.
FOREIGN_SHARE = 20
#: Answers of one device that are kept from tick to tick.
MOST_SAID = 1000


# ── gates of the class ────────────────────────────────────────────────────────────────────────────────────


def report(ask: Ask, free: Free) -> list[Verdict]:
    """Does a live node have workers of this lane; of a job whose files lie on one node: that one. Stale nodes are named
    one by one."""
    able = [n for n in free.nodes.values() if n.queues.get(ask.lane) and ask.node in (None, n.name)]
    stale = [
        Verdict(gate="report", passed=False, where=n.name, have=n.age_s, limit=free.limits.report_ttl_s, unit="s",
                message=f"last report is {n.age_s:.0f} s old")
        for n in able if n.is_stale
    ]  # fmt: skip
    if not free.nodes:
        return [Verdict(gate="report", passed=False, need=1, unit="nodes", message="no node reports")]
    if not able and (
        dying := next(
            (n for n in free.nodes.values() if ask.node in (None, n.name) and not n.is_stale and ask.lane in n.dying),
            None,
        )
    ):
        return [Verdict(gate="report", passed=False, where=dying.name, need=1, unit="nodes", is_broken=True,
                        message=dying.dying[ask.lane])]  # fmt: skip
    if not able and ask.node is not None:
        why = f"has no workers of the {ask.lane} lane" if ask.node in free.nodes else "does not report"
        message = f"its files are there, and it {why}"
        return [Verdict(gate="report", passed=False, where=ask.node, need=1, unit="nodes", message=message)]
    if not able:
        message = f"no node has workers of the {ask.lane} lane"
        return [Verdict(gate="report", passed=False, need=1, unit="workers", message=message)]
    fresh = len(able) - len(stale)
    return [*stale, Verdict(gate="report", passed=fresh > 0, need=1, have=fresh, limit=len(able), unit="nodes",
                            message="" if fresh else "no fresh report")]  # fmt: skip


def hold(ask: Ask, free: Free) -> list[Verdict]:
    """The operator's word on the lane and on the whole, and the conductor's own."""
    controls = free.snapshot.controls
    whole = (controls.hold, "draining: nothing new is started" if controls.is_draining else "")
    stopped = [Verdict(gate="hold", passed=False, message=why) for why in whole if why]
    is_paused = ask.lane in controls.paused_lanes
    message = f"the {ask.lane} lane is paused" if is_paused else ""
    return [*stopped, Verdict(gate="hold", passed=not is_paused, where=ask.lane, message=message)]


def outside_hours(job_class: JobClass, free: Free) -> Verdict | None:
    """Its lane, or its backlog, may not start anything at this time of the day; None where it may."""
    for name, what in ((job_class.lane, "lane"), (job_class.backlog, "backlog")):
        if (at := free.snapshot.shut.get(name)) is not None:
            message = f"the {name} {what} is outside its hours"
            return Verdict(gate="hold", passed=False, where=name, reopens_at=at, message=message)
    return None


def rate(ask: Ask, free: Free) -> list[Verdict]:
    """The budget of every API the class calls; a 429 closes it at once."""
    verdicts: list[Verdict] = []
    for key, need in ask.rates:
        budget = free.rates.get(key)
        if budget is None:
            verdicts.append(Verdict(gate="rate", passed=True, where=key, need=need.requests, unit="requests"))
            continue
        state = budget.state
        verdicts.append(_closing(budget, free.now))
        verdicts.append(
            _budget(state, need.requests, budget.requests_left, state.requests_limit, "requests", state.resets_at)
        )
        verdicts.append(
            _budget(state, need.tokens, budget.tokens_left, state.tokens_limit, "tokens", state.tokens_reset_at)
        )
        if state.usd_limit is not None:
            verdicts.append(_spend(budget, budget.usd_of(need.requests, need.tokens)))
    return verdicts


def is_rate_open(ask: Ask, free: Free) -> bool:
    return all(verdict.passed for verdict in rate(ask, free)) if ask.rates else True


def _closing(budget: RateFree, now: float) -> Verdict:
    """Shut for all until a time; then, where its endpoint was not well, one asks before the others follow."""
    key, until, plight = budget.state.key, budget.state.closed_until, budget.state.plight
    is_refused = plight is not None and plight.trouble == "refuses"
    words = "rate limit" if plight is None else plight_words(key, plight)
    if until is not None and until > now:
        return Verdict(gate="rate", passed=False, where=key, reopens_at=until, is_refused=is_refused, message=words)
    if plight is not None and budget.going and asks_one_first(plight):
        return Verdict(gate="rate", passed=False, where=key, message=f"one job asks first: {words}")
    return Verdict(gate="rate", passed=True, where=key)


def _budget(
    state: RateState, need: int, left: int | None, limit: int | None, unit: str, resets_at: float | None
) -> Verdict:
    if left is None or limit is None:
        return Verdict(gate="rate", passed=True, where=state.key, need=need, unit=unit, message="no known limit")
    # A limit that was learned from 429s must not make a job unschedulable: such a job waits for the whole budget.
    asked = min(need, limit) if state.is_learned else need
    passed = left >= asked
    is_never = need > limit and not state.is_learned
    reopens_at = None if passed or is_never else resets_at
    message = "" if passed else "rate limit"
    return Verdict(gate="rate", passed=passed, where=state.key, need=need, have=max(0, left), limit=limit, unit=unit,
                   reopens_at=reopens_at, is_never=is_never, message=message)  # fmt: skip


def _spend(budget: RateFree, need: float) -> Verdict:
    """Money of the last 24 hours. Where a call's price is not known yet, it goes while anything is left."""
    state, left, limit = budget.state, budget.usd_left or 0.0, budget.state.usd_limit or 0.0
    passed = left > 0 and left >= need
    is_never = need > limit
    return Verdict(gate="rate", passed=passed, where=state.key, need=need, have=max(0.0, left), limit=limit, unit="USD",
                   reopens_at=None if passed or is_never else state.usd_reset_at, is_never=is_never,
                   message="" if passed else "spent for these 24 hours")  # fmt: skip


def after(waits_for: Sequence[str]) -> Verdict:
    """Of a job that waits for others; such a job is in no class, so the decision never sees it."""
    return Verdict(gate="after", passed=not waits_for, need=len(waits_for), unit="jobs", holders=tuple(waits_for))


# ── gates of a node ───────────────────────────────────────────────────────────────────────────────────────


def node_hold(ask: Ask, node: NodeFree, free: Free) -> list[Verdict]:
    """A node that drains, a device that is quarantined, and what node-side gates have shut."""
    drains = [Verdict(gate="hold", passed=False, where=node.name, message="draining")] if node.is_draining else []
    faults = [
        (d.key, f"quarantined: {d.why_not}") for d in usable_devices(ask, node) if d.why_not and not d.is_obstructed
    ]
    faults += [(q.missing, f"{q.missing} is not visible") for q in node.queues.get(ask.lane, ()) if q.missing]
    shut = [Verdict(gate="hold", passed=False, where=f"{node.name}/{key}", message=why) for key, why in faults]
    return [*drains, *shut, *_obstacles(ask, node)]


def _obstacles(ask: Ask, node: NodeFree) -> list[Verdict]:
    """What the host says of itself, or of its devices, whatever node-side gate found it."""
    found = [(node.name, obstacle) for obstacle in node.obstacles]
    found += [(f"{node.name}/{d.key}", obstacle) for d in usable_devices(ask, node) for obstacle in d.obstacles]
    return [
        Verdict(gate="hold", passed=False, where=where, have=obstacle.figure, limit=obstacle.opens_at,
                unit=obstacle.unit, obstacle=obstacle.gate, message=obstacle_words(obstacle))
        for where, obstacle in found
    ]  # fmt: skip


def mount(ask: Ask, node: NodeFree, free: Free) -> list[Verdict]:
    """Is every root it writes to declared here, there, and writable."""
    verdicts: list[Verdict] = []
    for root, _ in ask.disk:
        where, disk = f"{node.name}/{root}", node.disks.get(root)
        if disk is None:
            message = f"{root} is not declared on {node.name}"
            verdicts.append(Verdict(gate="mount", passed=False, where=where, is_never=True, message=message))
            continue
        fault = disk.volume.fault or (None if disk.volume.is_writable else "not writable")
        verdicts.append(Verdict(gate="mount", passed=fault is None, where=where, message=fault or ""))
    return verdicts


def vram(ask: Ask, node: NodeFree, free: Free) -> list[Verdict]:
    """Does a device fit it; for several devices at once: do enough of them."""
    queues = node.queues.get(ask.lane, ())
    if not ask.vram_mib:
        return []
    if not any(asks_vram(queue, ask) for queue in queues):
        message = "runs on the CPU, no VRAM is asked"
        return [Verdict(gate="vram", passed=True, where=node.name, need=ask.vram_mib, unit="MiB", message=message)]
    devices = usable_devices(ask, node)
    verdicts = [_device_vram(ask, d, node, free) for d in devices]
    if ask.devices == 1 and devices:
        return verdicts
    capable = sum(d.vram.limit >= ask.vram_mib for d in devices)
    fitting = sum(v.passed for v in verdicts)
    message = "no NVIDIA device visible" if not devices else f"{fitting} of {len(devices)} devices fit it"
    if ask.devices > 1 and len(devices) < len(node.devices):
        message = f"{message} (slices of cards cannot be used together)"
    if devices and capable < ask.devices:
        message = f"can never: it needs {ask.devices} devices, {capable} of {len(devices)} are large enough"
    return [*verdicts, Verdict(gate="vram", passed=fitting >= ask.devices, where=node.name, need=ask.devices,
                               have=fitting, limit=len(devices), unit="devices", is_never=capable < ask.devices,
                               message=message)]  # fmt: skip


def _device_vram(ask: Ask, device: DeviceFree, node: NodeFree, free: Free) -> Verdict:
    said = _told(device.vram, node, device.key, free).said
    known = said.get(ask.vram_mib)
    if known is None:
        known = said[ask.vram_mib] = _asked_of_device(ask, device, node, free)
    return known


def _asked_of_device(ask: Ask, device: DeviceFree, node: NodeFree, free: Free) -> Verdict:
    pool, need = device.vram, ask.vram_mib
    is_decisive = need <= pool.free + pool.foreign
    message = ""
    if need > pool.limit:
        message = f"can never: {device.size_words}"
    elif need > pool.free and pool.foreign and (is_decisive or pool.foreign * FOREIGN_SHARE >= device.total_mib):
        message = f"{size(pool.foreign * MIB)} used by others"

    return _pool_verdict("vram", node, device.key, pool, need, "MiB", _on_device(device.key), free, message)


@cache
def _on_device(key: str) -> Callable[[Reservation], int]:
    def held(r: Reservation) -> int:
        return r.vram_mib if key in r.devices else 0

    return held


class Told:
    """What one device has said, by what was asked of it; true as long as neither it nor who holds it is another."""

    __slots__ = ("said", "state")

    def __init__(self, state: tuple[object, ...]) -> None:
        self.state = state
        self.said: dict[int, Verdict] = {}


def _told(pool: Pool, node: NodeFree, key: str, free: Free) -> Told:
    """Ask it after the last admission. What it said in the tick before is said again where nothing of it changed."""
    told: Told | None = free.told.get(pool)
    if told is None:
        where, holding = (node.name, key), free.reservations.holding(node.name, f"vram {key}", _on_device(key))
        state = (pool.free, pool.limit, pool.foreign, holding)
        told = free.told_before.get(where)
        if told is None or told.state != state or len(told.said) > MOST_SAID:
            told = Told(state)
        free.told[pool] = free.telling[where] = told
    return told


def of_resource(row: Resource) -> NodeGate:
    """The gate of one resource of nodes."""

    def gate(ask: Ask, node: NodeFree, free: Free) -> list[Verdict]:
        need, pool = ask.amount(row.name), node.amounts[row.name]
        if not need:
            return []
        if pool is None:
            return [Verdict(gate=row.name, passed=False, where=node.name, unit=row.unit,
                            need=need if row.scale == 1 else need / row.scale, message="not known")]  # fmt: skip
        return [_pool_verdict(row.name, node, "", pool, need, row.unit, row.held, free, scale=row.scale)]

    return gate


def scratch(ask: Ask, node: NodeFree, free: Free) -> list[Verdict]:
    """Can its files land, on every disk it writes to. Disks that are not there are the mount gate's to name."""
    verdicts: list[Verdict] = []
    asked = _asked_of_pools(ask, node)
    for root, need in ask.disk:
        disk, where = node.disks.get(root), f"{node.name}/{root}"
        if disk is not None and (closed := _closed_disk(ask, disk, where, need)) is not None:
            verdicts.append(closed)
            continue
        if not need or disk is None:
            continue
        if disk.pool is None:
            message = "free space is not known"
            verdicts.append(
                Verdict(gate="scratch", passed=False, where=where, need=need, unit="bytes", message=message)
            )
            continue
        need = asked[disk.pool]
        sharing = [other for other, its in node.disks.items() if its.pool is disk.pool]
        message = ""
        if need > disk.pool.limit:
            message = f"can never: {size(disk.total)} in all, headroom_bytes keeps {size(disk.headroom)} of it free"

        def held(r: Reservation, sharing: Sequence[str] = sharing) -> int:
            return sum(r.disk.get(other, 0) for other in sharing)

        verdicts.append(_pool_verdict("scratch", node, root, disk.pool, need, "bytes", held, free, message))
    return verdicts


def _closed_disk(ask: Ask, disk: DiskFree, where: str, need: int) -> Verdict | None:
    opens_at, free = disk.volume.opens_at_bytes, disk.volume.free_bytes or 0
    if opens_at is None or ask.node is not None:
        return None
    message = f"closed: less than {size(disk.headroom)} was free, opens at {size(opens_at)}"
    return Verdict(
        gate="scratch", passed=False, where=where, need=need, have=free, limit=opens_at, unit="bytes", message=message
    )


def _asked_of_pools(ask: Ask, node: NodeFree) -> dict[Pool, int]:
    """What the attempt puts on each file system: several roots may lie on one."""
    asked: dict[Pool, int] = {}
    for root, need in ask.disk:
        disk = node.disks.get(root)
        if disk is not None and disk.pool is not None:
            asked[disk.pool] = asked.get(disk.pool, 0) + need
    return asked


def _pool_verdict(
    gate: Gate, node: NodeFree, part: str, pool: Pool, need: int, unit: str, held: Callable[[Reservation], int],
    free: Free, message: str = "", scale: int = 1,
) -> Verdict:  # fmt: skip
    """`part`: the device or root, empty for the node's own; `held`: what a reservation has of it."""
    where = f"{node.name}/{part}" if part else node.name
    have, limit = max(0, pool.free), pool.limit
    if pool.free >= need:
        return Verdict(gate=gate, passed=True, where=where, need=need / scale, have=have / scale, limit=limit / scale,
                       unit=unit, message=message)  # fmt: skip
    is_never = need > limit
    # Files are ours for the most part, whoever is asked; of memory nothing is when no attempt holds any.
    is_crowded = gate in ("vram", "ram") and not is_never and not pool.reserved
    if is_crowded:
        message = f"{size(pool.foreign * MIB)} used by others"
    holding = free.reservations.holding(node.name, f"{gate} {part}", held)
    if not message and limit >= need > limit - pool.foreign:
        # Were all of ours over, it would not fit yet.
        taken = size(pool.foreign * (1 if gate == "scratch" else MIB))
        message = f"{taken} taken by files that lie there" if gate == "scratch" else f"{taken} used by others"
    return Verdict(
        gate=gate,
        passed=False,
        where=where,
        need=need / scale,
        have=have / scale,
        limit=limit / scale,
        unit=unit,
        holders=holding.ids,
        reopens_at=None if is_never else holding.enough_at(need - pool.free),
        is_never=is_never,
        is_crowded=is_crowded,
        message=message or (f"can never: {limit / scale:g} {unit}" if is_never else ""),
    )


# ── which are asked, and on what their answer depends ─────────────────────────────────────────────────────


NodeGate = Callable[[Ask, NodeFree, Free], list[Verdict]]
#: The part of a request that a gate's answer depends on: classes that agree in it share the answer.
Part = Callable[[Ask], Hashable]

CLASS_GATES: tuple[tuple[Callable[[Ask, Free], list[Verdict]], Part], ...] = (
    (report, lambda ask: ask.node),
    (hold, lambda ask: None),
    (counter, lambda ask: ask.of_cluster),
    (rate, lambda ask: tuple((key, need.requests, need.tokens) for key, need in ask.rates)),
)


def amount_of(name: Gate) -> Callable[[Ask], int]:
    return lambda ask: ask.amount(name)


RESOURCE_GATES: dict[Gate, NodeGate] = {row.name: of_resource(row) for row in NODE}

NODE_GATES: tuple[tuple[NodeGate, Part], ...] = (
    (node_hold, lambda ask: (ask.vram_mib > 0, ask.devices)),
    (mount, lambda ask: ask.disk),
    (lane, lambda ask: None),
    (vram, lambda ask: (ask.vram_mib, ask.devices)),
    (scratch, lambda ask: ask.disk),
    (node_counter, lambda ask: (ask.counts, ask.vram_mib > 0, ask.devices)),
    *((gate, amount_of(name)) for name, gate in RESOURCE_GATES.items()),
)

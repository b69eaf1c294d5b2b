"""Random worlds for what a hold names: hosts, what runs, what waits, under the rule that a live conductor
follows. A world is its seed.

Every gate closes in some of them: reports, the operator's word, hours, breakers, canaries, review debt,
node-side gates, roots, queues, VRAM, disks and chains on them, RAM, cores, counters, budgets; and places and
budgets are kept for jobs that were passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple, TypeVar

from builders import (
    GIB,
    NOW,
    a_class,
    a_device,
    a_rate,
    a_report,
    a_reservation,
    a_snapshot,
    a_volume,
    memory,
)
from msgspec.structs import replace

from conductor.model.calls import EndpointFault
from conductor.model.chains import Chain, FileJob
from conductor.model.limits import BreakerRule, CounterRule, Limits, Order
from conductor.model.report import CounterReading, NodeReport, Obstacle
from conductor.model.snapshot import (
    Candidate,
    Controls,
    Head,
    JobClass,
    KindState,
    RateState,
    Reservation,
    Snapshot,
)
from conductor.model.spec import Lane

T = TypeVar("T")
#: All but «fifo», whose first job keeps all others back. «auto» is the live one.
ORDERS: tuple[Order, ...] = ("auto", "auto", "auto", "oldest", "shortest", "guarded", "largest")
LANES: tuple[Lane, ...] = ("gpu", "gpu", "gpu", "cpu", "io", "cloud")
#: Away, nearly full, not writable, closed until more of it is free, not readable.
BAD_SCRATCH: tuple[dict[str, Any], ...] = (
    {"fault": "not mounted"},
    {"free_bytes": 20 * GIB},
    {"is_writable": False},
    {"opens_at_bytes": 60 * GIB, "free_bytes": 20 * GIB},
    {"free_bytes": None},
)
COUNTERS = {
    "nuke": CounterRule(limit=3, has_command=True),
    "seat": CounterRule(limit=2, per="node"),
    "encoder": CounterRule(limit=2, per="device"),
    "cut": CounterRule(limit=4, tasks=("media.cut",)),
}


class ObstacleWorld(NamedTuple):
    snapshot: Snapshot
    candidates: tuple[Candidate, ...]
    rule: Limits


def world(seed: int) -> ObstacleWorld:
    return WorldsByChance(seed).world()


class WorldsByChance:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        #: How much is out of order: most nights little is.
        self.trouble = self.of(0.1, 0.3, 1.0)

    def of(self, *values: T) -> T:
        return self.random.choice(values)

    def one_in(self, n: int) -> bool:
        """Something is out of order."""
        return self.random.random() < self.trouble / n

    def odd(self, n: int, usual: T, *others: T) -> T:
        """One of the others, one time in `n` where all is in trouble."""
        return self.of(*others) if self.one_in(n) else usual

    # ── what there is ─────────────────────────────────────────────────────────────────────────────────────

    def world(self) -> ObstacleWorld:
        nodes = [self.node(f"n{i}") for i in range(self.of(1, 1, 2, 2, 3))]
        going = [self.going(self.of(*nodes), i) for i in range(self.of(0, 1, 2, 4, 6, 9))]
        classes = [self.job_class(i) for i in range(self.of(1, 2, 3, 4, 5))]
        waiting = tuple(self.candidate(c) for c in classes)
        heads = [c.heads[0].job_id for c in waiting]
        snapshot = a_snapshot(
            nodes=tuple(nodes),
            reservations=tuple(going),
            queued=queued(going),
            controls=self.controls(nodes),
            rates=tuple(self.budget(key) for key in ("api", "llm")),
            counters={"nuke": self.odd(3, CounterReading(others=0), self.reading())},
            outside_hours=self.odd(4, {}, {"cloud": NOW + 60}, {"a": NOW + 90}, {"gpu": NOW + 60}),
            passed_over={job_id: NOW - self.of(50, 1000) for job_id in heads if self.of(0, 0, 0, 1)},
            kinds=tuple(self.kind(name) for name in ("k0", "k1") if self.one_in(4)),
            in_review={"a": self.odd(4, 0, 9)},
            chains=self.chains(nodes, waiting),
            longest_wait_s=self.of(0.0, 600.0),
        )
        return ObstacleWorld(snapshot, waiting, self.rule())

    def rule(self) -> Limits:
        return Limits(
            order=self.of(*ORDERS),
            place="least_loss",
            keep_after_s=300.0,
            aging_s=3600.0,
            overdue_s=43_200.0,
            weights={"a": 2.0},
            counters=COUNTERS,
            canary=self.odd(3, {}, {"media.cut": 1}),
            breaker=BreakerRule(failures=self.of(5, 2)),
            review_debt=self.of(None, None, 5),
            tasks=self.odd(4, None, ("media.cut",)),
            has_successors=True,
        )

    def node(self, name: str) -> NodeReport:
        devices = tuple(
            a_device(
                i,
                vram_total_mib=self.of(12000, 24576, 24576),
                vram_used_mib=self.odd(2, 0, 6000, 21000),
                quarantined=self.odd(9, None, "it fell off the bus"),
            )
            for i in range(self.of(0, 1, 1, 2, 3))
        )
        scratch = self.odd(2, {}, *BAD_SCRATCH)
        report = a_report(
            name,
            devices=devices,
            workers=self.of(1, 2, 3),
            cpu_count=self.of(4.0, 12.0),
            sent_at=NOW - self.odd(4, 1, 100),
            is_draining=self.one_in(10),
            volumes=(a_volume(**scratch), *[a_volume("published")][: self.odd(4, 1, 0)]),
            measured=self.odd(3, memory(65536, 65536), memory(65536, 9000), {}),
            obstacles=tuple(self.obstacles(len(devices))),
            code=self.odd(4, {}, {"media.cut": "1", "media.join": "1"}, {"media.cut": "2"}),
        )
        return replace(report, queues=tuple(self.queue(q) for q in report.queues if not self.one_in(12)))

    def queue(self, queue):  # type: ignore[no-untyped-def]
        if self.one_in(20):
            return replace(queue, dying="exit 1", workers=0)
        if queue.device and self.one_in(20):
            return replace(queue, device="gpu7")
        return replace(queue, warm=self.of((), ("onnx:a",)))

    def obstacles(self, devices: int) -> list[Obstacle]:
        hot = Obstacle(
            gate="temperature", words="it is too hot", figure=86, opens_at=78, unit="°C", since=NOW
        )
        found = [replace(hot, device=f"gpu{i}") for i in range(devices) if self.one_in(10)]
        if self.one_in(12):
            found.append(Obstacle(gate="input", words="somebody is there", figure=1, opens_at=15, since=NOW))
        return found

    def controls(self, nodes: Sequence[NodeReport]) -> Controls:
        devices = [f"{n.node}/{d.key}" for n in nodes for d in n.devices]
        lanes: tuple[Lane, ...] = ("gpu", "cpu", "cloud")
        return Controls(
            paused_lanes=tuple(lane for lane in lanes if self.one_in(8)),
            paused_devices=tuple(device for device in devices if self.one_in(10)),
            draining_nodes=tuple(n.node for n in nodes if self.one_in(12)),
            is_draining=self.one_in(20),
            hold="the ledger is settled first" if self.one_in(25) else "",
            paused_backlogs=tuple(backlog for backlog in ("a", "b") if self.one_in(10)),
        )

    def budget(self, key: str) -> RateState:
        fault = EndpointFault(
            trouble=self.of("down", "refuses"), words="no answer", since=NOW - 9, last_at=NOW - 9
        )
        return a_rate(
            key,
            **self.odd(
                1,
                {},
                {"closed_until": NOW + 30},
                {"closed_until": NOW + 30, "endpoint_fault": fault},
                {"requests_left": 0, "requests_limit": 5, "resets_at": NOW + 9},
                {"requests_left": 1, "requests_limit": 5, "resets_at": NOW + 9},
                {"usd_left": 0.0, "usd_limit": 5.0, "usd_reset_at": NOW + 900, "usd_per_call": 0.1},
            ),
        )

    def reading(self) -> CounterReading:
        return self.of(
            CounterReading(others=2), CounterReading(fault="exit 1"), CounterReading(others=1, age_s=900)
        )

    def kind(self, name: str) -> KindState:
        return KindState(
            kind=name,
            failed=self.of(0, 1, 5),
            since=NOW - 100,
            last_at=NOW - self.of(10, 100),
            cause="task_error",
            message="KeyError: 'fps'",
            opened_at=self.of(None, NOW - 100),
            probes=self.of(0, 1, 3),
        )

    # ── what runs and what waits ──────────────────────────────────────────────────────────────────────────

    def going(self, node: NodeReport, number: int) -> Reservation:
        queue = self.of(*node.queues)
        devices = (queue.device,) if queue.device else ()
        started_at = self.of(NOW - 10, NOW - 10, None)
        held = self.of(
            {}, {}, {":nuke": 1}, {f"{node.node}:seat": 1}, {f"{node.node}/gpu0:encoder": 1}, {":cut": 1}
        )
        return a_reservation(
            f"{number}-going-on",
            node=node.node,
            backlog=self.of("a", "b"),
            queue=queue.queue,
            lane=queue.lane,
            devices=devices,
            vram_mib=self.of(3000, 9000) if devices else 0,
            ram_mib=self.of(0, 0, 20000),
            cpu=self.of(0.0, 0.0, 2.0),
            held=held,
            disk=self.of({}, {}, {"scratch": 30 * GIB}),
            state="admitted" if started_at is None else "running",
            started_at=started_at,
            expected_s=self.of(0.0, 5.0, 100.0),
            kind=self.of("", "k0"),
            role=self.of("", "", "canary", "probe"),
        )

    def job_class(self, number: int) -> JobClass:
        lane = self.of(*LANES)
        return a_class(
            lane,
            id=f"{number}-class",
            backlog=self.of("a", "b"),
            task=self.of("media.cut", "media.join"),
            kind=self.of("", "", "k0", "k1"),
            priority=self.of(0, 0, 1, 2),
            vram_mib=self.of(0, 4000, 11000, 20000) if lane == "gpu" else 0,
            devices=self.of(1, 1, 1, 2) if lane == "gpu" else 1,
            ram_mib=self.of(0, 4000, 30000),
            cpu=self.of(0, 1, 6),
            writes=self.of({}, {}, {"scratch": 40 * GIB}, {"published": GIB}),
            rates=self.of({"api": (1, 0)}, {"llm": (2, 0)}, {"api": (1, 0), "llm": (1, 0)})
            if lane == "cloud"
            else {},
            counters=self.of({}, {}, {}, {"nuke": 1}, {"seat": 1}, {"encoder": 1}, {"nuke": 2, "seat": 1}),
            duration_s=self.of(0.0, 20.0, 60.0, 400.0),
            warm=self.of("", "onnx:a", "onnx:b"),
            is_untried=self.one_in(8),
        )

    def candidate(self, job_class: JobClass) -> Candidate:
        since = [NOW - self.of(5, 5, 50, 500, 50_000) for _ in range(self.of(1, 1, 2, 3))]
        heads = [
            Head(job_id=f"{job_class.id}-{i:08d}", attempts=0, since=at) for i, at in enumerate(sorted(since))
        ]
        return Candidate(job_class=job_class, waiting=len(heads), heads=tuple(heads))

    def chains(self, nodes: Sequence[NodeReport], waiting: Sequence[Candidate]) -> tuple[Chain, ...]:
        """Begun on a disk: of jobs that wait for others, or of the first jobs of a class."""
        if self.of(0, 0, 0, 0, 1) == 0:
            return ()
        node = self.of(*nodes).node
        first = waiting[0]
        sizes = self.of(
            {f"chained-{i}": self.of(5, 30) * GIB for i in range(2)},
            {head.job_id: first.job_class.writes.get("scratch", 0) for head in first.heads},
        )
        jobs = tuple(
            FileJob(job_id=job_id, reads=("scratch:x",), writes={f"scratch:{job_id}": size} if size else {})
            for job_id, size in sizes.items()
        )
        return (Chain(id="chain", node=self.of(node, None), jobs=jobs, kept={"scratch:x": 20 * GIB}),)


def queued(held: Sequence[Reservation]) -> dict[str, int]:
    found: dict[str, int] = {}
    for r in held:
        if r.state == "admitted":
            found[r.queue] = found.get(r.queue, 0) + 1
    return found

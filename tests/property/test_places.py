"""The indexes of places find what a look at every queue finds, whatever came, went or was read since."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from builders import GIB, NOW, a_class, a_device, a_report, a_reservation, a_volume, memory
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conductor.core.admission.make_reservation import takes
from conductor.core.capacity.cluster import Free, NodeFree
from conductor.core.capacity.request import Demand
from conductor.core.placement.packing import Packing
from conductor.core.placement.place import Place, asks_vram, in_queue, node_fits, rank
from conductor.core.placement.placement import Placement
from conductor.core.placement.workload_mix import Mix
from conductor.model.limits import Limits
from conductor.model.report import NodeReport, QueueReport
from conductor.model.snapshot import Controls, Reservation, Snapshot
from conductor.model.spec import Lane

few = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "60")), deadline=None)
LIMITS = Limits(vram_headroom_mib=0, depth={"gpu": 3, "cpu": 3, "io": 3, "cloud": 3})


def scanned(free: Free, demand: Demand, refused: set[str]) -> Place | None:
    """What comes first, by asking every queue of the lane."""
    places = [
        place for q in free.queues[demand.lane] if q.is_open and (place := in_queue(q, demand)) is not None
    ]
    allowed = [place for place in places if where(place) not in refused]
    return min(allowed, key=lambda place: order(place, demand), default=None)


def idlest_by_scan(free: Free, demand: Demand, refused: set[str]) -> str | None:
    places = [Place(q) for q in free.queues[demand.lane] if q.is_open and q.has_room]
    allowed = [place for place in places if node_fits(place.node, demand) and where(place) not in refused]
    found = min(allowed, key=lambda place: (*rank(place), place.queue.number), default=None)
    return found and where(found)


def order(place: Place, demand: Demand) -> tuple[float, ...]:
    queue = place.queue
    if demand.lane == "gpu" and demand.devices == 1 and queue.device is not None:
        # Before all that have none; the tightest device, then the tightest node.
        return (0, not queue.has_idle_worker, queue.device.vram.free, queue.node.vram_free_mib, queue.number)
    if demand.lane == "gpu" and demand.devices == 1:
        return (1, *rank(place), queue.number)
    return (*rank(place), queue.number)


def where(place: Place) -> str:
    return " ".join((place.queue.name, *(device.key for device in place.devices)))


@st.composite
def nodes(draw: st.DrawFn) -> tuple[NodeReport, ...]:
    """Two to five hosts; some have no device, some a worker of the gpu lane that is bound to none besides."""

    def one(i: int) -> NodeReport:
        devices = tuple(
            a_device(
                d,
                vram_total_mib=draw(st.integers(8, 14)),
                quarantined=draw(st.sampled_from(BROKEN)),
                is_slice=draw(st.sampled_from([False, False, True])),
            )
            for d in range(draw(st.sampled_from([0, 1, 2, 4, 6])))
        )
        plain = a_report(
            f"n{i}",
            devices=devices,
            cpu_count=draw(st.sampled_from([2.0, 8.0])),
            ram_total_mib=draw(st.sampled_from([None, 4096])),
            workers=draw(st.sampled_from([1, 3])),
            volumes=(a_volume("scratch", free_bytes=4 * GIB),),
        )
        if devices and draw(st.booleans()):
            spare = QueueReport(queue=f"gpu-n{i}", lane="gpu", workers=1)
            return a_report(f"n{i}", devices=devices, queues=(*plain.queues, spare), volumes=plain.volumes)
        return plain

    return tuple(one(i) for i in range(draw(st.integers(2, 5))))


BROKEN = (None, None, None, None, "broken")


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    lane: Lane = draw(st.sampled_from(["gpu", "gpu", "cpu"]))
    job_class = a_class(
        lane,
        vram_mib=draw(st.sampled_from([0, 2, 3, 4, 5, 12])),
        devices=draw(st.sampled_from([1, 2, 2, 3])),
        cpu=draw(st.sampled_from([0, 0.5, 1])),
        ram_mib=draw(st.sampled_from([0, 0, 0, 1000])),
        scratch_bytes=draw(st.sampled_from([0, 0, 0, 2 * GIB])),
    )
    return Demand(job_class)


def as_reservation(demand: Demand, place: Place, number: int) -> Reservation:
    values: dict[str, Any] = {"vram_mib": demand.vram_mib if place.devices else 0, "ram_mib": demand.ram_mib}
    return a_reservation(
        f"job-{number:08}", node=place.node.name, queue=place.queue.name, lane=demand.lane,
        disk=dict(demand.disk), devices=tuple(d.key for d in place.devices),
        cpu=demand.cpu_milli / 1000, **values,
    )  # fmt: skip


def taken(free: Free, r: Reservation, place: Place, demand: Demand) -> None:
    """As `decide` charges it."""
    free.add(r)
    for _, pool, amount in takes(demand, place, free.amounts):
        pool.take(amount)
    place.queue.queued += 1
    place.queue.active += 1


class PlacesScene:
    """A cluster in which things come and go, and a placement that is told of it."""

    def __init__(self, reports: tuple[NodeReport, ...]) -> None:
        self.reports = list(reports)
        self.free = Free(Snapshot(now=NOW, nodes=reports), LIMITS)
        self.placement = Placement(self.free)
        self.packing = Packing(self.free, Mix())
        self.going: dict[str, Reservation] = {}
        self.queued: dict[str, Reservation] = {}
        self.begun = 0

    def demand(self, demand: Demand, refused: Iterable[str]) -> None:
        closed = set(refused)
        found = self.placement.find(demand, lambda place: where(place) not in closed)
        expected = scanned(self.free, demand, closed)
        assert (found and where(found)) == (expected and where(expected))
        # What takes nothing of a node goes to the idlest, by the other rule too.
        light = Demand(a_class(demand.lane, cpu=0))
        idlest = self.packing.find(light, lambda place: where(place) not in closed)
        assert (idlest and where(idlest)) == idlest_by_scan(self.free, light, closed)
        if found is None:
            return
        self.begun += 1
        r = as_reservation(demand, found, self.begun)
        assert not (asks_vram(found.queue, demand) and not found.devices)
        taken(self.free, r, found, demand)
        self.took(found)
        self.going[r.job_id] = self.queued[r.job_id] = r

    def start(self) -> None:
        if self.queued:
            r = self.queued.pop(min(self.queued))
            node = self.free.started(r)
            if node is not None:
                self.moved(node)

    def took(self, place: Place) -> None:
        self.placement.took(place)
        self.packing.took(place)

    def moved(self, node: NodeFree) -> None:
        self.placement.moved(node)
        self.packing.moved(node)

    def end(self, at: int) -> None:
        running = sorted(self.going.keys() - self.queued.keys())
        if running:
            self.moved(self.free.drop(self.going.pop(running[at % len(running)])))

    def read(self, at: int, ram: int) -> None:
        """A report with other readings: `Free.follow`, as live."""
        at %= len(self.reports)
        self.reports[at] = replace(
            self.reports[at], measured=memory(self.reports[at].ram_total_mib, ram), sent_at=NOW
        )
        counts: dict[str, int] = {}
        for r in self.queued.values():
            counts[r.queue] = counts.get(r.queue, 0) + 1
        later = Snapshot(
            now=NOW,
            nodes=tuple(self.reports),
            reservations=tuple(self.going.values()),
            queued=counts,
            controls=Controls(),
        )
        read = self.free.follow(later)
        assert read is not None
        for node in read:
            self.placement.read_again(node)
            self.packing.read_again(node)


steps = st.one_of(
    st.tuples(st.just("ask"), demands(), st.booleans()),
    st.tuples(st.just("ask"), demands(), st.booleans()),
    st.tuples(st.just("end"), st.integers(0, 9)),
    st.tuples(st.just("start")),
    st.tuples(st.just("read"), st.integers(0, 4), st.sampled_from([1024, 2500, 4096])),
)


@few
@given(
    nodes(),
    st.lists(demands(), min_size=1, max_size=4),
    st.lists(steps, max_size=60),
    st.randoms(use_true_random=False),
)
def test_an_index_finds_what_a_look_at_every_queue_finds(
    reports: tuple[NodeReport, ...], again: list[Demand], played: list[tuple[Any, ...]], random: Any
) -> None:
    scene = PlacesScene(reports)
    for verb, *how in played:
        if verb == "ask":
            # The same few sorts come again and again, as in life; some places are refused.
            demand = random.choice(again) if how[1] else how[0]
            all_places = [
                where(p) for q in scene.free.queues[demand.lane] if q.is_open and (p := in_queue(q, demand))
            ]
            scene.demand(
                demand, [] if random.random() < 0.5 else [p for p in all_places if random.random() < 0.6]
            )
        else:
            getattr(scene, verb)(*how)
        for node in scene.free.nodes.values():
            gives = (node.is_draining, -node.vram_free_mib, -node.tie_break.free, node.name)
            assert scene.free.most_to_give(node) == gives

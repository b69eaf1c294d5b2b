"""What one more pilot would gain, by the same play as all other offers."""

from __future__ import annotations

from builders import NOW, a_class, a_report, a_snapshot, a_spec
from msgspec.structs import replace

from conductor.adapters.redis.scans.pending import Pending
from conductor.analysis.forecast.live_world import Known, LiveWorkload, world_of
from conductor.analysis.one_more import Budgets, Nodes
from conductor.analysis.price import Price, Wish, price
from conductor.analysis.simulation.policies import DEFAULT
from conductor.analysis.simulation.rule import rule_of
from conductor.analysis.simulation.world import World
from conductor.model.limits import Limits
from conductor.model.pilot import PilotShape
from conductor.model.report import QueueReport
from conductor.model.snapshot import JobClass
from conductor.model.spec import to_line

CPU = a_class("cpu", duration_s=600.0, cpu=1.0)
GPU = a_class("gpu", duration_s=600.0, vram_mib=20_000)
HOST = replace(a_report(devices=0), queues=(QueueReport(queue="cpu-node1", lane="cpu", workers=1),))
SHAPE = PilotShape(lanes=("cpu", "gpu"), cpus=4, ram_mib=32_768, devices=1, vram_mib=24_576, time_s=14_400.0)


KNOWN = Known(teach=lambda c: c)


def pending(n: int, job_class: JobClass) -> Pending:
    line = a_spec(n)
    return Pending(job_id=line.id, state="waiting", attempts=0, seq=n, since=NOW - 60, job_class=job_class,
                   line=to_line(line))  # fmt: skip


def priced(job_class: JobClass, jobs: int, wish: Wish) -> Price:
    rows = [pending(n, job_class) for n in range(jobs)]

    def play(nodes: Nodes, budgets: Budgets) -> World:
        snapshot = a_snapshot(nodes=nodes)
        world = world_of(LiveWorkload(rows, snapshot, KNOWN), snapshot, Limits(), {})
        world.run()
        return world

    return price(play, (HOST,), {}, wish, rule_of(DEFAULT, Limits()))


def test_one_more_pilot_is_offered_of_each_engine_that_has_them() -> None:
    found = priced(CPU, 10, Wish(shapes={"lab": SHAPE}))

    (offer,) = [offer for offer in found.offers if offer.what == "pilot:lab"]
    assert offer.words == "1 more pilot of lab (4 cores, 32 GiB, 1 GPU of 24 GiB)"
    assert offer.makespan_s <= 0.4 * found.as_is.makespan_s
    assert any("pilot" in note for note in found.notes)
    assert all(not offer.what.startswith("pilot") for offer in priced(CPU, 3, Wish()).offers)


def test_a_pilot_with_a_gpu_runs_what_no_host_could() -> None:
    found = priced(GPU, 2, Wish(shapes={"lab": SHAPE}, pilots=2))

    (offer,) = [offer for offer in found.offers if offer.what == "pilot:lab"]
    assert (found.as_is.never, offer.more_done) == (2, 2)
    assert offer.words.startswith("2 more pilots of lab")

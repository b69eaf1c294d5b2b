"""The conductor on both ledgers, with reports made up: what it hands over, to whom the lead goes, when it
ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from builders import a_class, a_device, a_report, a_spec
from loguru import logger
from loop_scene import TIMING, a_conductor, dispatch, finish, publish, running, start_all, wait_until

from conductor.base.errors import Unreachable
from conductor.core.admission.explain import never_sentence
from conductor.model.ledger_entries import Entry
from conductor.model.limits import Limits
from conductor.model.report import NodeReport, QueueReport
from conductor.model.snapshot import Reservation
from conductor.model.spec import Lane, to_line
from conductor.ports import Ledger
from conductor.tick import loop
from conductor.tick.loop import Conductor


@pytest.fixture(params=["redis", "memory"])
def any_ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "redis":
        return request.getfixturevalue("ledger")
    from conductor.adapters.host.clock import SystemClock
    from conductor.adapters.memory import memory_ledger

    return memory_ledger(SystemClock())


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(
        lambda message: lines.append(message.record["message"]), level="INFO", format="{message}"
    )
    yield lines
    logger.remove(sink)


@pytest.mark.parametrize("devices", [1, 2])
def test_twelve_jobs_of_ten_gib_are_never_more_than_two_on_a_device_of_24(
    any_ledger: Ledger, devices: int
) -> None:
    ledger = any_ledger
    publish(ledger, a_report(devices=devices))
    ids = dispatch(ledger, a_class(vram_mib=10240), 12)
    conductor = a_conductor(ledger)

    for _ in range(100):
        conductor.tick()
        active = ledger.handover.reservations()
        on_device = [sum(key in r.devices for r in active) for key in ("gpu0", "gpu1")]
        assert max(on_device) <= 2
        assert all(r.since > 0 for r in active), "since when it waited travels with a job"
        if not active:
            break
        start_all(ledger)
        finish(ledger, ledger.handover.reservations()[0])

    assert ledger.tallies.counts()["done"] == len(ids)


def test_nothing_starts_while_a_foreign_process_holds_the_device(any_ledger: Ledger, said: list[str]) -> None:
    ledger = any_ledger
    publish(ledger, a_report())
    dispatch(ledger, a_class(vram_mib=10240), 12)
    conductor = a_conductor(ledger)
    conductor.tick()
    start_all(ledger)

    publish(ledger, a_report(devices=(a_device(vram_used_mib=20480),)))
    for r in ledger.handover.reservations():
        finish(ledger, r)
    conductor.tick()
    assert ledger.handover.reservations() == ()
    assert [line for line in said if "Held gpu: vram needs 10.0 GiB, node1/gpu0 has 3.5 GiB free" in line]
    assert [line for line in said if "20.0 GiB used by others" in line]

    publish(ledger, a_report())
    conductor.tick()
    assert len(ledger.handover.reservations()) == 2


def test_an_unchanged_reason_is_said_once_and_keeps_its_beginning(
    any_ledger: Ledger, said: list[str]
) -> None:
    ledger = any_ledger
    publish(ledger, a_report(devices=(a_device(vram_used_mib=20480),)))
    dispatch(ledger, a_class(vram_mib=10240), 3)
    conductor = a_conductor(ledger)

    conductor.tick()
    since = ledger.gate_record.gates().holds[0].since
    for used in (20481, 20999, 21000):
        publish(ledger, a_report(devices=(a_device(vram_used_mib=used),)))
        conductor.tick()

    assert len([line for line in said if line.startswith("Held")]) == 1
    assert ledger.gate_record.gates().holds[0].since == since


def test_says_what_it_fed_and_rings_true_until_all_is_done(any_ledger: Ledger, said: list[str]) -> None:
    ledger = any_ledger
    publish(ledger, a_report())
    ids = dispatch(ledger, a_class("cpu"), 5)
    conductor = a_conductor(ledger)

    with running(conductor, until_done=True) as ended:

        def work() -> bool:
            start_all(ledger)
            for r in ledger.handover.reservations():
                finish(ledger, r)
            return bool(ended)

        wait_until(work)

    assert ended[0].is_done
    assert ended[0].counts["done"] == 5
    assert len([line for line in said if line.startswith(f"Fed cpu media.cut ({ids[0][:8]}) → node1")]) == 1
    assert ledger.leadership.leader() is None


def test_a_standby_leads_soon_after_the_leader_stops_renewing(any_ledger: Ledger) -> None:
    ledger = any_ledger
    publish(ledger, a_report())
    dispatch(ledger, a_class("cpu"), 1)
    assert ledger.leadership.lead("one", TIMING.leader_ttl_s) is not None
    standby = a_conductor(ledger, "two")
    assert standby.tick() is None

    started = time.monotonic()
    with running(standby):
        wait_until(lambda: len(ledger.handover.reservations()) == 1)
        took_s = time.monotonic() - started

    assert took_s < TIMING.leader_ttl_s * 4 / 3 + 0.5


def test_a_long_tick_does_not_lose_the_lead(any_ledger: Ledger) -> None:
    ledger = any_ledger
    in_tick, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> None:
        in_tick.set()
        go_on.wait(10)

    conductor = a_conductor(ledger, on_tick=slow)
    with running(conductor):
        assert in_tick.wait(5)
        end = time.monotonic() + 2 * TIMING.leader_ttl_s
        while time.monotonic() < end:
            assert ledger.leadership.lead("two", TIMING.leader_ttl_s) is None
            time.sleep(0.02)
        go_on.set()


def test_a_fenced_leader_stands_by(any_ledger: Ledger, said: list[str]) -> None:
    ledger = any_ledger
    publish(ledger, a_report())
    dispatch(ledger, a_class("cpu"), 2)

    def usurp() -> None:
        ledger.leadership.resign("one")
        ledger.leadership.lead("two", 30)

    class Usurped:
        def states(self, now: float, held: Sequence[Reservation] = ()) -> tuple[()]:
            usurp()
            return ()

        def take(self, key: str, requests: int, tokens: int) -> None: ...

    conductor = Conductor(ledger, Usurped(), Limits(), TIMING, "one")

    assert conductor.tick() is None
    assert ledger.handover.reservations() == ()
    assert said[-1] == "Standing by: two leads"


def test_a_standby_ends_when_another_conductor_has_done_all(any_ledger: Ledger) -> None:
    ledger = any_ledger
    ids = dispatch(ledger, a_class("cpu"), 1)
    ledger.leadership.lead("one", 30)
    with running(a_conductor(ledger, "two", backlogs=("b",)), until_done=True) as ended:
        ledger.commands.cancel(ids[0])
        wait_until(lambda: bool(ended))

    assert ended[0].is_done


def test_only_infeasible_jobs_end_the_run_with_their_account(
    any_ledger: Ledger, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conductor.tick.standstill.NEVER_S", 0.2)
    ledger = any_ledger
    publish(ledger, a_report())
    dispatch(ledger, a_class(vram_mib=40960), 3)

    ended = a_conductor(ledger).run(until_done=True)

    assert not ended.is_done
    assert ended.left is not None and [hold.is_infeasible for hold in ended.left.holds] == [True]
    loud = [line for line in said if "can never run here" in line]
    assert loud == [
        "3 jobs of media.cut can never run here: vram needs 40.0 GiB, node1/gpu0 can never (23.5 GiB)"
    ]


def test_jobs_that_others_leave_no_room_for_end_the_run_once_that_has_lasted(
    any_ledger: Ledger, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conductor.tick.standstill.NEVER_S", 0.2)
    monkeypatch.setattr("conductor.core.admission.earliest_start.CROWDED_S", 0.3)
    ledger = any_ledger
    publish(ledger, a_report(devices=(a_device(vram_used_mib=300),)))
    dispatch(ledger, a_class(vram_mib=24_000), 3)
    conductor = a_conductor(ledger)

    ended = conductor.run(until_done=True)

    assert not ended.is_done
    assert ended.left is not None and [hold.crowded_since is not None for hold in ended.left.holds] == [True]
    words = "vram needs 23.4 GiB, node1/gpu0 has 23.2 GiB free (300 MiB used by others)"
    loud = [line for line in said if "can never run" in line]
    assert loud == [f"3 jobs of media.cut can never run here while others use so much: {words}"]

    publish(ledger, a_report())
    conductor.tick()
    assert len(ledger.handover.reservations()) == 1, "the desktop was closed"


def of_lane(lane: Lane, node: str = "node1") -> NodeReport:
    return a_report(node, queues=(QueueReport(queue=f"{lane}-{node}", lane=lane, workers=2),))


def test_a_lane_that_the_runs_own_node_does_not_serve_ends_it_at_once(any_ledger: Ledger) -> None:
    ledger = any_ledger
    publish(ledger, of_lane("cpu"))
    dispatch(ledger, a_class("cloud"), 3)
    began = time.monotonic()

    ended = a_conductor(ledger, own_node="node1").run(until_done=True)

    assert time.monotonic() - began < 5
    assert ended.left is not None
    words = "3 jobs of media.cut: report: no node has workers of the cloud lane"
    assert [never_sentence(hold, 0.0) for hold in ended.left.holds] == [words]


def test_a_lane_that_another_host_may_serve_is_waited_for_a_while(
    any_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conductor.tick.standstill.NEVER_S", 0.1)
    ledger = any_ledger
    publish(ledger, of_lane("cpu"))
    dispatch(ledger, a_class("cloud"), 1)
    with running(a_conductor(ledger), until_done=True) as ended:
        wait_until(lambda: bool(ledger.gate_record.gates().holds))
        publish(ledger, of_lane("cloud", "node2"))
        wait_until(lambda: bool(ledger.handover.reservations()))
        assert not ended
        start_all(ledger)
        finish(ledger, ledger.handover.reservations()[0])
        wait_until(lambda: bool(ended))
    assert ended[0].is_done

    monkeypatch.setattr("conductor.tick.standstill.NO_WORKERS_S", 0.3)
    ledger.reports.withdraw("node2")
    dispatch(ledger, a_class("cloud", id="more"), 3)
    assert (found := a_conductor(ledger).run(until_done=True)).left is not None and not found.is_done


def test_jobs_that_wait_for_a_backlog_that_is_not_fed_end_the_run_and_name_it(
    any_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conductor.tick.standstill.NEVER_S", 0.1)
    ledger = any_ledger
    publish(ledger, a_report())
    first, *_ = dispatch(ledger, a_class("cpu", backlog="other"), 1)
    spec = a_spec(7, after=(first,))
    last = a_spec(8, after=(spec.id,))
    here = a_class("cpu", id="here", backlog="b")
    ledger.intake.put(
        "b", [Entry(job_id=s.id, line=to_line(s), job_class=here, after=s.after) for s in (spec, last)]
    )

    ended = a_conductor(ledger, backlogs=("b",)).run(until_done=True)

    assert ended.left is not None and ended.left.holds == ()
    (words,) = ended.left.stranded
    assert words.startswith(
        f"2 jobs wait for {first} of backlog:other, which this run does not feed: conduct both"
    )


def test_a_job_that_waits_out_a_back_off_is_waited_for(
    any_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conductor.tick.standstill.NEVER_S", 0.05)
    ledger = any_ledger
    publish(ledger, a_report())
    dispatch(ledger, a_class(vram_mib=40960), 1)
    spec, later = a_spec(5), ledger.bell.now() + 1.0
    ledger.intake.put(
        "b", [Entry(job_id=spec.id, line=to_line(spec), job_class=a_class("cpu", id="cpu"), not_before=later)]
    )
    with running(a_conductor(ledger), until_done=True) as ended:
        wait_until(lambda: bool(ledger.handover.reservations()))
        assert not ended
        start_all(ledger)
        finish(ledger, ledger.handover.reservations()[0])
        wait_until(lambda: bool(ended))
    assert ended[0].left is not None and ended[0].counts["done"] == 1


def test_an_orphan_goes_back_and_is_dead_after_its_budget(any_ledger: Ledger) -> None:
    ledger = any_ledger
    publish(ledger, a_report())
    ids = dispatch(ledger, a_class("cpu"), 1, retry={"worker_lost": 1})
    conductor = a_conductor(ledger)

    for _ in range(2):
        conductor.tick()
        (r,) = ledger.handover.reservations()
        ledger.attempts.start(r.job_id, r.attempt, "worker", 0.001)
        wait_until(lambda: bool(ledger.orphans.orphans(3)))
    conductor.tick()

    job = ledger.jobs.job(ids[0])
    assert job is not None
    assert (job.state, job.cause, job.attempts) == ("dead", "worker_lost", 2)


def test_losing_redis_is_said_once_and_survived_and_it_is_asked_again_at_the_same_pace(
    memory_ledger: Ledger, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = memory_ledger
    failing = 50
    stop = threading.Event()
    naps: list[float] = []
    monkeypatch.setattr(loop, "nap", lambda seconds, _: naps.append(seconds))

    class Flaky:
        def states(self, now: float, held: Sequence[Reservation] = ()) -> tuple[()]:
            nonlocal failing
            failing -= 1
            if failing >= 0:
                raise Unreachable("Redis at localhost:6379 cannot be reached")
            return ()

        def take(self, key: str, requests: int, tokens: int) -> None: ...

    conductor = Conductor(ledger, Flaky(), Limits(), TIMING, "one", on_tick=lambda *_: stop.set())
    conductor.run(should_stop=stop.is_set)

    assert [line for line in said if "Redis" in line] == [
        "Redis at localhost:6379 cannot be reached (trying again)",
        "Redis is back",
    ]
    assert len(naps) >= 50 and max(naps) <= 0.25, "whoever waits for Redis waits for that as well"

"""Schedules on a real Valkey: what is due is planned and dispatched once, by whoever leads, never lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_tools import Cli
from loguru import logger
from node_scene import until

from conductor.app.schedules.fire import outputs_of
from conductor.app.schedules.leader import ScheduleKeeper
from conductor.app.schedules.resource_log import log_resources
from conductor.base.settings.schedule_settings import ScheduleSettings
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.model.report import Device, Measure, NodeReport, Volume
from conductor.model.schedule import ScheduleState
from conductor.ports import Ledger
from conductor.record.journal import Journal

#: Every hour at the minute that has just begun: none comes due while a test looks.
STEP = 3600
BEGAN = int(time.time()) // 60 * 60
ECHO = {"cron": f"{BEGAN // 60 % 60} * * * *", "zone": "UTC", "run": "system_test --mode debug --count 2"}

Keeper = Callable[..., ScheduleKeeper]


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []

    def hear(message: Any) -> None:
        extra = dict(message.record["extra"])
        if str(extra.get("event", "")).startswith("schedule."):
            found.append(extra | {"words": message.record["message"]})

    sink = logger.add(hear, level="DEBUG")
    yield found
    logger.remove(sink)


@pytest.fixture
def epoch(ledger: Ledger) -> int:
    found = ledger.leadership.lead("a leader", 3600)
    assert found is not None
    ledger.leadership.settle(found, 0.0, 0)
    return found


@pytest.fixture
def keeper(project: Settings, ledger: Ledger, epoch: int) -> Keeper:
    def made(owner: str = "one", why_not: str | None = None, **schedules: dict[str, Any]) -> ScheduleKeeper:
        return ScheduleKeeper(
            ledger,
            project.layout,
            {name: ScheduleSettings(**values) for name, values in schedules.items()},
            owner,
            lambda: epoch,
            lambda: why_not,
        )

    return made


def due_since(ledger: Ledger, times: int, name: str = "nightly") -> int:
    """The schedule is known, and so many of its times have passed since it was looked at. The last one."""
    ledger.schedules.know(name, BEGAN - times * STEP)
    return BEGAN


def wait_for(keeper: ScheduleKeeper) -> None:
    for thread in keeper._running.values():
        thread.join()


def state_of(ledger: Ledger, name: str = "nightly") -> ScheduleState:
    return ledger.schedules.states()[name]


def waiting(ledger: Ledger, name: str = "nightly") -> int:
    return ledger.tallies.counts(name).get("waiting", 0)


def test_a_fire_is_planned_dispatched_told_and_noted(
    keeper: Keeper, ledger: Ledger, project: Settings, events: list[dict[str, Any]]
) -> None:
    last = due_since(ledger, 3)
    leader = keeper(nightly=ECHO)
    leader.look()
    leader.look()
    wait_for(leader)

    state = state_of(ledger)
    assert (state.fired, state.skipped, state.handled_to, state.taken) == (1, 2, last, None)
    assert state.last is not None and (state.last.jobs, state.last.exit_code) == (2, 0)
    assert waiting(ledger) == 2
    assert "2 new" in Path(state.last.output).read_text()
    assert [event["event"] for event in events] == ["schedule.skipped", "schedule.fired"]
    assert events[0]["fires"] == 2 and events[1]["fire"].startswith("nightly@2")
    notes = [note for note in Journal(project.receipts_dir).notes() if note.schedule]
    assert [(note.what, note.instant, note.fires) for note in notes] == [
        ("fires_skipped", last - STEP, 2),
        ("fire_ended", last, 1),
    ]
    # The same plan is done again by the next fire, and not by the same one.
    for job_id in ledger.jobs.ids("waiting"):
        ledger.commands.cancel(job_id)
    ledger.schedules.take("nightly", last + 1, "me", 0.001)
    again = keeper("two", nightly=ECHO)
    while state_of(ledger).taken is not None:
        again.look()
        wait_for(again)
    counts = ledger.tallies.counts("nightly")
    assert (counts["waiting"], counts["cancelled"]) == (2, 2)


def test_two_who_both_lead_fire_once(keeper: Keeper, ledger: Ledger) -> None:
    due_since(ledger, 1)
    both = [keeper("one", nightly=ECHO), keeper("two", nightly=ECHO)]
    at_once = threading.Barrier(2)

    def look(leader: ScheduleKeeper) -> None:
        at_once.wait()
        leader.look()

    threads = [threading.Thread(target=look, args=(leader,)) for leader in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(leader._running) for leader in both) == 1
    for leader in both:
        wait_for(leader)
    assert (state_of(ledger).fired, waiting(ledger)) == (1, 2)


def test_a_fire_whose_leader_died_before_its_dispatch_is_not_lost(
    keeper: Keeper, ledger: Ledger, epoch: int
) -> None:
    """Also one that is not made up for when it is missed."""
    rule = {**ECHO, "missed": "skip"}
    last = due_since(ledger, 1)
    taken = ledger.schedules.take("nightly", last - 7 * STEP, "who died", 0.001, None)
    assert taken is not None
    leader = keeper(nightly=rule)
    while state_of(ledger).taken is not None:
        leader.look()
        wait_for(leader)
    assert (state_of(ledger).fired, waiting(ledger)) == (1, 2)


#: A leader that kills itself before (or after) the named step of its fire; its lease is short.
KILLED = """
import os, signal, sys
from pathlib import Path
from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.app.schedules import leader
from conductor.app.schedules.fire import Fire
from conductor.base.settings.schedule_settings import ScheduleSettings
from conductor.base.settings.settings import load

folder, epoch, cron, step, when = sys.argv[1:]
settings, leader.LEASE_S, real = load(Path(folder)), 0.5, Fire._run_step

def run_step(self, made, *rest):
    if when == "before" and made.words[0] == step:
        os.kill(os.getpid(), signal.SIGKILL)
    code = real(self, made, *rest)
    if when == "after" and made.words[0] == step:
        os.kill(os.getpid(), signal.SIGKILL)
    return code

Fire._run_step = run_step
rule = ScheduleSettings(cron=cron, zone="UTC", run="system_test --mode debug --count 2")
with connect(settings.redis.url) as client:
    parts = redis_ledger(client), settings.layout, {"nightly": rule}, "who is killed"
    keeper = leader.ScheduleKeeper(*parts, lambda: int(epoch), lambda: None)
    keeper.look()
    keeper._running["nightly"].join()
"""


@pytest.mark.parametrize(
    "at",
    [("plan", "before"), ("dispatch", "before"), ("dispatch", "after")],
    ids=["taken", "planned", "dispatched"],
)
def test_a_leader_killed_in_a_fire_leaves_it_to_the_next_which_fires_once(
    keeper: Keeper, ledger: Ledger, epoch: int, project: Settings, at: tuple[str, str]
) -> None:
    last = due_since(ledger, 1)
    argv = [sys.executable, "-c", KILLED, str(project.project), str(epoch), ECHO["cron"], *at]
    assert subprocess.run(argv, timeout=60, check=False).returncode == -signal.SIGKILL
    taken = state_of(ledger).taken
    assert taken is not None and (taken.instant, taken.owner) == (last, "who is killed")

    leader = keeper("the next", nightly=ECHO)
    while state_of(ledger).taken is not None:
        leader.look()
        wait_for(leader)
    leader.look()

    state = state_of(ledger)
    assert (state.fired, state.skipped, state.handled_to) == (1, 0, last)
    assert (waiting(ledger), leader._running["nightly"].is_alive()) == (2, False)
    ended = [note for note in Journal(project.receipts_dir).notes() if note.what == "fire_ended"]
    assert [note.instant for note in ended] == [last]


def test_a_fire_that_overlaps_is_left_out_or_waits(keeper: Keeper, ledger: Ledger) -> None:
    leader = keeper(nightly=ECHO, queued={**ECHO, "overlap": "queue"})
    for name in ("nightly", "queued"):
        due_since(ledger, 1, name)
    leader.look()
    wait_for(leader)
    for name in ("nightly", "queued"):
        state = state_of(ledger, name)
        assert state.fired == 1
    later = keeper(nightly=ECHO, queued={**ECHO, "overlap": "queue"})
    in_an_hour = ledger.bell.now() + STEP
    later._ledger = _ScheduledAt(ledger, in_an_hour)  # type: ignore[assignment]
    later.look()
    assert (state_of(ledger).skipped, state_of(ledger).fired) == (1, 1)
    assert (state_of(ledger, "queued").skipped, state_of(ledger, "queued").waits_since > 0) == (0, True)
    for job_id in ledger.jobs.ids("waiting"):
        ledger.commands.cancel(job_id)
    later.look()
    wait_for(later)
    assert state_of(ledger, "queued").fired == 2


class _ScheduledAt:
    """The ledger at another time."""

    def __init__(self, ledger: Ledger, now: float) -> None:
        self._inner = ledger
        self.bell = self
        self._now = now

    def now(self) -> float:
        return self._now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_nothing_fires_while_nothing_may_start(keeper: Keeper, ledger: Ledger) -> None:
    due_since(ledger, 1)
    leader = keeper(why_not="Redis was emptied", nightly=ECHO)
    leader.look()
    assert leader._running == {} and state_of(ledger).taken is None


def test_a_schedule_that_cannot_fire_says_why(
    keeper: Keeper, ledger: Ledger, project: Settings, events: list[dict[str, Any]]
) -> None:
    slow = project.project / "workflows" / "slow" / "plan.py"
    slow.parent.mkdir(parents=True)
    slow.write_text("import time\n\ndef plan(options, settings):\n    time.sleep(600)\n    return []\n")
    schedules = {
        "nightly": {**ECHO, "run": "hilights"},
        "slow": {**ECHO, "run": "slow", "timeout_s": 2.0},
    }
    for name in schedules:
        due_since(ledger, 1, name)
    leader = keeper(**schedules)
    leader.look()
    wait_for(leader)
    words = {event["schedule"]: event["error"] for event in events if event["event"] == "schedule.failed"}
    assert "there is no workflow 'hilights'" in words["nightly"] and "highlights" in words["nightly"]
    assert "longer than timeout_s" in words["slow"]
    assert [state_of(ledger, name).failed for name in schedules] == [1, 1]


def test_the_operators_word_outlives_an_emptied_redis(
    keeper: Keeper,
    ledger: Ledger,
    project: Settings,
    redis_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from redis import Redis

    with (project.project / CONFIG_NAME).open("a") as file:
        file.write('\n[schedules.nightly]\ncron = "30 2 * * *"\nzone = "Europe/Berlin"\n')
        file.write('run = "system_test --mode debug --count 2"\n')
    cli = Cli(project.project, capsys, monkeypatch)

    ran = cli("schedule", "run", "nightly", "--json")
    assert ran.code == 0 and ran.json["jobs"] == 2, ran.err
    assert "2 new" in cli("schedule", "log", "nightly").out
    assert "paused" in cli("schedule", "pause", "nightly").out
    (row,) = cli("schedule", "--json").json
    assert (row["state"], row["fired"], row["last"]["jobs"]) == ("paused", 1, 2)
    times = cli("schedule", "next", "nightly").out.splitlines()
    assert times[0].startswith("At 02:30 every day (Europe/Berlin)") and len(times) == 6
    assert "did you mean nightly?" in cli("schedule", "pause", "nightli").err

    with Redis.from_url(redis_url) as client:
        client.flushall()
    assert cli("schedule", "--json").json[0]["state"] == "paused", "by the journal"
    ledger.leadership.lead("a leader", 3600)
    leader = keeper(nightly=msgspec.structs.asdict(load(project.project).schedules["nightly"]))
    leader._tell_ledger()
    assert state_of(ledger).is_paused
    assert "from its next time on" in cli("schedule", "resume", "nightly").out
    assert not state_of(ledger).is_paused
    assert outputs_of(project.logs_dir, "nightly").is_dir()


def test_a_conductor_that_stays_fires(project: Settings, ledger: Ledger) -> None:
    with (project.project / CONFIG_NAME).open("a") as file:
        file.write(f'\n[schedules.nightly]\ncron = "{ECHO["cron"]}"\nzone = "UTC"\nrun = "{ECHO["run"]}"\n')
    due_since(ledger, 1)
    argv = [sys.executable, "-P", "-m", "conductor", "conduct"]
    conductor = subprocess.Popen(argv, cwd=project.project)
    try:
        until(lambda: state_of(ledger).fired, limit_s=60)
    finally:
        conductor.terminate()
        conductor.wait(30)
    assert (state_of(ledger).fired, waiting(ledger)) == (1, 2)


def test_what_a_host_has_is_one_event(memory_ledger: Ledger) -> None:
    found: list[dict[str, Any]] = []
    sink = logger.add(lambda message: found.append(message.record["extra"]), level="DEBUG")
    volume = Volume(root="scratch", path="/s", free_bytes=5, total_bytes=9)
    device = Device(index=0, uuid="u", name="n", vram_total_mib=24, vram_used_mib=3)
    unknown = Device(index=1, uuid="v", name="n", vram_total_mib=24)
    report = NodeReport(
        node="here",
        host="h",
        devices=(device, unknown),
        volumes=(volume, Volume(root="nas", path="/n")),
        measured={"ram_mib": Measure(free=7, total=8)},
    )
    memory_ledger.reports.publish(report, 60)

    log_resources(memory_ledger)

    logger.remove(sink)
    (event,) = [extra for extra in found if extra.get("event") == "node.resources"]
    measured = ["ram_mib.free=7/8", "gpu0.vram_used_mib=3/24", "scratch.free_bytes=5/9"]
    assert event["readings"] == measured, "nobody leads, and so nothing is promised"

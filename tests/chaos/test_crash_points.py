"""Every named point of worker, conductor and supervisor, hit in every way: published exactly once each
time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from conductor.model.spec import JobSpec, Needs, RateNeed
from tests.chaos import checker, play
from tests.chaos.jobs import EFFECTS, made
from tests.chaos.nemesis import parent_of, send
from tests.chaos.world import ChaosWorld, a_world

WORKER = (
    "taken",
    "started",
    "body ended",
    "before note",
    "before link",
    "linked",
    "before receipt",
    "receipt",
    "accepted",
)
CONDUCTOR = ("rate taken", "before admit", "admitted", "before record")
SUPERVISOR = ("before rescue", "rescued")
#: Longer than the lease (1.5 s) and the grace (1 s).
PAST_LEASE_S = 6.0

numbers = count()


@contextmanager
def one_world(folder: Path) -> Iterator[ChaosWorld]:
    """For all cases; at the end the whole of it is held to the checker."""
    stop = folder / "stop"
    stop.mkdir()
    # A supervisor that stands still starts nobody, and there is no other host: all workers are there.
    env = {"CHAOS_STOP": str(stop), "CONDUCTOR_WORKERS__IDLE_S": "0"}
    with a_world(folder, nodes=1, cpu=2, io=0, is_hooked=True, env=env) as world:
        yield world
        world.until(world.is_over, "all have ended")
        assert play.checked(world) == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosWorld]:
    with one_world(tmp_path_factory.mktemp("points")) as world:
        yield world


@pytest.mark.parametrize("act", ["kill body", "kill worker", "kill both", "term", "stop"])
@pytest.mark.parametrize("name", WORKER)
def test_a_worker_hit_at_any_point_publishes_once(world: ChaosWorld, name: str, act: str):
    job = a_job(seconds=0.05)
    arm(world.folder, name, job)
    world.put(job)
    pid = reached(world)

    strike_worker(world, act, pid, job)

    is_published_once(world, job)


@pytest.mark.parametrize("name", ["before fail", "failed"])
@pytest.mark.parametrize("act", ["kill worker", "stop"])
def test_a_failure_hit_at_any_point_is_tried_again(world: ChaosWorld, name: str, act: str):
    job = a_job(seconds=0.0, is_flaky=True)
    arm(world.folder, name, job)
    world.put(job)
    pid = reached(world)

    strike_worker(world, act, pid, job)

    is_published_once(world, job)


@pytest.mark.parametrize("act", ["kill", "term", "stop"])
@pytest.mark.parametrize("name", CONDUCTOR)
def test_a_conductor_hit_at_any_point_feeds_each_attempt_once(world: ChaosWorld, name: str, act: str):
    # More than fit: there is something to hold, and to record.
    jobs = [a_job(seconds=0.05) for _ in range(12)]
    arm(world.folder, name)
    world.put(*jobs)
    pid = reached(world)

    strike(world, act, pid, until=world.is_over)

    for job in jobs:
        is_published_once(world, job)


@pytest.mark.parametrize("act", ["kill", "term", "stop"])
@pytest.mark.parametrize("name", SUPERVISOR)
def test_a_supervisor_hit_at_any_point_loses_nothing(world: ChaosWorld, name: str, act: str):
    job = a_job(seconds=0.5)
    world.put(job)
    held = world.until(lambda: running(world, job), "it runs")
    (worker,) = [w for w in world.of_kind("worker") if w.name == held["worker"]]
    arm(world.folder, name)
    send(worker.pid, signal.SIGKILL)
    pid = reached(world)

    strike(world, act, pid, until=lambda: world.state(job.id) == "d")

    is_published_once(world, job)


def test_a_leader_that_slept_before_a_rescue_takes_nothing_from_a_worker_that_woke(world: ChaosWorld):
    job = a_job(seconds=5.0)
    world.put(job)
    held = world.until(lambda: running(world, job), "it runs")
    (worker,) = [w for w in world.of_kind("worker") if w.name == held["worker"]]
    arm(world.folder, "before rescue step", job)
    send(worker.pid, signal.SIGSTOP)
    leader = reached(world)
    send(worker.pid, signal.SIGCONT)
    world.until(lambda: has_lease(world, job), "the worker has its lease again", 5.0)
    send(leader, signal.SIGCONT)

    is_published_once(world, job)

    assert checker.read_effects(world.folder / EFFECTS)[job.id, 2] == 0


# ── the parts of a case ───────────────────────────────────────────────────────────────────────────────────


def a_job(**args: object) -> JobSpec:
    n = next(numbers)
    needs = Needs(rates={"api": RateNeed()})
    return made(n, "chaos.step", {"n": n, **args}, outputs=2, needs=needs)


def arm(project: Path, name: str, job: JobSpec | None = None) -> None:
    folder = project / "stop"
    (folder / "reached").unlink(missing_ok=True)
    draft = folder / "draft"
    # Names hold blanks, ids do not.
    draft.write_text(f"{name.replace(' ', '_')} {job.id if job else ''}")
    draft.rename(folder / "point")


def reached(world: ChaosWorld) -> int:
    """The pid of the process that came to the point and stands still there."""
    file = world.folder / "stop" / "reached"
    world.until(file.exists, "the point is reached")
    pid = int(file.read_text())
    world.until(lambda: is_stopped(pid), "it stands still", 5.0)
    return pid


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def strike_worker(world: ChaosWorld, act: str, pid: int, job: JobSpec) -> None:
    # None where the last one was just killed and the next is not needed yet.
    bodies = [p.pid for p in world.of_kind("body") if parent_of(p.pid) == pid]
    if act in ("kill body", "kill both"):
        for body in bodies:
            os.kill(body, signal.SIGKILL)
    if act == "kill body":
        send(pid, signal.SIGCONT)
        return
    strike(world, act.split()[0], pid, until=lambda: world.state(job.id) == "d" and not world.active())


def strike(world: ChaosWorld, act: str, pid: int, until: object) -> None:
    """`until`: how it is seen that others took over while this process stood still."""
    match act:
        case "kill":
            send(pid, signal.SIGKILL)
        case "term":
            send(pid, signal.SIGTERM)
            send(pid, signal.SIGCONT)
        case _:
            world.until(until, "others take over", PAST_LEASE_S + 10)  # pyright: ignore[reportArgumentType]
            send(pid, signal.SIGCONT)


def running(world: ChaosWorld, job: JobSpec) -> dict[str, object] | None:
    begun = checker.read_effects(world.folder / EFFECTS)
    return next(
        (h for h in world.active() if h["job_id"] == job.id and (job.id, h["attempt"]) in begun), None
    )


def has_lease(world: ChaosWorld, job: JobSpec) -> bool:
    until = world.asked(lambda r: r.zscore("conductor:leases", job.id))
    return until is not None and until / 1000 > time.time() + 0.5


def is_published_once(world: ChaosWorld, job: JobSpec) -> None:
    world.until(lambda: world.state(job.id) == "d", f"{job.id} is done")
    world.until(lambda: not world.active(), "nothing is in flight")
    deadline = time.monotonic() + 3.0
    while (found := wrong(world, job)) and time.monotonic() < deadline:
        time.sleep(0.05)  # A late attempt takes its receipt back, and sweeps up.
    assert found == []


def wrong(world: ChaosWorld, job: JobSpec) -> list[str]:
    roots = {name: root.path for name, root in world.settings.roots.items()}
    seen = checker.gather(
        world.manifests[-2:], world.settings.receipts_dir, roots, None, world.folder / EFFECTS
    )
    found = [*checker.receipt_faults(seen), *checker.output_faults(seen)]
    found = [fault for fault in found if job.id in fault]
    if len(checker.valid_receipts(seen).get(job.id, [])) != 1:
        found.append(f"{job.id} has {checker.valid_receipts(seen).get(job.id)}")
    return found

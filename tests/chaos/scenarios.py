"""What no signal can do: disks and memories that are full, files cut short, a Redis emptied, a wrong clock.

Each returns the checker's faults, or a sentence why it cannot be played here.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from conductor.adapters.redis import valkey
from tests.chaos import play
from tests.chaos.jobs import BACKLOG, made, mixed
from tests.chaos.nemesis import send
from tests.chaos.world import ChaosWorld, a_world

Scenario = Callable[[Path], "str | list[str]"]


def full_disk(folder: Path) -> str | list[str]:
    """The published root fills up under the jobs; after a while somebody makes room."""
    root = folder / "published"
    root.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        return f"no tmpfs can be mounted here ({mounted.stderr.strip()})"
    try:
        with a_world(folder) as world:
            # 90 kB a job, declared as nothing: only the disk itself says no.
            args = [{"n": n, "seconds": 0.0, "lines": 600} for n in range(12)]
            world.put(*(made(n, "chaos.step", each, outputs=1) for n, each in enumerate(args)))
            world.until(lambda: causes(world).get("no_space"), "the disk is full")
            subprocess.run(["mount", "-o", "remount,size=64m", str(root)], check=True)
            world.until(world.is_over, "all have ended", 120.0)
            assert world.counts().get("d") == 12, world.story()
            return play.checked(world)
    finally:
        subprocess.run(["umount", "-l", str(root)], check=False)


def causes(world: ChaosWorld) -> dict[str, int]:
    """Cause → jobs whose last attempt failed so."""
    found: dict[str, int] = {}

    def read(client: object) -> None:
        for key in client.scan_iter("conductor:failures:*"):  # pyright: ignore[reportAttributeAccessIssue]
            cause = (client.hget(key, "cause") or b"").decode()  # pyright: ignore[reportAttributeAccessIssue]
            found[cause] = found.get(cause, 0) + 1

    world.asked(read)
    return found


def full_redis(folder: Path) -> list[str]:
    """maxmemory is reached under noeviction in the middle of a run; after three seconds the limit is
    lifted.
    """
    with a_world(folder) as world:
        world.put(*mixed(400, random.Random(1), 0.03))
        world.until(lambda: world.counts().get("d", 0) > 50, "it runs")
        world.asked(lambda r: r.config_set("maxmemory", 1))
        time.sleep(3.0)
        before = world.counts()
        world.asked(lambda r: r.config_set("maxmemory", 0))
        world.until(world.is_over, "all have ended", 90.0)
        assert sum(before.values()) == 400
        return play.checked(world)


def cut_aof(folder: Path) -> list[str]:
    """Everything is killed at once, and the last byte of the AOF was not written."""
    with a_world(folder) as world:
        world.put(*mixed(400, random.Random(2), 0.03))
        for done in (60, 120, 180):
            world.until(lambda done=done: world.counts().get("d", 0) > done, "it runs")
            outage(world, cut=True)
        world.until(world.is_over, "all have ended", 90.0)
        return play.checked(world)


def outage(world: ChaosWorld, cut: bool) -> None:
    """The power goes: every process, Redis with them."""
    roles = world.roles
    pid = world.valkey_pid()
    world.kill_all()
    if pid is not None:
        send(pid, signal.SIGKILL)
    place = valkey.place_of(world.settings.valkey)
    deadline = time.monotonic() + 5.0
    while valkey.is_running(world.settings.valkey) and time.monotonic() < deadline:
        time.sleep(0.01)
    if cut:
        file = max((place.folder / "appendonlydir").glob("*.incr.aof"), key=lambda f: f.stat().st_mtime)
        os.truncate(file, max(0, file.stat().st_size - 1))
    valkey.ensure_running(world.settings.valkey)
    world.roles = roles
    world.mend()


def emptied(folder: Path) -> list[str]:
    """FLUSHALL in the middle of a run, then `conductor rebuild`: done stays done, the rest runs."""
    with a_world(folder) as world:
        world.dispatch(mixed(400, random.Random(3), 0.03))
        world.until(lambda: world.counts().get("d", 0) > 100, "it runs")
        world.asked(lambda r: r.flushall())
        time.sleep(1.0)
        world.command("rebuild", str(world.manifests[0]), "--target", f"backlog:{BACKLOG}")
        world.until(world.is_over, "all have ended", 90.0)
        return play.checked(world)


def wrong_clock(folder: Path) -> list[str]:
    """One node and one conductor are five minutes ahead, another node as far behind: leases go by Redis's
    clock.
    """
    with a_world(folder, nodes=1, conductors=1, is_hooked=True) as world:
        for name, words, offset in (
            ("ahead", "node", 300),
            ("behind", "node", -300),
            ("early", "conduct", 300),
        ):
            world.keep(name, words, CONDUCTOR_NODE=name, CHAOS_CLOCK=str(offset))
        world.until_reported(("ahead", "behind"))
        figures, faults = play.struck(world_with_jobs(world), [])
        return faults if figures.jobs == 300 else [f"{figures.jobs} of 300 jobs"]


def world_with_jobs(world: ChaosWorld) -> ChaosWorld:
    world.put(*mixed(300, random.Random(4), 0.05))
    return world


ALL: dict[str, Scenario] = {
    "full disk": full_disk,
    "full redis": full_redis,
    "cut aof": cut_aof,
    "emptied redis": emptied,
    "wrong clock": wrong_clock,
}

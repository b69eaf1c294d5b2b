"""Redis fails over under load: its primary is killed, stands still, or is replaced while it lives on; its
replica may not have heard the last that the primary was told.

By hand: `python -m tests.chaos.failovers --failovers 100 [--seed N] [--folder FOLDER]`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from redis.exceptions import RedisError

from tests.chaos import play
from tests.chaos.jobs import made, mixed
from tests.chaos.world import ChaosWorld, a_world
from tests.sentinel_scene import WatchedServers, watched_servers

BLOWS: dict[str, Callable[[WatchedServers], int]] = {
    "kill": WatchedServers.kill,
    "stop": WatchedServers.stop,
    "quiet": WatchedServers.fail_over,
    "split": WatchedServers.cut_off,
}
#: So long after the blow somebody has to work by the new primary.
LIMIT_S = 10.0
#: What the harness itself waits for on a machine that is busy.
SLOW_S = 120.0
#: Failovers by hand come in rounds of so many, each in a project of its own, checked at its end.
ROUND = 10
#: So many jobs end between two failovers, at least.
BETWEEN = 25
#: So long the replica hears nothing before it takes over, at most.
LAG_S = 1.0


@dataclass(frozen=True)
class FailoverTimes:
    """Of one of them. `served_s`: from the blow to the first write that a client had answered; `worked_s`: to
    the next job that ended."""

    kind: str
    served_s: float
    worked_s: float


def run(folder: Path, seed: int, kinds: Sequence[str]) -> tuple[list[FailoverTimes], list[str]]:
    """One failover of each kind, in this order; and what is wrong in the end (empty: nothing)."""
    rng, done = random.Random(seed), list[FailoverTimes]()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        watched_servers(folder / "servers") as servers,
        a_world(folder / "project", redis_url=servers.url) as world,
    ):
        world.dispatch(mixed(BETWEEN, rng, 0.1))
        for n, kind in enumerate(kinds):
            top_up(world, rng, n)
            target = play.ended(world) + BETWEEN // 2
            world.until(lambda target=target: play.ended(world) >= target, "it runs", 60.0)
            done.append(struck(world, servers, kind, rng))
            if n + 1 < len(kinds):
                servers.wait_in_step(SLOW_S)
        while not world.is_over():
            play.wait_for_another(world)
        return done, play.checked(world)


def top_up(world: ChaosWorld, rng: random.Random, n: int) -> None:
    """There is work in hand at each blow."""
    number = 10_000 * (n + 1)
    jobs = (
        made(number + k, "chaos.step", {"n": number + k, "seconds": rng.choice((0.05, 0.3, 1.0))}, outputs=1)
        for k in range(BETWEEN)
    )
    world.put(*jobs)


def struck(world: ChaosWorld, servers: WatchedServers, kind: str, rng: random.Random) -> FailoverTimes:
    lagging(servers, rng)
    began = time.monotonic()
    old = BLOWS[kind](servers)
    new = servers.wait_for_another(old, SLOW_S)
    served = since(began, lambda: answers(world))
    ended = play.ended(world)
    worked = since(began, lambda: play.ended(world) > ended or world.is_over())
    if kind == "kill":
        servers.start(old, replica_of=new)
    elif rng.random() < 0.5:
        # For ten seconds the old one takes itself for the primary, until the Sentinels tell it.
        servers.wake(old)
        servers.reach_again(old)
    else:
        servers.mend(old, new)
    return FailoverTimes(kind, served, worked)


def lagging(servers: WatchedServers, rng: random.Random) -> None:
    """What the primary is told from now on no replica hears: it is promoted without it."""
    if rng.random() < 0.5:
        return
    servers.stall_replicas()
    time.sleep(rng.uniform(0.2, LAG_S))


def answers(world: ChaosWorld) -> bool:
    try:
        with world.redis as client:
            return bool(client.incr("written"))
    except RedisError:
        return False


def since(began: float, is_so: Callable[[], bool]) -> float:
    while not is_so():
        assert time.monotonic() - began < 60.0, "it never came back"
        time.sleep(0.02)
    return time.monotonic() - began


def said(failovers: Sequence[FailoverTimes]) -> list[str]:
    """Lines for people: of each kind how long it took."""
    lines = list[str]()
    for kind in BLOWS:
        times = [(each.served_s, each.worked_s) for each in failovers if each.kind == kind]
        if times:
            served, worked = (sorted(column) for column in zip(*times, strict=True))
            lines.append(
                f"{kind}: {len(times)} times, served again after {served[len(times) // 2]:.1f} s "
                f"({served[-1]:.1f} at most), the next job done after {worked[len(times) // 2]:.1f} s "
                f"({worked[-1]:.1f})"
            )
    return lines


def main() -> int:
    """0 when nothing was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--failovers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    seeds, done, faults = random.Random(options.seed), list[FailoverTimes](), list[str]()
    while len(done) < options.failovers:
        seed = seeds.randrange(10**6)
        kinds = random.Random(seed).choices([*BLOWS], k=min(ROUND, options.failovers - len(done)))
        with tempfile.TemporaryDirectory(prefix="failovers-") as folder:
            times, found = run(Path(folder), seed, kinds)
        done += times
        faults += found
        sys.stdout.write(f"seed {seed}: {' '.join(kinds)}: {len(found)} faults; {len(done)} in all\n")
        sys.stdout.flush()
    late = [f"{each.kind}: {each.served_s:.1f} s" for each in done if each.served_s > LIMIT_S]
    sys.stdout.write("\n".join([*said(done), f"{len(faults)} faults", *faults, *late]) + "\n")
    return 1 if faults or late else 0


if __name__ == "__main__":
    sys.exit(main())

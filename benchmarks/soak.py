"""Hours of work in minutes, and whether anything grows: `python benchmarks/soak.py [--minutes 10] [--gap 4]
[--json FILE]`.

A real project on a real Valkey: jobs keep coming (short and longer, several classes, failures, retries, 429s,
chains of files), processes are killed all the while, by the machinery of tests/chaos. Each minute a row:
memory, keys, files, threads. At the end nothing may be lost or doubled, audit and verify must agree, and
memory must not have grown.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from recovery import machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conductor.model.spec import JobSpec, Needs, RateNeed
from conductor.verify.verify import verify
from tests.chaos import play
from tests.chaos.jobs import made
from tests.chaos.nemesis import Nemesis, schedule
from tests.chaos.world import ChaosWorld, a_world

#: Blows of the storm at the beginning; later the leader, the nodes and the server are left to grow, if they
#: do.
WEIGHTS = {"body": 30, "worker": 20, "worker+body": 6, "conductor": 3}
STORM = {**WEIGHTS, "leader": 8, "node": 4, "redis": 4, "stop leader": 2}
STORM_SHARE = 0.25
#: So many jobs wait at most: a batch is put where fewer do.
DEEP, BATCH = 300, 100
#: A process is looked at so often, and counts once it has been there for so long: imports and rings are full
#: then.
LOOK_S, GROWN_S, LEAST_LOOKS = 5.0, 90.0, 8
#: What a process may take more for each 1,000 jobs, and how many keys may stay of them.
MOST_KIB = {"conductor": 256.0, "node": 256.0, "worker": 256.0, "body": 512.0}
MOST_KEYS = 5.0
#: Kept of each job that has failed, or shares files, as its line is; and RQ's own, the last few hundred of
#: each queue.
KEPT = ("conductor:failures", "conductor:chain", "rq:job")
QUIET_S = 180.0


# ── the jobs ──────────────────────────────────────────────────────────────────────────────────────────────


def batch(first: int, rng: random.Random) -> tuple[list[JobSpec], list[JobSpec]]:
    """About `BATCH` jobs that end well, and a few that can only die; numbered from `first`."""
    good: list[JobSpec] = []
    while len(good) < BATCH:
        good += some(first + len(good), rng)
    return good, [made(-first - n - 1, "chaos.bad", {"n": -first - n - 1}) for n in range(2)]


def some(n: int, rng: random.Random) -> list[JobSpec]:
    """One job, or a chain of them."""
    kind = rng.random()
    if kind < 0.03:
        return chain(n, rng)
    args: dict[str, object] = {"n": n, "seconds": round(min(0.1, rng.expovariate(1 / 0.01)), 3)}
    more: dict[str, Any] = {"lane": "io" if rng.random() < 0.2 else None}
    if kind < 0.08:
        args["is_flaky"] = True
    elif kind < 0.12:
        # Of an API that refuses more of its calls next to nothing is asked any more, which is right, and no
        # soak.
        args |= {"is_flaky": rng.random() < 0.005, "rate": "api"}
        more["needs"] = Needs(rates={"api": RateNeed(requests=1)})
    elif kind < 0.14:
        args["has_program"] = True
    elif kind < 0.16:
        args["seconds"] = round(rng.uniform(0.5, 2.0), 2)
    elif kind < 0.30:
        # As large as a worker's other jobs together: who waits for the core is a successor.
        more["needs"] = Needs(cpu=rng.choice((0.5, 1.0, 2.0)))
    elif kind < 0.60:
        return [made(n, "diagnostics.echo", {"text": f"job {n}", "n": n}, outputs=1)]
    elif kind < 0.65:
        return [made(n, "crud.cycle", {"rows": 5, "index": n})]
    return [made(n, "chaos.step", args, outputs=1, **more)]


def chain(n: int, rng: random.Random) -> list[JobSpec]:
    """One file, two who read it, one who reads theirs."""
    paths = [f"scratch:chain/{n + k}.txt" for k in range(3)] + [f"published:chain/{n + 3}.txt"]
    reads = [(), (paths[0],), (paths[0],), (paths[1], paths[2])]
    specs: list[JobSpec] = []
    for k, path in enumerate(paths):
        needed = tuple(spec.id for spec in specs if spec.writes[0].path in reads[k])
        args: dict[str, object] = {"n": n + k, "seconds": round(rng.uniform(0, 0.1), 3)}
        specs.append(made(n + k, "chaos.step", args, path=path, reads=reads[k], after=needed))
    return specs


# ── looking ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class ProcessLife:
    """One process: (jobs ended, RSS in KiB) each time it was looked at."""

    kind: str
    born: float
    looks: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])

    @property
    def slope_kib(self) -> float | None:
        """KiB for each 1,000 jobs (Theil and Sen); None for one that did not live long enough to tell."""
        if len(self.looks) < LEAST_LOOKS or self.looks[-1][0] - self.looks[0][0] < 500:
            return None
        half = len(self.looks) // 2
        pairs = zip(self.looks[: len(self.looks) - half], self.looks[half:], strict=False)
        return 1000 * statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs if b[0] > a[0])


class SoakEyes:
    def __init__(self, world: ChaosWorld) -> None:
        self._world = world
        self._began = time.monotonic()
        self.lives: dict[int, ProcessLife] = {}
        self.rows: list[dict[str, Any]] = []
        #: (jobs ended, keys) of the server each minute.
        self.server: list[tuple[int, int]] = []

    def look(self, ended: int) -> dict[str, dict[str, float]]:
        """Kind → the most of each figure among its processes."""
        found: dict[str, dict[str, float]] = defaultdict(
            lambda: {"n": 0, "rss_mib": 0, "files": 0, "threads": 0}
        )
        for proc in self._world.processes():
            kind = "valkey" if "valkey-server" in proc.name else proc.kind
            if kind in ("starting", "program"):
                continue
            with suppress(psutil.Error, OSError):
                process = psutil.Process(proc.pid)
                rss = process.memory_info().rss / 1024
                row = found[kind]
                row["n"] += 1
                row["rss_mib"] = max(row["rss_mib"], round(rss / 1024, 1))
                row["files"] = max(row["files"], process.num_fds())
                row["threads"] = max(row["threads"], process.num_threads())
                life = self.lives.setdefault(proc.pid, ProcessLife(kind, time.monotonic()))
                if time.monotonic() - life.born > GROWN_S:
                    life.looks.append((ended, rss))
        return dict(found)

    def row(self, ended: int, waiting: int) -> dict[str, Any]:
        used = self._world.asked(lambda r: int(r.info("memory")["used_memory"]))
        families = left_keys(self._world)
        keys = sum(n for family, n in families.items() if " " not in family and family not in KEPT)
        kept = {family: families[family] for family in KEPT if family in families}
        row = {
            "minute": round((time.monotonic() - self._began) / 60, 1),
            "ended": ended,
            "waiting": waiting,
            "keys": keys,
            "kept": kept,
            "redis_mib": round(used / 2**20, 1),
            "processes": self.look(ended),
            "files": {
                folder.name: len(list(folder.glob("*")))
                for folder in (self._world.settings.logs_dir, self._world.settings.receipts_dir)
            },
        }
        self.rows.append(row)
        self.server.append((ended, keys))
        return row

    def slopes_kib(self) -> dict[str, float]:
        """Kind → the median over its processes that lived long enough."""
        by_kind: dict[str, list[float]] = defaultdict(list)
        for life in self.lives.values():
            if (slope := life.slope_kib) is not None:
                by_kind[life.kind].append(slope)
        return {kind: round(statistics.median(slopes), 1) for kind, slopes in sorted(by_kind.items())}


# ── the course of things ──────────────────────────────────────────────────────────────────────────────────


class Soak:
    def __init__(
        self, world: ChaosWorld, minutes: float, gap_s: float, seed: int, say: Callable[[str], object]
    ) -> None:
        self._world = world
        self._end = time.monotonic() + 60 * minutes
        self._calm = time.monotonic() + 60 * minutes * STORM_SHARE
        self._rng = random.Random(seed)
        self._seed = seed
        self._gap_s = gap_s
        self._say = say
        self._nemesis = Nemesis(world)
        self._good: list[Path] = []
        self._jobs = 0
        self.eyes = SoakEyes(world)

    def run(self) -> dict[str, Any]:
        looked = said = 0.0
        storm = schedule(self._seed, 5000, self._gap_s, STORM)
        drizzle = schedule(self._seed + 1, 5000, self._gap_s, WEIGHTS)
        while (now := time.monotonic()) < self._end:
            self._feed()
            counts = self._world.counts()
            ended = sum(counts.get(letter, 0) for letter in "dxvc")
            if now - said >= 60:
                said = looked = now
                self._say(text_of(self.eyes.row(ended, counts.get("w", 0))))
            elif now - looked >= LOOK_S:
                looked = now
                self.eyes.look(ended)
            blows = storm if now < self._calm else drizzle
            self._nemesis.run([blows.pop()] if blows else [])
        self._nemesis.wake_all()
        return self._ended(self._came_to_rest())

    def _came_to_rest(self) -> list[str]:
        """What is wrong where it does not: the rest is looked at all the same."""
        with suppress(AssertionError):
            self._world.until(self._world.is_over, "all jobs have ended", QUIET_S)
            return []
        held = json.loads(self._world.command("status", "--json", may_fail=True).stdout or "{}").get(
            "holds", ()
        )
        gates = sorted({verdict["gate"] for hold in held for verdict in hold["closed"]})
        left = {letter: n for letter, n in self._world.counts().items() if letter in "war" and n}
        return [f"not at rest after {QUIET_S:g} s: {left}, held by {', '.join(gates) or 'no gate'}"]

    def _feed(self) -> None:
        if self._world.counts().get("w", 0) > DEEP:
            return
        good, bad = batch(self._jobs, self._rng)
        self._jobs += len(good) + len(bad)
        self._world.put(*good)
        self._good.append(self._world.manifests[-1])
        self._world.put(*bad)

    def _ended(self, found: list[str]) -> dict[str, Any]:
        world = self._world
        counts = world.counts()
        self._say(text_of(self.eyes.row(sum(counts.values()), 0)))
        left = left_keys(world)
        audit = json.loads(world.command("audit", "--json", may_fail=True).stdout)
        reports = [verify(path, world.settings.receipts_dir, world.settings.layout) for path in self._good]
        unverified = sum(not report.is_good for report in reports)
        kills = len(self._nemesis.kills)
        found += play.checked(world)
        return {
            "jobs": self._jobs, "counts": counts, "kills": kills, "faults": found,
            "audit": [check for check in audit["checks"] if check["faults"]], "is_sound": audit["is_sound"],
            "manifests": len(reports), "unverified": unverified, "keys_left": left,
            "slopes_kib_per_1000": self.eyes.slopes_kib(), "keys_per_1000": self._keys_per_1000(),
            "rows": self.eyes.rows,
        }  # fmt: skip

    def _keys_per_1000(self) -> float:
        calm = self.eyes.server[len(self.eyes.server) // 4 :]
        (before, keys), (after, more) = calm[0], calm[-1]
        return round(1000 * (more - keys) / max(1, after - before), 1)


def left_keys(world: ChaosWorld) -> dict[str, int]:
    """Family of keys → how many, and of its members where that grows with the jobs; all work is over."""

    def ask(redis: Any) -> dict[str, int]:
        families: dict[str, int] = defaultdict(int)
        for key in redis.scan_iter("*", count=1000):
            words = key.decode().split(":")
            families[":".join(words[:2])] += 1
        sizes = {b"hash": "HLEN", b"set": "SCARD", b"zset": "ZCARD", b"list": "LLEN"}
        for family, n in [*families.items()]:
            if n == 1 and (command := sizes.get(redis.type(family))):
                size = int(redis.execute_command(command, family))
                if size > 20:
                    families[f"{family} (members)"] = size
        return dict(sorted(families.items()))

    return world.asked(ask)


def misses(result: dict[str, Any]) -> list[str]:
    """What must not be."""
    said = [str(fault) for fault in result["faults"]]
    if not result["is_sound"]:
        said += [f"audit: {fault}" for fault in result["audit"] or ["not sound"]]
    if result["unverified"]:
        said.append(f"{result['unverified']} of {result['manifests']} manifests do not verify")
    for kind, slope in result["slopes_kib_per_1000"].items():
        if slope > MOST_KIB.get(kind, float("inf")):
            said.append(f"{kind} grows by {slope} KiB for each 1,000 jobs, wanted at most {MOST_KIB[kind]:g}")
    if result["keys_per_1000"] > MOST_KEYS:
        said.append(f"{result['keys_per_1000']} keys stay of each 1,000 jobs, wanted at most {MOST_KEYS:g}")
    return said


def text_of(row: dict[str, Any]) -> str:
    parts = [
        f"{kind} {each['rss_mib']:.1f} MiB, {each['files']:.0f} files, {each['threads']:.0f} threads"
        for kind, each in sorted(row["processes"].items())
    ]
    keys = f"{row['keys']} keys and {sum(row['kept'].values())} kept"
    head = f"{row['minute']:>5} min  {row['ended']} ended, {row['waiting']} wait, {keys}"
    files = ", ".join(f"{n} files in {name}" for name, n in row["files"].items())
    return "; ".join([head, f"redis {row['redis_mib']} MiB", files, *parts])


def text(result: dict[str, Any]) -> str:
    slopes = ", ".join(f"{kind} {slope:+.1f}" for kind, slope in result["slopes_kib_per_1000"].items())
    left = ", ".join(f"{family} {n}" for family, n in result["keys_left"].items() if n > 1)
    lines = [
        f"{result['jobs']} jobs, {result['kills']} kills: {result['counts']}",
        f"KiB for each 1,000 jobs: {slopes or 'no process lived long enough'}; keys: "
        f"{result['keys_per_1000']:+.1f}",
        f"left: {left}",
        f"audit {'sound' if result['is_sound'] else 'NOT sound'}; {result['unverified']} "
        "manifests unverified",
    ]
    return "\n".join([*lines, *(f"MISSED: {line}" for line in result["missed"])])


def main() -> int:
    """1 when something was lost, doubled, left behind, or grew."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--gap", type=float, default=4.0, help="mean seconds between two kills")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--json", type=Path)
    given = options.parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    say(machine())
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, a_world(Path(folder)) as world:
        result = Soak(world, given.minutes, given.gap, given.seed, say).run()
    result["missed"] = misses(result)
    print(text(result))
    if given.json:
        given.json.write_text(json.dumps(result), encoding="utf-8")
    return 1 if result["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())

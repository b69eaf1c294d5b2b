"""One run: a world, a manifest, a nemesis, and the checker's word at the end."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos import checker
from tests.chaos.figures import ChaosFigures, measured
from tests.chaos.jobs import EFFECTS, mixed
from tests.chaos.nemesis import Blow, Nemesis, schedule
from tests.chaos.world import ChaosWorld, a_world

#: After the last kill everything comes to its end, however long that takes; for so long nothing does: it
#: never will.
STILL_S = 60.0
SWEPT_S = 15.0


def run(
    folder: Path, seed: int, jobs: int, kills: int, gap_s: float, mean_s: float = 0.02
) -> tuple[ChaosFigures, list[str]]:
    """Jobs and kills of this seed in a fresh project; the figures, and what is wrong (empty: nothing)."""
    specs = mixed(jobs, random.Random(seed), mean_s)
    # Workers that have nothing to do leave, and come again, all the while.
    with a_world(folder, env={"CONDUCTOR_WORKERS__IDLE_S": "0.5"}) as world:
        world.dispatch(specs)
        return struck(world, schedule(seed, kills, gap_s))


def struck(
    world: ChaosWorld, blows: Sequence[Blow], nemesis: Nemesis | None = None
) -> tuple[ChaosFigures, list[str]]:
    """Strike until both the schedule and the work are done, stop everything, check."""
    nemesis, began = nemesis or Nemesis(world), time.monotonic()
    nemesis.run([*blows])
    # The last blow may have been for Redis, which nobody else starts again where hosts share one.
    world.mend()
    while not world.is_over():
        wait_for_another(world)
    seconds = time.monotonic() - began
    found = checked(world)
    settings = world.settings
    figures = measured(
        nemesis.kills, world.manifests, settings.receipts_dir, world.folder / EFFECTS, settings.logs_dir
    )
    figures.seconds = seconds
    return figures, found


def wait_for_another(world: ChaosWorld) -> None:
    before = ended(world)
    world.until(lambda: ended(world) != before or world.is_over(), "another job has ended", STILL_S)


def ended(world: ChaosWorld) -> int:
    counts = world.counts()
    return sum(counts.get(letter, 0) for letter in "dx")


def checked(world: ChaosWorld) -> list[str]:
    """Bring the world to rest and have the checker look at it. What the dead left is swept up within
    seconds.
    """
    with suppress(AssertionError):
        world.until(lambda: not staged(world), "nothing is staged any more", SWEPT_S)
    world.stop()
    return checker.faults(evidence(world))


def staged(world: ChaosWorld) -> list[Path]:
    folders = {root.path for root in world.settings.roots.values()}
    folders.update(folder for at in world.local_roots().values() for folder in at.values())
    return [path for folder in folders for path in (folder / ".tmp").glob("*") if path.name != "root.id"]


def evidence(world: ChaosWorld) -> checker.Evidence:
    left = [
        f"{proc.kind} {proc.pid} {proc.name}" for proc in world.left() if "valkey-server" not in proc.name
    ]
    roots = {name: root.path for name, root in world.settings.roots.items()}
    effects, receipts = world.folder / EFFECTS, world.settings.receipts_dir
    with world.redis as client:
        seen = checker.gather(
            world.manifests, receipts, roots, client, effects, left, local=world.local_roots()
        )
    markers = {f"{name}:{root.marker}" for name, root in world.settings.roots.items()}
    # What tells one folder from another lies in each root, too.
    seen.strays = [s for s in seen.strays if s not in markers and not s.endswith(":.tmp/root.id")]
    return seen


def say(capsys: pytest.CaptureFixture[str], lines: Sequence[str]) -> None:
    """Figures are for people, whether the test passes or not."""
    with capsys.disabled():
        sys.stdout.write("".join(f"\n  {line}" for line in lines) + "\n")

"""`python tests/hosts/storm.py [--jobs 3000] [--blows 300] [--hosts 8] [--gap 2] [--seed N]`: by hand.

Some ten minutes of hosts that are really apart under kills, cuts and wrong clocks; what was lost or done
twice, and how soon what was hit ran again. Needs root.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.chaos import play
from tests.chaos.jobs import mixed
from tests.chaos.nemesis import schedule
from tests.chaos.soak import machine, say
from tests.hosts.courses import course, told
from tests.hosts.hosts_nemesis import WEIGHTS, HostsNemesis
from tests.hosts.hosts_world import a_hosts_world
from tests.hosts.network import why_not

#: So many jobs are dispatched together.
LOT = 50
#: Of so many slow recoveries it is told where their seconds went.
TAKEN_APART = 12


def main() -> int:
    """0 when nothing was lost, doubled, wrong or left behind."""
    options = parser().parse_args()
    if why := why_not():
        say(why)
        return 2
    seed: int = options.seed
    say(f"{machine()}; seed {seed}")
    with kept_or_not(options.folder) as folder:
        base, names = Path(folder), [f"h{n}" for n in range(options.hosts)]
        base.mkdir(parents=True, exist_ok=True)
        clock = base / "wall_clock.so"
        source = Path(__file__).with_name("wall_clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", clock, source, "-ldl"], check=True)
        began = time.monotonic()
        with a_hosts_world(
            base / "fleet", names, conductors=3, lease_s=options.lease, clock_stub=clock
        ) as world:
            say(f"{len(names)} hosts up after {time.monotonic() - began:.1f} s")
            jobs = mixed(options.jobs, random.Random(seed), options.mean, options.longest)
            world.lots = [jobs[n : n + LOT] for n in range(0, len(jobs), LOT)]
            blows = schedule(seed, options.blows, options.gap, WEIGHTS)
            figures, faults = play.struck(world, blows, HostsNemesis(world))
            events = told(world)
    # Those go by the clocks of hosts, which were wrong.
    figures.failover_s.clear()
    figures.receipt_s.clear()
    say("\n".join(figures.lines()))
    for each in sorted(figures.recoveries, key=lambda each: -each.seconds)[:TAKEN_APART]:
        say(f"  {each.kind}, {each.job_id[:8]} #{each.attempt}: {course(each, events)}")
    say(f"{len(faults)} faults" + "".join(f"\n  {fault}" for fault in faults))
    return 1 if faults else 0


def kept_or_not(folder: str | None) -> AbstractContextManager[str]:
    return nullcontext(folder) if folder else tempfile.TemporaryDirectory(prefix="storm-")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--jobs", type=int, default=3000)
    result.add_argument("--blows", type=int, default=300)
    result.add_argument("--hosts", type=int, default=8)
    result.add_argument("--gap", type=float, default=2.0, help="mean seconds between two blows")
    result.add_argument("--mean", type=float, default=1.5, help="mean seconds of a job")
    result.add_argument("--longest", type=float, default=6.0)
    result.add_argument("--folder", help="a new one, which stays: for a look at what was slow")
    result.add_argument("--lease", type=float, default=3.0)
    result.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    return result


if __name__ == "__main__":
    sys.exit(main())

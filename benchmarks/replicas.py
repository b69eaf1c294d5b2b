"""What it costs that a replica has heard of a write before it counts: `python benchmarks/replicas.py`.

A primary and a replica on loopback; batches of steps of a job's life, in turn plain, with
`min-replicas-to-write 1`, and each followed by WAIT 1. Only the ratios hold for another machine, and a
network between the two adds a round trip to each WAIT.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.model.decision import Admission
from conductor.ports import Ledger
from tests.ledger_scenes import a_receipt, a_reservation, an_entry, an_id
from tests.sentinel_scene import WatchedServers, watched_servers

#: Of each kind, in turn.
ROUNDS, JOBS = 12, 100
MODES = ("plain", "min-replicas", "wait")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="replicas-") as folder, watched_servers(Path(folder)) as servers:
        taken = measured(servers, options.rounds)
    plain = taken["plain"]
    for mode, (admissions, lives) in taken.items():
        p50, p99 = statistics.median(admissions), statistics.quantiles(admissions, n=100)[98]
        jobs = 1 / statistics.median(lives)
        ratio = statistics.median(plain[1]) / statistics.median(lives)
        sys.stdout.write(
            f"{mode:13} admission p50 {p50 * 1e6:5.0f} µs, p99 {p99 * 1e6:5.0f} µs; "
            f"{jobs:6.0f} jobs/s through the ledger ({ratio:.2f} of plain)\n"
        )
    return 0


def measured(servers: WatchedServers, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """By mode: seconds of each admission, seconds of each job from dispatch to acceptance."""
    taken: dict[str, tuple[list[float], list[float]]] = {mode: ([], []) for mode in MODES}
    with connect(servers.url) as client:
        ledger = redis_ledger(client)
        epoch = ledger.leadership.lead("bench", 3600.0)
        assert epoch is not None
        for turn in range(rounds):
            for mode in MODES:
                client.config_set("min-replicas-to-write", int(mode == "min-replicas"))
                heard = waiting(client) if mode == "wait" else lambda: None
                names = [f"{mode}-{turn}-{n}" for n in range(JOBS)]
                for name in names:
                    life(ledger, epoch, name, heard, *taken[mode])
    return taken


def waiting(client: Any) -> Callable[[], None]:
    def heard() -> None:
        assert client.wait(1, 1000) == 1

    return heard


def life(
    ledger: Ledger,
    epoch: int,
    name: str,
    heard: Callable[[], None],
    admissions: list[float],
    lives: list[float],
) -> None:
    """Dispatched, admitted, started, accepted: a step each."""
    began = time.perf_counter()
    ledger.intake.put("night", [an_entry(name)])
    heard()
    asked = time.perf_counter()
    ledger.handover.admit(
        epoch, [Admission(reservation=a_reservation(name, 1), backlog="night", ceilings={})]
    )
    heard()
    admissions.append(time.perf_counter() - asked)
    ledger.attempts.start(an_id(name), 1, "w1", 30.0)
    heard()
    assert ledger.attempts.accept(a_receipt(name, 1)) == "accepted"
    heard()
    lives.append(time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())

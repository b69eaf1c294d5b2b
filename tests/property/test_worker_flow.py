"""Whatever comes between a worker's words: nothing is held that nobody runs, nothing is charged for another's
fault.

`FLOW_SEEDS=20000 FLOW_FIRST=0 pytest tests/property/test_worker_flow.py` plays as many worlds as one has
patience for.
"""

from __future__ import annotations

import os
from typing import Any

from flow_world import FlowWorld, played

FIRST, SEEDS = int(os.environ.get("FLOW_FIRST", "0")), int(os.environ.get("FLOW_SEEDS", "4000"))
#: Rounds of one run: beyond it goes round for ever.
MOST = 30_000


def play(seed: int) -> None:
    world = FlowWorld(seed)
    with played(world) as flow:
        real, rounds = flow._next, 0

        def following() -> Any:
            nonlocal rounds
            rounds += 1
            assert rounds < MOST, "it goes round for ever"
            return real()

        flow._next = following
        flow.work()
        world.check_empty()


def test_random_interleavings_leave_nothing_held():
    failed: dict[int, BaseException] = {}
    for seed in range(FIRST, FIRST + SEEDS):
        try:
            play(seed)
        except Exception as e:  # noqa: BLE001  whatever it is, it is this seed's
            failed[seed] = e
    if failed:
        seed, error = next(iter(failed.items()))
        raise AssertionError(
            f"{len(failed)} of {SEEDS} seeds: {[*failed][:20]}; {seed}: {error!r}"
        ) from error

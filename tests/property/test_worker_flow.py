"""Whatever comes between a worker's words: nothing is held that nobody runs, nothing is charged for another's fault.

`FLOW_SEEDS=20000 FLOW_FIRST=0 pytest tests/property/test_worker_flow.py` plays as many worlds as one has patience for.
"""

from __future__ import annotations

import os

from flow_world import World, played

FIRST, SEEDS = int(os.environ.get("FLOW_FIRST", "0")), int(os.environ.get("FLOW_SEEDS", "4000"))
#: Rounds of one run: beyond it goes round for ever.
MOST = 3000


def play(seed: int) -> None:
    world = World(seed)
    with played(world) as flow:
        real, rounds = flow._feed, 0

        def feed() -> None:
            nonlocal rounds
            rounds += 1
            assert rounds < MOST, "it goes round for ever"
            real()

        flow._feed = feed
        for _ in range(world.dice.randint(1, 4)):
            if world.stopping.is_asked:
                return
            rounds, asked_at = 0, world.now
            flow.run_taken(world.ledger.turn(flow.idle_turn()), asked_at)
            held = [held.key for held in world.keeper.helds]
            assert not held, f"held, and nobody runs them: {held}"
            # One that leaves at once may not have heard what its last turn started: its supervisor sees it go.
            if not world.stopping.is_urgent:
                assert not world.ledger.running, (
                    f"running in the ledger, and here nobody runs them: {world.ledger.running}"
                )


def test_random_interleavings_leave_nothing_held():
    failed: dict[int, BaseException] = {}
    for seed in range(FIRST, FIRST + SEEDS):
        try:
            play(seed)
        except Exception as e:  # noqa: BLE001  whatever it is, it is this seed's
            failed[seed] = e
    if failed:
        seed, error = next(iter(failed.items()))
        raise AssertionError(f"{len(failed)} of {SEEDS} seeds: {[*failed][:20]}; {seed}: {error!r}") from error

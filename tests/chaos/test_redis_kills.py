"""Valkey with `appendfsync always`, killed twenty times amid writes: what it acknowledged is there
afterwards.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from ledger_scenes import an_entry, an_id

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.redis import valkey
from conductor.base.errors import Unreachable
from conductor.base.settings.sections import Redis
from conductor.base.settings.settings import Settings

KILLS = 20
#: Acknowledged between two kills, at least: the blow falls among writes.
BETWEEN = 50


def test_twenty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", redis=Redis(appendfsync="always"))
    acknowledged: list[str] = []
    enough, is_over = threading.Semaphore(0), threading.Event()

    def put_on() -> None:
        """Until told to stop; what gets no answer is put again: a maybe is known the second time."""
        with connect(valkey.place_of(settings.valkey).url) as client:
            ledger, n = redis_ledger(client), 0
            while not is_over.is_set():
                try:
                    ledger.intake.put("night", [an_entry(f"job{n}")])
                except Unreachable:
                    is_over.wait(0.01)
                    continue
                acknowledged.append(an_id(f"job{n}"))
                n += 1
                enough.release()

    with valkey.session(settings.valkey):
        writer = threading.Thread(target=put_on)
        writer.start()
        for _ in range(KILLS):
            for _ in range(BETWEEN):
                assert enough.acquire(timeout=30)
            os.kill(int(valkey.place_of(settings.valkey).pid_file.read_text()), signal.SIGKILL)
            assert valkey.wait_until(lambda: not valkey.is_running(settings.valkey), 10)
            valkey.ensure_running(settings.valkey)
        is_over.set()
        writer.join(timeout=30)
        with connect(valkey.place_of(settings.valkey).url) as client:
            ledger = redis_ledger(client)
            waiting = set(ledger.jobs.ids("waiting", "night"))
            counted = ledger.tallies.counts("night")["waiting"]

    print(f"\n  {KILLS} kills, {len(acknowledged)} acknowledged, {len(set(acknowledged) - waiting)} lost")  # noqa: T201
    assert set(acknowledged) <= waiting
    assert counted == len(waiting)

"""Kills of Slurm's controller and of its clients, and a `squeue` that tells of nothing, while submissions go
in. Two rounds here; `SLURM_ROUNDS=100 SLURM_REPORT=FILE` (by hand) is 1,000 submissions, 50 kills of the
controller and some 330 of clients.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from slurm_daemons import SlurmDaemons, is_unpacked, running_slurm

from conductor.adapters.engines.slurm import SlurmEngine
from conductor.base.errors import Unreachable
from conductor.base.settings.engine_settings import EngineSettings
from conductor.model.engine import EngineJob, EngineResources, Submission

ROUNDS = int(os.environ.get("SLURM_ROUNDS", "2"))
A_ROUND = 10
PATIENCE_S = 90.0

#: Tells that it began, and goes when it is told to. One that Slurm starts again, since it forgot that it had
#: ended, leaves at once, as a pilot does whose time is over.
BODY = """
key="$1"; [ -e "$key.end" ] && exit
echo >>"$key.began"
while [ ! -e "$key.end" ]; do sleep 0.1; done
"""


@pytest.fixture
def slurm_with_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmDaemons]:
    if not is_unpacked():
        words = "no Slurm is unpacked here (scripts/slurm-for-tests)"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    # A killed controller keeps the cores of jobs whose end it forgot, until their time is over.
    with running_slurm(tmp_path / "slurm", cpus=1000, with_vram=False) as daemons:
        lies = tmp_path / "lies"
        lies.mkdir()
        for name, value in daemons.environment.items():
            monkeypatch.setenv(name, f"{lies}:{value}" if name == "PATH" else value)
        yield daemons


class Blows:
    def __init__(self, slurm: SlurmDaemons, folder: Path, random_: random.Random) -> None:
        self._slurm, self._folder, self._random = slurm, folder, random_
        self._lie = folder / "lies" / "squeue"
        self.count = Counter[str]()

    def submit(self, key: str) -> str:
        """The outcome. A third of the clients are killed at any moment; a third of the lists are empty."""
        patience_s = 20.0
        if self._random.random() < 1 / 3:
            patience_s = self._random.uniform(0.001, 0.1)
        if self._random.random() < 1 / 3:
            self._lie.write_text("#!/bin/sh\nexit 0\n")
            self._lie.chmod(0o755)
            self.count["lists that were empty"] += 1
        try:
            outcome = an_engine(patience_s).submit(key, self._submission(key)).outcome
        finally:
            self._lie.unlink(missing_ok=True)
        self.count[f"clients {'killed' if patience_s < 1 else 'left alone'}: {outcome}"] += 1
        return outcome

    def kill_controller(self) -> threading.Timer:
        """At some moment of a round. It dies with the thread that starts it again: that is the main one."""
        timer = threading.Timer(self._random.uniform(0.0, 2.0), self._slurm.kill_controller)
        timer.start()
        self.count["controllers killed"] += 1
        return timer

    def _submission(self, key: str) -> Submission:
        argv = ("/bin/sh", "-c", BODY, "body", key)
        room = EngineResources(cpus=1, ram_mib=16)
        return replace(Submission(argv=argv, folder=str(self._folder), time_limit_s=600.0), resources=room)


def an_engine(patience_s: float = 20.0) -> SlurmEngine:
    return SlurmEngine(EngineSettings(kind="slurm"), "cdr-blow-", patience_s)


def told(keys: list[str]) -> dict[str, EngineJob]:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return an_engine().find(keys)
        except Unreachable:
            assert time.monotonic() < end
            time.sleep(0.1)


def began(folder: Path, key: str) -> int:
    file = folder / f"{key}.began"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_nothing_begins_twice_and_what_was_placed_is_found(
    slurm_with_room: SlurmDaemons, tmp_path: Path
) -> None:
    seed = int(os.environ.get("SLURM_SEED", str(random.SystemRandom().randrange(10**6))))
    blows = Blows(slurm_with_room, tmp_path, random.Random(seed))
    for n in range(ROUNDS):
        keys = [f"cdr-blow-{n}-{i}-1" for i in range(A_ROUND)]
        killer = blows.kill_controller() if n % 2 else None
        outcomes = {key: blows.submit(key) for key in keys}
        if killer is not None:
            killer.join()
            slurm_with_room.start_controller()
        else:
            # Who knows no better asks again: the key is looked for first, and nothing is lost.
            outcomes |= {key: blows.submit(key) for key, outcome in outcomes.items() if outcome == "unknown"}
        end = time.monotonic() + PATIENCE_S
        found = told(keys)
        while any(job.state == "pending" for job in found.values()):
            assert time.monotonic() < end, found
            slurm_with_room.resume_node()
            found = told(keys)
        placed = {key for key, outcome in outcomes.items() if outcome == "placed"}
        blows.count["found"] += len(found)
        blows.count["forgotten by a killed controller"] += len(placed - found.keys())
        assert "refused" not in outcomes.values()
        assert killer is not None or placed <= found.keys()
        for key in keys:
            (tmp_path / f"{key}.end").touch()
        while any(job.state != "ended" for job in told(keys).values()):
            assert time.monotonic() < end, found
            time.sleep(0.05)
        twice = [key for key in keys if began(tmp_path, key) > 1]
        assert twice == [], f"SLURM_SEED={seed}"
    if report := os.environ.get("SLURM_REPORT"):
        Path(report).write_text(f"SLURM_SEED={seed} {dict(blows.count)}\n")

"""Which pilots were asked for, and which single jobs, in Redis: one JSON each in the hashes
`conductor:pilots`, `conductor:engine_jobs` and `conductor:engines`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts
from conductor.model.job_submission import JobSubmission
from conductor.model.pilot import EngineState, Pilot, PilotStates

_to_json = msgspec.json.Encoder().encode
_pilot = msgspec.json.Decoder(Pilot)
_job = msgspec.json.Decoder(JobSubmission)
_engine = msgspec.json.Decoder(EngineState)


class RedisPilots:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis, self._keys = scripts.client, scripts.keys

    def states(self) -> PilotStates:
        with translating(self._redis):
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hgetall(self._keys.engines)
            pipeline.hgetall(self._keys.pilots)
            pipeline.hgetall(self._keys.engine_jobs)
            engines, pilots, jobs = cast(list[dict[bytes, bytes]], pipeline.execute())
        return PilotStates(
            engines={name.decode(): _engine.decode(text) for name, text in sorted(engines.items())},
            pilots={key.decode(): _pilot.decode(text) for key, text in sorted(pilots.items())},
            submissions={key.decode(): _job.decode(text) for key, text in sorted(jobs.items())},
        )

    def write(
        self, epoch: int, engine: EngineState, pilots: Sequence[Pilot] = (), forgotten: Sequence[str] = ()
    ) -> None:
        self._write("pilots", epoch, engine, pilots, forgotten)

    def write_jobs(
        self,
        epoch: int,
        engine: EngineState,
        jobs: Sequence[JobSubmission] = (),
        forgotten: Sequence[str] = (),
    ) -> None:
        self._write("engine_jobs", epoch, engine, jobs, forgotten)

    def _write(
        self,
        what: str,
        epoch: int,
        engine: EngineState,
        written: Sequence[Pilot | JobSubmission],
        forgotten: Sequence[str],
    ) -> None:
        rows = [word for one in written for word in (one.key, _to_json(one))]
        self._scripts.run(
            "write_pilots", epoch, what, engine.name, _to_json(engine), len(forgotten), *forgotten, *rows
        )

    def claim(self, key: str, owner: str) -> str:
        answer: bytes = self._scripts.run("claim_pilot", key, owner)
        return answer.decode()

"""Engine `hyperqueue`: by the program `hq` of this host (HyperQueue 0.19 or later), whose server it finds as
people's calls do.

A submission's key is the name of its job. HyperQueue takes a name twice, so a second job of one name, made
where a list had left the first one out, is cancelled at the next look.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection
from typing import Any

from conductor.adapters.engines.hyperqueue_rows import count_of, job_of, request, state_of
from conductor.base.errors import Unreachable
from conductor.base.settings.engine_settings import EngineSettings
from conductor.model.engine import (
    EngineCapacity,
    EngineChanges,
    EngineJob,
    Submission,
    SubmitAnswer,
)


class HyperQueueEngine:
    def __init__(self, settings: EngineSettings, prefix: str, patience_s: float = 10.0) -> None:
        """`prefix`: what all keys of this project begin with. `patience_s`: for one call of `hq`."""
        self._prefix, self._patience_s = prefix, patience_s
        #: Id → (how it stood, what was told of it then).
        self._known: dict[int, tuple[str, EngineJob]] = {}

    def submit(self, key: str, submission: Submission) -> SubmitAnswer:
        try:
            if (known := self.find([key]).get(key)) is not None:
                return SubmitAnswer(outcome="placed", id=known.id)
            if words := self.feasible(submission):
                return SubmitAnswer(outcome="refused", words=words)
            answer = self._ask("submit", *request(key, submission))
        except Unreachable as e:
            return SubmitAnswer(outcome="unknown", words=str(e))
        return SubmitAnswer(outcome="placed", id=str(answer["id"]))

    def find(self, keys: Collection[str]) -> dict[str, EngineJob]:
        jobs = self.watch().jobs if keys else {}
        return {key: jobs[key] for key in keys if key in jobs}

    def watch(self, cursor: str = "") -> EngineChanges:
        """Each time all that its server remembers."""
        rows = sorted(self._ask("job", "list", "--all"), key=lambda row: row["id"])
        waiting = [row["id"] for row in rows if state_of(row) == "waiting"]
        mine = [row for row in rows if row["name"].startswith(self._prefix)]
        self._learn(mine)
        jobs: dict[str, EngineJob] = {}
        for row in mine:
            id, key, state = row["id"], row["name"], state_of(row)
            if key in jobs:
                if state in ("waiting", "running"):
                    self._run("job", "cancel", str(id))
            elif state == "waiting":
                place = waiting.index(id) + 1
                jobs[key] = EngineJob(state="pending", id=str(id), reason="no room yet", position=place)
            else:
                jobs[key] = self._known[id][1]
        return EngineChanges(cursor=cursor, jobs=jobs)

    def cancel(self, key: str) -> bool:
        job = self.find([key]).get(key)
        if job is None or job.state not in ("pending", "running"):
            return False
        self._run("job", "cancel", job.id)
        return True

    def capacity(self) -> EngineCapacity:
        rows = self._ask("job", "list", "--all")
        cpus = sum(count_of(worker, "cpus") for worker in self._ask("worker", "list"))
        return EngineCapacity(cpus=cpus, pending=sum(state_of(row) == "waiting" for row in rows))

    def feasible(self, submission: Submission) -> str:
        """By the workers that are connected; without any it may still ask another scheduler for some."""
        wanted, workers = submission.resources, self._ask("worker", "list")
        for amount, name in ((wanted.cpus, "cpus"), (wanted.devices, "gpus/nvidia")):
            most = max((count_of(worker, name) for worker in workers), default=amount)
            if amount > most:
                return f"it asks for {amount} {name}, and no worker has more than {most}"
        return ""

    # ── what its server is asked ──────────────────────────────────────────────────────────────────────────

    def _learn(self, rows: list[dict[str, Any]]) -> None:
        """More of those that begun or ended since; one question for all of them."""
        new = {row["id"]: state_of(row) for row in rows if state_of(row) != "waiting"}
        new = {id: state for id, state in new.items() if self._known.get(id, ("", None))[0] != state}
        if new:
            hosts = {one["id"]: one["configuration"]["hostname"] for one in self._ask("worker", "list")}
            for told in self._ask("job", "info", ",".join(map(str, new))):
                id = told["info"]["id"]
                self._known[id] = (state_of(told["info"]), job_of(told, hosts))

    def _ask(self, *arguments: str) -> Any:
        """Raises `Unreachable` where nobody answered the question, or said no to it."""
        try:
            return json.loads(self._run(*arguments))
        except ValueError as e:
            raise Unreachable(f"hq {arguments[0]} answered no JSON") from e

    def _run(self, *arguments: str) -> bytes:
        try:
            done = subprocess.run(
                ["hq", "--output-mode=json", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                timeout=self._patience_s,
            )  # fmt: skip
        except OSError as e:
            raise Unreachable(f"hq cannot be started here: {e.strerror}") from e
        except subprocess.TimeoutExpired as e:
            raise Unreachable(f"hq gave no answer within {self._patience_s:g} s") from e
        if done.returncode:
            said = (done.stdout or done.stderr).decode(errors="replace").strip()
            raise Unreachable(f"hq {arguments[0]}: {said[-300:]}")
        return done.stdout

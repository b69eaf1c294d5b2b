"""Engine `slurm`: by `sbatch`, `squeue`, `scancel` and `sinfo` of this host
(Slurm 22.05 or later; an accounting database is not needed).

A submission's key is its name in Slurm. Nothing is found by its id: a controller that was killed forgets
what it took in the last seconds, and gives the ids again. `--dependency=singleton` has Slurm itself see to it
that no two of one name run at once, whatever the list said that was looked through before.
"""

from __future__ import annotations

import math
import subprocess
import time
from collections import defaultdict
from collections.abc import Collection

from msgspec.structs import replace

from conductor.adapters.engines import slurm_rows as rows
from conductor.adapters.engines.slurm_programs import SlurmPrograms, words_of
from conductor.adapters.engines.slurm_request import request, script
from conductor.base.errors import Unreachable
from conductor.base.settings.engine_settings import EngineSettings
from conductor.model.engine import EngineCapacity, EngineChanges, EngineJob, Submission, SubmitAnswer

#: As long as the same ones wait, their places are asked for no sooner: that list has everybody's jobs.
_POSITIONS_S = 30.0
#: «Running» comes before the first process of a job does.
_STARTING_S = 10.0


class SlurmEngine:
    def __init__(self, settings: EngineSettings, prefix: str, patience_s: float = 10.0) -> None:
        """`prefix`: what all keys of this project begin with. `patience_s`: for one program of Slurm's."""
        self._settings, self._prefix = settings, prefix
        self._programs = SlurmPrograms(patience_s)
        self._where = [f"--partition={settings.partition}"] if settings.partition else []
        #: Keys whose process was told to end.
        self._told = set[str]()
        #: Ids of ours that waited at the last look, and the place of each that waits, among all.
        self._waiting = set[str]()
        self._positions: dict[str, int] = {}
        self._positions_until = -math.inf

    def submit(self, key: str, submission: Submission) -> SubmitAnswer:
        try:
            if (known := self.find([key]).get(key)) is not None:
                return SubmitAnswer(outcome="placed", id=known.id)
            if words := self.feasible(submission):
                return SubmitAnswer(outcome="refused", words=words)
            names = (f"--job-name={key}", f"--comment={key}", "--parsable")
            done = self._sbatch(submission, *names)
        except Unreachable as e:
            return SubmitAnswer(outcome="unknown", words=str(e))
        if done.returncode:
            return SubmitAnswer(outcome="refused", words=words_of(done))
        id = done.stdout.decode("latin-1").partition(";")[0].strip()
        if not id.isdigit():
            return SubmitAnswer(outcome="unknown", words=f"sbatch answered {id[:80]!r} for an id")
        return SubmitAnswer(outcome="placed", id=id)

    def find(self, keys: Collection[str]) -> dict[str, EngineJob]:
        jobs = self.watch().jobs if keys else {}
        return {key: jobs[key] for key in keys if key in jobs}

    def watch(self, cursor: str = "") -> EngineChanges:
        """Each time all that Slurm tells of; it tells of what ended for some minutes (`MinJobAge`)."""
        told = self._programs.ask("squeue", "--me", "--states=all", "--noheader", rows.JOB_FORMAT)
        by_key = defaultdict[str, list[EngineJob]](list)
        for key, job in rows.queue_rows(told, self._prefix):
            by_key[key].append(job)
        firsts = {key: self._first(key, jobs) for key, jobs in by_key.items()}
        waiting = {job.id for job in firsts.values() if job.state == "pending"}
        if waiting and (waiting != self._waiting or time.monotonic() >= self._positions_until):
            self._positions = {id: n for n, id in enumerate(self._queue(), start=1)}
            self._positions_until = time.monotonic() + _POSITIONS_S
        self._waiting = waiting
        places = {id: self._positions.get(id) for id in waiting}
        placed = {key: replace(job, position=places.get(job.id)) for key, job in firsts.items()}
        return EngineChanges(cursor=cursor, jobs=placed)

    def cancel(self, key: str) -> bool:
        job = self.find([key]).get(key)
        if job is None or job.state not in ("pending", "running"):
            return False
        # Told to all of its processes at once it would end a pilot's bodies, which are to finish: its own
        # is told first. What has hardly begun may miss that; what does not heed it is told as Slurm does it.
        is_new = time.time() - (job.started_at or math.inf) < _STARTING_S
        is_gentle = job.state == "running" and not is_new and key not in self._told
        self._told.add(key)
        self._programs.ask(
            "scancel", "--me", *(["--batch", "--signal=TERM"] if is_gentle else []), f"--name={key}"
        )
        return True

    def capacity(self) -> EngineCapacity:
        told = self._programs.ask("sinfo", "--Node", "--noheader", *self._where, rows.NODE_FORMAT)
        return rows.capacity_of(told, pending=len(self._queue()))

    def feasible(self, submission: Submission) -> str:
        # Slurm takes what is longer than its partition allows, and lets it wait for ever.
        longest_s = rows.limit_s(
            self._programs.ask("sinfo", "--noheader", rows.LIMIT_FORMAT), self._settings.partition
        )
        if submission.time_limit_s > longest_s:
            return f"it asks for {submission.time_limit_s:.0f} s, and the partition gives {longest_s:.0f} s"
        done = self._sbatch(submission, "--test-only")
        if not done.returncode:
            return ""
        states = self._programs.ask("sinfo", "--noheader", *self._where, rows.STATE_FORMAT)
        if "unknown" in states:
            # It says so of everything until the nodes have told of themselves.
            raise Unreachable("Slurm's controller has just begun and does not know its nodes yet")
        # It looks at nodes that could run something now: of one that is drained it says that there is none.
        return words_of(done) if rows.are_all_usable(states) else ""

    # ── what Slurm is asked ───────────────────────────────────────────────────────────────────────────────

    def _sbatch(self, submission: Submission, *options: str) -> subprocess.CompletedProcess[bytes]:
        wanted = request(submission, self._settings.account)
        return self._programs.run("sbatch", *options, *self._where, *wanted, script=script(submission))

    def _first(self, key: str, jobs: list[EngineJob]) -> EngineJob:
        """A list that left out what is there may have had us submit twice: who waits for the first goes."""
        order = ("running", "lost", "ended", "pending")
        first, *others = sorted(jobs, key=lambda job: (order.index(job.state), int(job.id)))
        for other in others:
            if other.state == "pending":
                self._programs.ask("scancel", "--me", f"--name={key}", "--state=PENDING", other.id)
        return first

    def _queue(self) -> list[str]:
        """The ids of all that wait, of everybody, by priority."""
        order = ("--states=PENDING", "--sort=-p,i", "--noheader", "--format=%i")
        return self._programs.ask("squeue", *self._where, *order).split()

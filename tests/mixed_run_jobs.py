"""The jobs of the mixed run (`mixed_run`) on their way into the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from builders import a_spec
from mixed_run_hosts import TASKS

from conductor.model.chains import FileJob
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry, EntryFiles
from conductor.model.spec import Estimate, JobSpec, Output, to_line
from conductor.ports import Ledger


class MixedJobs:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.specs: dict[str, JobSpec] = {}
        self.made = Counter[str]()

    def put(
        self, backlog: str, task: str, count: int = 1, *, files: EntryFiles | None = None, **spec: Any
    ) -> list[str]:
        found: list[str] = []
        for _ in range(count):
            self.made[task] += 1
            args = {"n": self.made[task], **spec.get("args", {})}
            made = a_spec(0, task=task, **{**spec, "args": args})
            self.specs[made.id] = made
            job_class = class_of(made, TASKS[task], backlog)
            entry = Entry(
                job_id=made.id,
                line=to_line(made),
                job_class=job_class,
                after=made.after,
                after_ended=made.after_ended,
            )
            self.ledger.intake.put(backlog, [entry])
            found.append(made.id)
        return found

    def chain(self, backlog: str, sizes: Sequence[int], fan: int = 1, stays: int = 0) -> None:
        """Each job reads what the one before it wrote, `fan` of them what the first did."""
        self.made["chains"] += 1
        mark = self.made["chains"]
        paths = [f"scratch:c{mark}/{n}" for n in range(len(sizes))]
        ids: list[str] = []
        specs: list[JobSpec] = []
        for n, size in enumerate(sizes):
            reads = () if n == 0 else (paths[0] if n <= fan else paths[n - 1],)
            after = () if n == 0 else (ids[0] if n <= fan else ids[n - 1],)
            task = (
                "media.render" if n == 0 and mark % 2 else "media.mux" if n == len(sizes) - 1 else "media.cut"
            )
            made = a_spec(
                n,
                task=task,
                args={"chain": mark, "n": n, "preset": "fine"},
                reads=reads,
                after=after,
                writes=(Output(path=paths[n], bytes=size),),
                estimate=Estimate(duration_s=8.0 + n),
            )
            ids.append(made.id)
            specs.append(made)
        readers = {path: [s.id for s in specs if path in s.reads] for path in paths}
        entries: list[Entry] = []
        for n, made in enumerate(specs):
            self.specs[made.id] = made
            job = FileJob(
                job_id=made.id,
                writes={paths[n]: sizes[n]},
                reads=made.reads,
                after=made.after,
                tail_s=10.0 * (len(sizes) - n),
                stays=stays if n == len(sizes) - 1 else 0,
            )
            told = EntryFiles(job=job, readers={paths[n]: readers[paths[n]]} if readers[paths[n]] else {})
            entries.append(
                Entry(
                    job_id=made.id,
                    line=to_line(made),
                    job_class=class_of(made, TASKS[made.task], backlog),
                    after=made.after,
                    files=told,
                )
            )
        self.ledger.intake.put(backlog, entries)

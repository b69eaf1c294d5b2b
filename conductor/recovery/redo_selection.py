"""Done work that is wanted again though nothing of it is missing: its task's code changed, or the operator
says so.

First it is chosen and counted, then asked about, then made again the way `redo_missing` does it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from conductor.adapters.files.receipt_log import accepted, read_receipts
from conductor.base.errors import ConductorError
from conductor.base.files import paths
from conductor.base.files.layout import Layout
from conductor.base.text import many
from conductor.core.chains.chains import root_of
from conductor.dispatch.rerun_writers import in_order, remake
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec, from_line
from conductor.model.subject import SHORT_ID, subject_of
from conductor.ports import Ledger
from conductor.record import manifest as manifests
from conductor.record.journal import Journal
from conductor.record.receipts import JobRecord
from conductor.recovery.redo import Again, Redone, check_roots, dependants

#: Said of a job in its taken back receipt.
WORDS = "it is made again"


class RedoWish(Struct, frozen=True, kw_only=True):
    """Which jobs. All that is said must hold; `ids` alone means just these."""

    ids: frozenset[str] = frozenset()
    task: str | None = None
    is_older: bool = False
    #: Done by the ledger, and no receipt on disk proves it.
    is_unproved: bool = False
    has_dependants: bool = False


class RedoChoice(Struct, frozen=True, kw_only=True):
    """What is to be made again, in an order in which each stands behind those it comes after."""

    jobs: tuple[str, ...]
    #: Task → how many of it.
    tasks: Mapping[str, int]
    #: Done, and came after one of them: they stay as they are.
    dependants: tuple[str, ...] = ()
    #: Left out: somebody who comes after them runs just now, and may be reading what they made.
    busy: tuple[str, ...] = ()
    #: Job → its line.
    specs: Mapping[str, JobSpec] = {}

    def to_json(self) -> dict[str, object]:
        return {"jobs": self.jobs, "tasks": self.tasks, "dependants": self.dependants, "busy": self.busy}


def choose(ledger: Ledger, layout: Layout, wish: RedoWish, codes: Mapping[str, str]) -> RedoChoice:
    """`codes`: task → the version of its code now. Raises `Unreachable`, `ManifestError`."""
    done = DoneJobs(ledger)
    files = sources_of(layout)
    found = {
        job_id: done.spec(job_id)
        for job_id in candidates(ledger, layout, wish, codes)
        if done.is_done(job_id)
    }
    behind = after_these(files, found)
    if wish.has_dependants:
        while more := {job_id for job_id in behind if done.is_done(job_id)} - found.keys():
            found |= {job_id: done.spec(job_id) for job_id in sorted(more)}
            behind = after_these(files, found)
    running = {other for other in behind if done.state(other) == "running"}
    busy = {job_id for other in running for job_id in waits_of(done.spec(other)) if job_id in found}
    chosen = {job_id: spec for job_id, spec in found.items() if job_id not in busy}
    order = in_order({job_id: [o for o in waits_of(spec) if o in chosen] for job_id, spec in chosen.items()})
    rest = sorted(job_id for job_id in behind if job_id not in chosen and done.is_done(job_id))
    return RedoChoice(
        jobs=tuple(order),
        tasks=dict(Counter(chosen[job_id].task for job_id in order)),
        dependants=tuple(rest),
        busy=tuple(sorted(busy)),
        specs=chosen,
    )


def redo(ledger: Ledger, layout: Layout, choice: RedoChoice) -> Redone:
    """Raises `ConfigError` where a root is not mounted, `ConductorError` where a job reads what nobody can
    make again; then nothing was touched. Killed, it is simply called again."""
    specs = choice.specs
    check_roots(layout, (paths.split(output.path)[0] for spec in specs.values() for output in spec.writes))
    files, roots = sources_of(layout), layout.ephemeral_roots()
    readers: dict[str, list[str]] = {}
    for spec in specs.values():
        for path in spec.reads:
            if root_of(path) in roots:
                readers.setdefault(path, []).append(spec.id)
    remade = remake(ledger, layout.receipts_dir, roots, readers, files, frozenset())
    if remade.lost:
        path, (reader, *_) = sorted(remade.lost.items())[0]
        raise ConductorError(
            f"{reader} reads {path}, which was removed, and the job that made it is in no manifest that "
            "was dispatched "
            "from here: nothing was sent back"
        )
    after = dependants((spec for file in files for spec in manifests.read(file)), specs)
    records = records_of(layout.receipts_dir, specs)
    with closing(Again(ledger, layout)) as again:
        for job_id in choice.jobs:
            if job_id in remade.ids:
                continue  # sent back just now, for the sake of a file of its own
            spec = specs[job_id]
            behind = remade.behind.get(job_id, frozenset())
            own = tuple(o for o in spec.after if o in specs or o in behind)
            ended = tuple(o for o in spec.after_ended if o in specs or o in behind)
            unsaid = tuple(sorted(behind.difference(spec.after, spec.after_ended)))
            again.make(spec, records.get(job_id, JobRecord()), after[job_id], (own + unsaid, ended), WORDS)
    return again.redone()


def records_of(receipts_dir: Path, ids: Container[str]) -> dict[str, JobRecord]:
    """In one pass, however many."""
    found: dict[str, JobRecord] = {}
    for receipt in read_receipts(receipts_dir):
        if receipt.job_id in ids:
            found.setdefault(receipt.job_id, JobRecord()).add(receipt)
    return found


class DoneJobs:
    """The ledger, asked once for each job."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[str, tuple[str, bytes]] = {}

    def _look(self, job_id: str) -> tuple[str, bytes]:
        if job_id not in self._known:
            view = self._ledger.jobs.job(job_id)
            self._known[job_id] = ("unknown", b"") if view is None else (view.state, view.line)
        return self._known[job_id]

    def state(self, job_id: str) -> str:
        return self._look(job_id)[0]

    def is_done(self, job_id: str) -> bool:
        return self.state(job_id) == "done"

    def spec(self, job_id: str) -> JobSpec:
        return from_line(self._look(job_id)[1])


def candidates(ledger: Ledger, layout: Layout, wish: RedoWish, codes: Mapping[str, str]) -> Iterable[str]:
    if wish.ids:
        return sorted(wish.ids)
    if wish.is_unproved:
        # The ledger first: a receipt is on disk before its job is done.
        done = set(ledger.jobs.ids("done"))
        return sorted(done - accepted_ids(layout.receipts_dir, lambda receipt: receipt.job_id in done))
    return sorted(accepted_ids(layout.receipts_dir, lambda receipt: is_wished(receipt, wish, codes)))


def is_wished(receipt: Receipt, wish: RedoWish, codes: Mapping[str, str]) -> bool:
    if wish.task is not None and receipt.task != wish.task:
        return False
    # Of a task that is not here any more nothing newer is known.
    return not wish.is_older or receipt.code_version != codes.get(receipt.task, receipt.code_version)


def accepted_ids(receipts_dir: Path, is_meant: Callable[[Receipt], bool]) -> Set[str]:
    """Jobs with a receipt that stands and is meant."""
    return accepted(theirs(receipts_dir, is_meant)).keys()


def theirs(receipts_dir: Path, is_meant: Callable[[Receipt], bool]) -> Iterator[Receipt]:
    return (r for r in read_receipts(receipts_dir) if r.takes_back or (r.outcome == "ok" and is_meant(r)))


def sources_of(layout: Layout) -> list[Path]:
    """All that was dispatched from here, the line that holds last."""
    sources = sorted(Journal(layout.receipts_dir).ledger_match(None).sources, key=lambda source: source.order)
    return [source.file for source in sources if source.file.is_file()]


def after_these(files: Sequence[Path], ids: Mapping[str, object]) -> dict[str, None]:
    """Jobs that come after one of `ids`, by their lines."""
    found: dict[str, None] = {}
    for file in files if ids else ():
        for spec in manifests.read(file):
            if any(other in ids for other in waits_of(spec)):
                found[spec.id] = None
    return found


def waits_of(spec: JobSpec) -> tuple[str, ...]:
    return spec.after + spec.after_ended


def sentences(choice: RedoChoice) -> Iterator[str]:
    """What is chosen, for a person."""
    tasks = ", ".join(f"{count} {task}" for task, count in sorted(choice.tasks.items()))
    yield f"{many(len(choice.jobs), 'job')} done{f' ({tasks})' if tasks else ''}"
    for job_id in choice.jobs[:10]:
        yield f"  {subject_of(choice.specs[job_id])} ({job_id[:SHORT_ID]})"
    if len(choice.jobs) > 10:
        yield f"  … and {len(choice.jobs) - 10} more: --json lists all"
    if choice.dependants:
        stay = many(len(choice.dependants), "done job")
        yield f"{stay} came after them and stay as they are: --with-dependents takes them along"
    if choice.busy:
        yield (
            f"{many(len(choice.busy), 'job')} left out, for what comes after them runs just now: call "
            "it again later"
        )

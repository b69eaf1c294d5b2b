"""Manifest → backlog. Pass 1 checks every line and stops if one is bad; pass 2 streams batches in.
Idempotent by id.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path

import msgspec

from conductor.base.errors import ManifestError, Unreachable
from conductor.base.logs.events import tell_event
from conductor.base.text import many
from conductor.dispatch.dead_ends import dead_ends
from conductor.dispatch.dispatch_report import Dispatched, added
from conductor.dispatch.feasibility import never
from conductor.dispatch.file_chains import FileRules, FileWork
from conductor.dispatch.file_homes import NOWHERE, FileHomes, homes_of
from conductor.dispatch.past_attempts import PastAttempts, past_of
from conductor.dispatch.rerun_writers import Remade, remake, unsaid
from conductor.model.job_class import Classifier
from conductor.model.ledger_entries import Entry, PutResult, Revised
from conductor.model.spec import TaskDecl
from conductor.ports import Ledger
from conductor.record.dispatched_manifests import content_of
from conductor.record.journal import Journal, new_mark
from conductor.record.kept_manifests import keep
from conductor.record.ledger_identity import refuse_lost
from conductor.record.manifest import (
    LineRule,
    ManifestSummary,
    check,
    inherited_priorities,
    lifted,
    lines,
    numbered,
    opened,
    problems_found,
    read,
)

#: Of plain lines, of 5 µs each, in one call: renewals and ticks wait behind it on a server that others slow
#: down too.
BATCH = 250
DEFAULT_FILES = FileRules()
#: A dispatch of more seconds is noted at its end, too. Well below what `recovery/reapply_journal.py` looks
#: back.
LONG_S = 60.0

#: What one is.
FORM = "that has a job as one JSON object on each line, as `conductor plan` writes them"

#: (lines done, lines in all), called in the second pass after each batch.
OnProgress = Callable[[int, int], None]
#: (lines), called in the first pass after each thousand.
OnChecked = Callable[[int], None]


def default_backlog(manifest: Path) -> str:
    """The workflow of the first line. Raises `ManifestError`."""
    try:
        first = next(read(manifest), None)
    except ManifestError as e:
        if not e.problems:
            raise
        if _begins_as_one(manifest):
            return "default"  # The check of all lines says all that is wrong with them.
        raise ManifestError(f"{manifest} is no manifest: {FORM}", e.problems) from None
    return first.workflow.replace(".", "_") if first else "default"


def _begins_as_one(manifest: Path) -> bool:
    with opened(manifest) as file:
        line = next((line for _, line in lines(file)), b"")
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (ValueError, RecursionError):
        return False


def dispatch(
    ledger: Ledger,
    manifest: Path,
    backlog: str,
    catalogue: Mapping[str, TaskDecl],
    receipts_dir: Path,
    on_progress: OnProgress | None = None,
    *,
    on_checked: OnChecked | None = None,
    is_dry_run: bool = False,
    is_moving: bool = False,
    vram_headroom_mib: int = 0,
    is_gpu_on_cpu: bool = False,
    files: FileRules = DEFAULT_FILES,
    rules: Sequence[LineRule] = (),
) -> Dispatched:
    """Put the jobs of a manifest into a backlog. Raises `ManifestError` with everything that is wrong, and
    then nothing of it is dispatched; `ConfigError` where Redis was emptied since; `Unreachable`, also where
    it was replaced meanwhile. Broken off, it is simply called again.

    `is_moving`: jobs that wait in another backlog come into this one.
    `vram_headroom_mib` is kept free on devices; `is_gpu_on_cpu`: without a device the gpu lane runs on the
    CPU. `files`: where files go when they were read, and what is kept free on disks. `rules`: what this
    project asks of lines beside the rules of every manifest.
    """
    refuse_lost(ledger, receipts_dir)
    history = ledger.identity.history()
    before = _stamp(manifest)
    summary = check(manifest, catalogue, on_checked, rules=rules)
    work = FileWork(summary, catalogue, files.ephemeral_roots, receipts_dir)
    past = past_of(receipts_dir, summary.ids.keys() | summary.outside.keys(), work.jobs.keys())
    _refuse_unknown_waits(ledger, summary, past)
    classify = Classifier(catalogue, backlog)
    has_nodes = _refuse_infeasible(ledger, summary, classify, vram_headroom_mib, work, files.headroom)
    put = _counted(ledger) if is_dry_run else partial(ledger.intake.put, backlog)
    revise = partial(ledger.intake.revise, backlog, is_moving=is_moving, is_trial=is_dry_run)
    journal = Journal(receipts_dir)
    # Of a job in several, the line of the last holds: this one's.
    known_here = (*(source.file for source in journal.ledger_match(None).sources), manifest)
    asked, own = work.read_of_others(past.accepted, past.attempts), summary.ids.keys()
    remade = remake(
        ledger, receipts_dir, files.ephemeral_roots, asked, known_here, own, is_dry_run=is_dry_run
    )
    _refuse_lost_files(summary, work, remade)
    past = past.without(remade.ids)
    homes = homes_of(ledger, receipts_dir, asked)
    sha256 = ""
    note, is_noted, began_at = (
        partial(journal.dispatched, manifest, backlog, summary.jobs),
        True,
        time.monotonic(),
    )
    if not is_dry_run:
        # Before the first job: what was dispatched must be known to a rebuild, whenever this is cut off.
        sha256 = keep(receipts_dir, manifest)
        _refuse_changed(manifest, before)
        mark = ledger.identity.generation(new_mark()) or ""
        note = partial(note, mark, kept_as=sha256)
        is_noted = note(is_move=is_moving)
    new = known = done = seen = 0
    parts: list[Revised] = []
    inherited = inherited_priorities(manifest) if summary.has_priorities else {}
    for batch in batches(entries(manifest, classify, past, work, remade.behind, inherited, homes)):
        _refuse_changed(manifest, before)
        # Two calls, so that each says how many of its kind are new.
        ended = put([entry for entry in batch if entry.is_done])
        going = put([entry for entry in batch if not entry.is_done])
        new, known = new + ended.new + going.new, known + ended.known + going.known
        if going.known:
            parts.append(revise([entry for entry in batch if not entry.is_done]))
        done, seen = done + ended.new, seen + len(batch)
        if on_progress:
            on_progress(seen, summary.jobs)
    warnings = () if has_nodes or is_gpu_on_cpu else tuple(unchecked(classify))
    for said in (homes.warning(), remade.sentence(backlog, is_dry_run)):
        warnings = (said, *warnings) if said else warnings
    revised = added(parts)
    if not is_dry_run:
        is_late = not is_noted or time.monotonic() - began_at > LONG_S
        if is_late and (new or revised.changed):
            # An earlier call was cut off, or this one was long: what a Redis forgot is found by the time of
            # its note.
            note(is_news=True)
        if not ledger.intake.complete(
            history, content_of(sha256, backlog), journal.number_of(sha256, backlog)
        ):
            # The client sends again what was lost on the way, to whoever answers: that one may not know the
            # rest.
            raise Unreachable(
                "Redis was started again or replaced while this was dispatched, and may have forgotten a "
                "part of it: "
                "dispatch it again; what is known stays as it is"
            )
        # Sent back by the correction of their lines: what they failed of before is settled.
        journal.operator("retried", revised.risen)
    if new and not is_dry_run:
        tell_event(ledger.events.append, "job.dispatched", "Dispatched: {} of {file} into backlog:{backlog}",
                   many(new, "job"), jobs=new, file=manifest.name, backlog=backlog)  # fmt: skip
    return Dispatched(
        new=new,
        known=known,
        done=done,
        again=len(remade.ids),
        revised=revised,
        ends=dead_ends(ledger, summary, revised.risen, is_trial=is_dry_run),
        warnings=warnings,
    )


def entries(
    manifest: Path,
    classify: Classifier,
    past: PastAttempts,
    work: FileWork,
    behind: Mapping[str, AbstractSet[str]],
    inherited: Mapping[str, int],
    homes: FileHomes = NOWHERE,
) -> Iterator[Entry]:
    """Each job on its way in. What an accepted receipt proves is not waited for: its line may be in no
    backlog.

    `behind`: job → writers that run again for it; `inherited`: job → priority that is handed down to it."""
    is_plain = not past.attempts and not behind and not work.jobs and not inherited
    for _, line, spec in numbered(manifest):
        if is_plain and not spec.after and not spec.after_ended:
            # Most of a manifest of a million lines.
            yield Entry(job_id=spec.id, line=line, job_class=classify(spec))
            continue
        yield Entry(
            job_id=spec.id,
            line=line,
            job_class=classify(homes.classed(lifted(spec, inherited))),
            after=tuple(
                other
                for other in spec.after + unsaid(spec, behind.get(spec.id, ()))
                if other not in past.accepted
            ),
            after_ended=tuple(other for other in spec.after_ended if other not in past.accepted),
            is_done=spec.id in past.accepted,
            # Redis was emptied: the next attempt must not carry the number of one that left a receipt.
            attempts=past.accepted.get(spec.id, past.attempts.get(spec.id, 0)),
            files=work.of(spec.id, past.receipts),
            own_priority=spec.priority if spec.id in inherited else None,
        )


def batches(items: Iterator[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    weight = 0
    for item in items:
        batch.append(item)
        weight += weight_of(item)
        if weight >= BATCH:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def weight_of(entry: Entry) -> int:
    """How many plain lines keep the server as long as this one, as measured."""
    weight = 1 + (len(entry.line) >> 12)
    if entry.after or entry.after_ended:
        weight += 1 + len(entry.after) + len(entry.after_ended)
    if entry.files:
        weight += 10 + sum(map(len, entry.files.readers.values()))
    return weight + 3 if entry.failures or entry.over else weight


def _refuse_unknown_waits(ledger: Ledger, summary: ManifestSummary, past: PastAttempts) -> None:
    """A job may wait for one of another manifest, if that one was dispatched before (or is proved done)."""
    asked = [other for other in summary.outside if other not in past.accepted]
    known = {
        job_id for at in range(0, len(asked), BATCH) for job_id in ledger.jobs.states(asked[at : at + BATCH])
    }
    unknown = {other: summary.outside[other] for other in asked if other not in known}
    if unknown:
        problems = tuple(
            f"{summary.path}:{line}: after: {other} is neither in this manifest nor known to the backlog"
            for other, line in unknown.items()
        )
        raise problems_found(summary.path, problems, len(problems), len(set(unknown.values())))


def _refuse_lost_files(summary: ManifestSummary, work: FileWork, remade: Remade) -> None:
    """A file that went when all its readers were done, and that nobody here can make again."""
    problems = tuple(
        f"{summary.path}:{work.line_of.get(readers[0], 0)}: reads: {path!r} was removed when all that "
        "read it were "
        "done, and the job that made it is in no manifest dispatched from here: dispatch that one first"
        for path, readers in sorted(remade.lost.items())
    )
    if problems:
        raise problems_found(summary.path, problems, len(problems), len(problems))


def _refuse_infeasible(
    ledger: Ledger,
    summary: ManifestSummary,
    classify: Classifier,
    headroom_mib: int,
    work: FileWork,
    disk_headroom: Mapping[str, int],
) -> bool:
    """Stop at what no live node can ever run. False where no node is live: then nobody can know."""
    reports = ledger.reports.live()
    if not reports:
        return False
    verdicts: dict[str, str | None] = {}
    problems: list[str] = []
    for number, _, spec in numbered(summary.path):
        job_class = classify(spec)
        if job_class.id not in verdicts:
            verdicts[job_class.id] = never(job_class, reports, headroom_mib, disk_headroom)
        if fault := verdicts[job_class.id]:
            problems.append(f"{summary.path}:{number}: needs: can never run here: {spec.task} {fault}")
    problems += [f"{summary.path}:{line}: {why}" for line, why in work.never(reports, disk_headroom)]
    if problems:
        raise problems_found(summary.path, tuple(problems), len(problems), len(problems))
    return True


def unchecked(classify: Classifier) -> Iterator[str]:
    """What could not be held against a node, said once for the most demanding class."""
    vram = max((c.needs.vram_mib for c in classify.classes), default=0)
    if vram:
        yield (
            f"no node is up yet, so whether a device has the {vram} MiB of VRAM that are asked for "
            "was not checked"
        )


def _counted(ledger: Ledger) -> Callable[[list[Entry]], PutResult]:
    """In the place of `put`: says what it would do."""

    def put(batch: list[Entry]) -> PutResult:
        known = len(ledger.jobs.states([entry.job_id for entry in batch]))
        return PutResult(new=len(batch) - known, known=known)

    return put


def _refuse_changed(manifest: Path, before: object) -> None:
    """What was kept, and what goes in, must be what was checked."""
    if _stamp(manifest) != before:
        raise ManifestError(f"{manifest} changed while it was being dispatched; dispatch it again")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None  # `check` says what is wrong with it
    return facts.st_ino, facts.st_size, facts.st_mtime_ns

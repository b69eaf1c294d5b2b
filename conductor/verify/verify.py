"""Manifest + receipts + outputs → what is done and what is not. Needs no Redis: that is the point of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path, PurePosixPath

from msgspec import Struct

from conductor.base.errors import BadInput
from conductor.base.files.layout import Layout
from conductor.base.files.paths import resolve, split
from conductor.core.failures.history import named, twofold
from conductor.model.identity import line_hash
from conductor.model.receipt import OutputFact, Receipt
from conductor.model.spec import JobSpec
from conductor.model.subject import file_of
from conductor.record import manifest as manifests
from conductor.record import removal_notes
from conductor.record.manifest_faults import EveryTask
from conductor.record.receipts import JobRecord, OnRead, Records
from conductor.verify.claims import NO_CLAIM, Claim, claims, same_faults
from conductor.verify.file_facts import NOT_THERE, Noted, nothing_noted
from conductor.verify.output_facts import OutputFacts, content_faults, output_facts
from conductor.verify.report import Kind, VerifyFinding, VerifyReport

#: Jobs whose outputs are looked at side by side.
WINDOW = 64

OnProgress = Callable[[int, int], None]


class JobFacts(Struct, frozen=True, kw_only=True):
    """What was seen of one job: its outputs by path, and files in its own folders that it does not
    declare.
    """

    outputs: Mapping[str, OutputFacts]
    unexpected: tuple[str, ...] = ()


NOTHING_THERE = JobFacts(outputs={})

#: Asked for each job with an accepted receipt; answers with complaints.
JobCheck = Callable[[JobSpec, Receipt, JobFacts], Iterable[str]]
#: Of a job without a receipt: why, as far as anybody knows.
WhyMissing = Callable[[JobSpec], str]
#: Asked once at the end.
WholeCheck = Callable[[], Iterable[VerifyFinding]]
#: Asked once at the very end: sentences on what was measured, which are no faults.
Measured = Callable[[], Iterable[str]]


class Checks(Struct, frozen=True, kw_only=True):
    """What a workflow knows about its own results, beyond what every job is held against."""

    jobs: tuple[JobCheck, ...] = ()
    whole: tuple[WholeCheck, ...] = ()
    measured: tuple[Measured, ...] = ()

    @staticmethod
    def joined(several: Sequence[Checks]) -> Checks:
        return Checks(
            jobs=tuple(c for s in several for c in s.jobs),
            whole=tuple(c for s in several for c in s.whole),
            measured=tuple(c for s in several for c in s.measured),
        )


def sound(manifest: Path, on_checked: Callable[[int], None] | None = None) -> manifests.ManifestSummary:
    """Hold a manifest against the rules that it was dispatched by, before anything of it is called done: a
    line that was edited under its id says nothing of the job that ran. Raises `ManifestError` with every
    fault."""
    return manifests.check(manifest, EveryTask(), on_checked, verb="verified")


def verify(
    manifest: Path,
    receipts_dir: Path,
    layout: Layout,
    checks: Checks | None = None,
    on_progress: OnProgress | None = None,
    *,
    on_read: OnRead | None = None,
    is_strict: bool = False,
    is_deep: bool = False,
    noted: Noted = nothing_noted,
    why_missing: WhyMissing = lambda spec: "",
    most: int | None = None,
) -> VerifyReport:
    """Hold every job against its receipts and its outputs, which are read whole and hashed unless they are
    `noted`. Media that no worker has counted before it was published, and with `is_deep` all media, is
    decoded too.

    `is_strict` also reports receipts of jobs that the manifest does not name. `why_missing`: what is known of
    a job without a receipt; empty: nothing. `most`: findings of a kind that are kept, the others are counted;
    None: all. Memory grows by the manifest's ids and what is found. Raises `ManifestError`.
    """
    records = Records.gather(manifest, receipts_dir, on_read, has_others=is_strict)
    gone = (
        removal_notes.gone(receipts_dir)
        if (roots := layout.ephemeral_roots())
        else frozenset[tuple[str, str, int]]()
    )
    review = _Review(
        records,
        checks or Checks(),
        frozenset(fact for fact in gone if split(fact[0])[0] in roots),
        why_missing,
        most,
    )
    done = 0
    with closing(records), ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for rows in _windows(manifests.numbered(manifest)):
            looks = [_look(pool, spec, records.of(spec.id), layout, is_deep, noted) for _, _, spec in rows]
            for (_, line, spec), (record, facts) in zip(rows, looks, strict=True):
                review.job(spec, record, facts if isinstance(facts, JobFacts) else facts.result())
                review.line(line, record)
                done += 1
            if on_progress:
                on_progress(done, len(records))
    return review.report(manifest, is_strict)


def _look(
    pool: ThreadPoolExecutor, spec: JobSpec, record: JobRecord, layout: Layout, is_deep: bool, noted: Noted
) -> tuple[JobRecord, JobFacts | Future[JobFacts]]:
    """A job with nothing on disk to look at, of which there may be a million, is not worth a thread's
    while.
    """
    if record.accepted is None or not (record.accepted.outputs or spec.writes):
        return record, NOTHING_THERE
    return record, pool.submit(_facts, spec, record, layout, is_deep, noted)


def _windows(rows: Iterator[tuple[int, bytes, JobSpec]]) -> Iterator[list[tuple[int, bytes, JobSpec]]]:
    while window := list(islice(rows, WINDOW)):
        yield window


# ── looking ───────────────────────────────────────────────────────────────────────────────────────────────


def _facts(spec: JobSpec, record: JobRecord, layout: Layout, is_deep: bool, noted: Noted) -> JobFacts:
    """All that has to be read from disk for one job; nothing where no receipt was accepted."""
    receipt = record.accepted
    if receipt is None:
        return JobFacts(outputs={})
    facts, said = {fact.path: fact for fact in receipt.outputs}, claims(spec, receipt.result)
    published = facts.keys() | {output.path for output in spec.writes}
    outputs = {
        path: output_facts(
            layout,
            path,
            facts.get(path),
            None if is_deep else receipt.media.get(path),
            said.get(path, NO_CLAIM),
            noted,
        )
        for path in sorted(published)
    }
    return JobFacts(outputs=outputs, unexpected=tuple(_unexpected(spec, published, layout)))


def _unexpected(spec: JobSpec, published: set[str], layout: Layout) -> Iterator[str]:
    """Files in a folder that carries the job's id, and so is the job's own, which it does not declare."""
    folders = {str(PurePosixPath(path).parent) for path in published if f"/{spec.id}/" in path}
    for folder in sorted(folders):
        try:
            present = sorted(entry.name for entry in os.scandir(resolve(layout, folder, for_writing=False)))
        except (OSError, BadInput):
            continue  # a missing folder shows as missing outputs
        for name in present:
            path = f"{folder}/{name}"
            if path not in published and not any(known.startswith(f"{path}/") for known in published):
                yield path


# ── judging ───────────────────────────────────────────────────────────────────────────────────────────────


def output_faults(
    fact: OutputFact, seen: OutputFacts, expect: Mapping[str, object], claim: Claim = NO_CLAIM
) -> Iterator[tuple[Kind, str]]:
    """What is wrong with an output, given what was published and what is there. `claim`: what its result
    says. Pure.
    """
    if seen.file.fault is not None:
        yield "altered", seen.file.fault
    elif seen.file.bytes != fact.bytes:
        yield "altered", f"has {seen.file.bytes} bytes, {fact.bytes} were published"
    elif seen.file.sha256 != fact.sha256:
        yield "altered", "its content changed after it was published"
    else:
        for fault in (*content_faults(seen, expect, claim), *same_faults(claim, fact.bytes, fact.sha256)):
            yield "wrong", fault


class _Review:
    """Goes through the jobs in the manifest's order and keeps only what is wrong."""

    def __init__(
        self,
        records: Records,
        checks: Checks,
        gone: Set[tuple[str, str, int]] = frozenset(),
        why_missing: WhyMissing = lambda spec: "",
        most: int | None = None,
    ) -> None:
        self.records = records
        self.most = most
        self.why_missing = why_missing
        self.checks = checks
        #: (path, job, attempt) of files that were removed when all their readers were done.
        self.gone = gone
        self.removed = 0
        self.findings: list[VerifyFinding] = []
        self.found: Counter[Kind] = Counter()
        self.kept: Counter[tuple[Kind, bool]] = Counter()
        #: Failed job → jobs that never ran for its sake.
        self.behind: Counter[str] = Counter()
        self.jobs = self.done = self.outputs = self.bytes = self.other_lines = self.counted_before = (
            self.read_back
        ) = 0
        #: Job without a receipt → the failed job it comes down to.
        self.blame: dict[str, str] = {}
        #: Jobs that wait for a person's verdict.
        self.shown: set[str] = set()
        #: Job → file name of the input it comes down to.
        self.subjects: dict[str, str] = {}

    def job(self, spec: JobSpec, record: JobRecord, facts: JobFacts) -> None:
        self.jobs += 1
        if subject := self._subject(spec):
            self.subjects[spec.id] = subject
        before = self.found.total()
        if record.accepted is None:
            self._not_done(spec, record)
            return
        self._doubles(spec, record)
        self._results(spec, record.accepted, facts)
        self.done += self.found.total() == before

    def line(self, line: bytes, record: JobRecord) -> None:
        """Was it made by this very line? Another one of the same id is said and is no fault: all that makes
        the product is in the id, and what the product must be (`expect`) was asked of it as the manifest says
        now."""
        if record.accepted is not None and record.accepted.line not in ("", line_hash(line)):
            self.other_lines += 1

    def _not_done(self, spec: JobSpec, record: JobRecord) -> None:
        because_of = next((self.blame[other] for other in spec.after if other in self.blame), "")
        self.blame[spec.id] = because_of or spec.id
        if record.shown is not None:
            self.shown.add(spec.id)
            self.add(spec, "review", "is made, and waits for a person's verdict: `conductor review`")
            return
        if record.failed is not None:
            tries = f" ({named(record.failed.attempt)})" if record.failed.attempt > 1 else ""
            self.add(spec, "failed", f"{record.failed.message}{tries}", cause=record.failed.cause)
        elif because_of:
            self.behind[because_of] += 1
            why = "waits for a verdict" if because_of in self.shown else "failed"
            self.add(spec, "missing", f"never ran, because {because_of} {why}", because_of=because_of)
        else:
            why = self.why_missing(spec) or "it has not run yet, or is still running"
            self.add(spec, "missing", f"has no receipt: {why}")

    def _doubles(self, spec: JobSpec, record: JobRecord) -> None:
        if len(record.valid) > 1:
            self.add(spec, "duplicate", twofold([ok.attempt for ok in record.valid]))
        for output in spec.writes:
            others = self.records.publishers(output.path) - {spec.id}
            if others:
                self.add(
                    spec, "duplicate", f"{output.path} was published by {min(others)} too", path=output.path
                )

    def _results(self, spec: JobSpec, receipt: Receipt, facts: JobFacts) -> None:
        declared = {output.path for output in spec.writes}
        published = {fact.path: fact for fact in receipt.outputs}
        said = claims(spec, receipt.result)
        for path in sorted(declared - published.keys()):
            self.add(spec, "altered", f"{path} is declared, and its receipt does not name it", path=path)
        for path, fact in published.items():
            seen = facts.outputs[path].file
            if seen.fault == NOT_THERE and (path, spec.id, receipt.attempt) in self.gone:
                self.removed += 1
                continue
            self.outputs += 1
            self.bytes += seen.bytes
            self.counted_before += facts.outputs[path].is_counted_before
            self.read_back += seen.is_noted
            for kind, fault in output_faults(
                fact, facts.outputs[path], spec.expect, said.get(path, NO_CLAIM)
            ):
                self.add(spec, kind, f"{path} {fault}", path=path)
        for path in (*sorted(published.keys() - declared), *facts.unexpected):
            self.add(
                spec, "unexpected", f"{path} lies among its outputs, and it does not declare it", path=path
            )
        for check in self.checks.jobs:
            for complaint in check(spec, receipt, facts):
                self.add(spec, "wrong", complaint)

    def add(self, spec: JobSpec, kind: Kind, message: str, **more: str | None) -> None:
        self.found[kind] += 1
        # Those behind a failed one by themselves: they must not crowd out what is wrong of itself.
        which = (kind, "because_of" in more)
        self.kept[which] += 1
        if self.most is not None and self.kept[which] > self.most:
            self.kept[which] -= 1
            return
        subject = self.subjects.get(spec.id, "") or file_of(spec)
        self.findings.append(
            VerifyFinding(kind=kind, message=message, job_id=spec.id, task=spec.task, subject=subject, **more)  # type: ignore[arg-type]
        )

    def _kept(self, kind: Kind) -> int:
        return self.kept[kind, False] + self.kept[kind, True]

    def _subject(self, spec: JobSpec) -> str:
        own = next((path for path in (*spec.inputs, *spec.reads) if path.startswith("/")), None)
        if own is not None:
            return PurePosixPath(own).name
        above = {self.subjects.get(other, "") for other in spec.after}
        return above.pop() if len(above) == 1 else ""

    def report(self, manifest: Path, is_strict: bool) -> VerifyReport:
        whole = [finding for check in self.checks.whole for finding in check()]
        others = [
            VerifyFinding(
                kind="unexpected", job_id=job_id, message="has a receipt, and the manifest does not name it"
            )
            for job_id in sorted(self.records.others)
        ]
        return VerifyReport(
            manifest=str(manifest),
            jobs=self.jobs,
            done=self.done,
            outputs=self.outputs,
            bytes=self.bytes,
            counted_before=self.counted_before,
            read_back=self.read_back,
            removed=self.removed,
            other_lines=self.other_lines,
            findings=(*self.findings, *whole, *(others if is_strict else ())),
            measured=tuple(sentence for measure in self.checks.measured for sentence in measure()),
            unlisted={kind: more for kind, n in self.found.items() if (more := n - self._kept(kind))},
            behind=dict(self.behind),
        )

"""The invariants of what lies on disk: receipts, manifests, outputs. No Redis is asked."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from conductor.adapters.files.receipt_log import read_receipts
from conductor.adapters.redis.scans.full_ledger import FullLedger
from conductor.base.errors import BadInput
from conductor.base.files.layout import Layout
from conductor.base.files.paths import resolve
from conductor.core.failures.history import named, twofold
from conductor.model.receipt import OutputFact, Receipt, number_of
from conductor.record import removal_notes
from conductor.record.dispatched_manifests import Source
from conductor.record.manifest import read
from conductor.recovery.audit_ledger import AuditFault
from conductor.recovery.redo import OPERATOR


class Proofs:
    """What all receipts come to, read in one pass: job → its valid ok receipts by body (ATTEMPT.TOKEN),
    each with what it published."""

    def __init__(self, receipts_dir: Path) -> None:
        self.broken: list[AuditFault] = []
        self.read = 0
        #: Job → bodies that asked for a person's verdict.
        self.asking: dict[str, set[str]] = {}
        self._oks: dict[str, dict[str, tuple[OutputFact, ...]]] = {}
        taken_back: set[tuple[str, str]] = set()
        #: Taken back because they are nowhere.
        lost: set[tuple[str, str]] = set()
        for receipt in read_receipts(receipts_dir, self._note_broken):
            self.read += 1
            if receipt.outcome == "ok":
                self._add(receipt)
            elif receipt.outcome == "review":
                self.asking.setdefault(receipt.job_id, set()).add(receipt.body)
            elif receipt.outcome == "superseded":
                taken_back.add((receipt.job_id, receipt.body))
                if receipt.worker == OPERATOR:
                    lost.add((receipt.job_id, receipt.body))
        for job_id, body in taken_back:
            is_there = self._oks.get(job_id, {}).pop(body, None) is not None
            if not is_there and (job_id, body) not in lost:
                self.broken.append(
                    AuditFault(job_id, f"{named(number_of(body))} takes a receipt back that there is not")
                )
        #: Jobs that were done once: what they made is, or was, to be made again.
        self.made_again = {job_id for job_id, _ in taken_back}
        self._oks = {job_id: bodies for job_id, bodies in self._oks.items() if bodies}

    def _note_broken(self, file: Path, line: int, fault: str) -> None:
        self.broken.append(AuditFault(f"{file.name}:{line}", f"is not a whole receipt: {fault}"))

    def _add(self, receipt: Receipt) -> None:
        self._oks.setdefault(receipt.job_id, {})[receipt.body] = receipt.outputs

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._oks

    def __iter__(self) -> Iterator[str]:
        return iter(self._oks)

    def __len__(self) -> int:
        return len(self._oks)

    def bodies(self, job_id: str) -> Collection[str]:
        """Bodies."""
        return self._oks.get(job_id, {}).keys()

    def outputs(self, job_id: str) -> tuple[OutputFact, ...]:
        """Of the attempt that counts, the lowest; none where no receipt stands."""
        bodies = self._oks.get(job_id)
        return bodies[min(bodies, key=number_of)] if bodies else ()

    def attempt(self, job_id: str) -> int:
        """The one that counts; 0: none does."""
        return min(map(number_of, self._oks.get(job_id, {})), default=0)


def whole(proofs: Proofs) -> Iterator[AuditFault]:
    """Each line of the receipts is one; what is taken back was given. A torn last line is no fault."""
    return iter(proofs.broken)


def one_each(proofs: Proofs) -> Iterator[AuditFault]:
    """At most one ok receipt stands for a job."""
    for job_id in proofs:
        if len(bodies := proofs.bodies(job_id)) > 1:
            yield AuditFault(job_id, twofold([number_of(body) for body in bodies]))


def receipts(full: FullLedger, proofs: Proofs) -> Iterator[AuditFault]:
    """Done in the ledger and accepted on disk are the same jobs, by the same attempt."""
    for job_id, row in full.jobs.items():
        bodies = proofs.bodies(job_id)
        numbers = {number_of(body) for body in bodies}
        if row.state == "done" and not is_any_of(row.accepted, bodies):
            # Made again, never certified after the fact: what lies there is proved by nothing.
            remedy = ": `conductor redo --no-receipt` makes it again"
            has = f", it has one of {', '.join(map(str, sorted(numbers)))}" if numbers else remedy
            by = named(number_of(row.accepted)) if row.accepted else "nobody"
            yield AuditFault(job_id, f"is done by {by}, of which no receipt stands on disk{has}")
        elif row.state != "done" and bodies:
            yield AuditFault(
                job_id, f"is {row.state}, though the receipt of {named(min(numbers))} says it is done"
            )
        elif row.is_shown and not is_any_of(row.accepted, proofs.asking.get(job_id, ())):
            by = named(number_of(row.accepted))
            yield AuditFault(job_id, f"waits for a verdict on {by}, of which no receipt is on disk")


def is_any_of(accepted: str, bodies: Collection[str]) -> bool:
    """The ledger may know no more of a body than its number; a receipt too."""
    if "." in accepted:
        return accepted in bodies or accepted.partition(".")[0] in bodies
    return bool(accepted) and int(accepted) in map(number_of, bodies)


def dispatched(full: FullLedger, sources: Sequence[Source]) -> Iterator[AuditFault]:
    """What was dispatched into this ledger is in it, by the copies that were kept then."""
    for source in sources:
        content = source.content()
        if content is None:
            yield AuditFault(
                source.manifest.name,
                "is not as it was when it was dispatched, and its copy of then is not there or is damaged "
                f"(receipts/manifests/{source.sha256}.jsonl.gz): whether all of its jobs are here, "
                "nobody can tell",
            )
            continue
        for spec in read(content):
            if spec.id not in full.jobs:
                yield AuditFault(spec.id, f"was dispatched with {source.manifest.name} and is nowhere")


def order(proofs: Proofs, manifests: Sequence[Path]) -> Iterator[AuditFault]:
    """What is done, was done after what it comes after."""
    for manifest in manifests:
        for spec in read(manifest):
            if spec.id in proofs:
                for other in spec.after:
                    if other not in proofs and other not in proofs.made_again:
                        yield AuditFault(spec.id, f"is done, and {other}, which it comes after, is not")


def declared(proofs: Proofs, manifests: Sequence[Path]) -> Iterator[AuditFault]:
    """A receipt names what its job declares to write, no less and no more."""
    for manifest in manifests:
        for spec in read(manifest):
            if spec.id in proofs:
                named, wanted = (
                    {fact.path for fact in proofs.outputs(spec.id)},
                    {output.path for output in spec.writes},
                )
                for path in sorted(wanted - named):
                    yield AuditFault(spec.id, f"{path} is declared, and its receipt does not name it")
                for path in sorted(named - wanted):
                    yield AuditFault(spec.id, f"{path} is in its receipt, and it does not declare it")


MISSING = "is missing"


class Outputs:
    """Published files, held against the receipts that count."""

    def __init__(self, layout: Layout, is_hashing: bool) -> None:
        self._layout = layout
        self._is_hashing = is_hashing
        self._removed = removal_notes.gone(layout.receipts_dir)
        self.looked_at = 0

    def faults(self, proofs: Proofs, ids: Collection[str]) -> Iterator[AuditFault]:
        for job_id in ids:
            for fact in proofs.outputs(job_id):
                self.looked_at += 1
                fault = self._fault(fact)
                if fault == MISSING and (fact.path, job_id, proofs.attempt(job_id)) in self._removed:
                    continue  # all who read it were done
                if fault:
                    yield AuditFault(job_id, f"{fact.path} {fault}")

    def _fault(self, fact: OutputFact) -> str | None:
        try:
            file = resolve(self._layout, fact.path, for_writing=False)
            facts = file.lstat()
        except FileNotFoundError:
            return MISSING
        except (OSError, BadInput) as e:
            return f"cannot be looked at: {e}"
        if not stat.S_ISREG(facts.st_mode):
            return "is not a regular file"
        if facts.st_size != fact.bytes:
            return f"has {facts.st_size} bytes, {fact.bytes} were published"
        if self._is_hashing and sha256_of(file) != fact.sha256:
            return "is not what was published: another sha256"
        return None


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def published_twice(proofs: Proofs, ids: Collection[str]) -> Iterator[AuditFault]:
    """No path is published by two jobs."""
    owner: dict[str, str] = {}
    for job_id in ids:
        for fact in proofs.outputs(job_id):
            # A path that holds its job's id is nobody else's: no need to remember it.
            if job_id not in fact.path and owner.setdefault(fact.path, job_id) != job_id:
                yield AuditFault(job_id, f"{fact.path} was published by {owner[fact.path]} too")


def ids_of(manifests: Sequence[Path]) -> dict[str, None]:
    """The jobs of manifests in their order. Raises `ManifestError`."""
    return {spec.id: None for manifest in manifests for spec in read(manifest)}

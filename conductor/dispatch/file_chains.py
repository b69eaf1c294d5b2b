"""Which jobs of a manifest share files, on roots where files go when they were read: what the ledger is told
of them, and whether each chain of them can ever finish on the disks that report."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence, Set
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from conductor.base.files.layout import Layout
from conductor.base.text import many, size
from conductor.core.capacity.request import SCRATCH_ROOT
from conductor.core.chains.chains import Members, root_of
from conductor.core.chains.feasible_order import can_finish, largest_job, least_disk
from conductor.core.chains.transfers import bound_for, brings, is_copy
from conductor.model.chains import Chain, FileJob
from conductor.model.ledger_entries import EntryFiles
from conductor.model.receipt import Receipt
from conductor.model.report import NodeReport, Volume
from conductor.model.spec import JobSpec, TaskDecl, resolve
from conductor.record import removal_notes as removed
from conductor.record.manifest import ManifestSummary, numbered

#: Chains of more jobs are looked at by their largest job only: to find an order for them would take minutes.
MOST_JOBS = 1000
NO_RECEIPTS: Mapping[str, Receipt] = {}


class FileRules(Struct, frozen=True, kw_only=True):
    """What dispatch has to know of the roots. Defaults: those of conductor.toml."""

    ephemeral_roots: Set[str] = frozenset({SCRATCH_ROOT})
    #: Root → bytes kept free.
    headroom: Mapping[str, int] = {}


def rules_of(layout: Layout) -> FileRules:
    headroom = {name: root.headroom_bytes for name, root in layout.roots.items()}
    return FileRules(ephemeral_roots=layout.ephemeral_roots(), headroom=headroom)


class FileWork:
    """Nothing at all where no job reads what another makes: then it has cost no look at the manifest."""

    def __init__(
        self,
        summary: ManifestSummary,
        catalogue: Mapping[str, TaskDecl],
        ephemeral_roots: Set[str],
        receipts_dir: Path | None = None,
    ) -> None:
        """`receipts_dir`: where what was removed is noted; None: nothing was."""
        self._ephemeral_roots = ephemeral_roots
        self.readers = {path: ids for path, ids in summary.readers.items() if self._goes(path)}
        self.jobs: dict[str, FileJob] = {}
        self.line_of: dict[str, int] = {}
        #: (path, job, attempt) of what was removed.
        self._removed = (
            removed.gone(receipts_dir) if self.readers and receipts_dir else frozenset[tuple[str, str, int]]()
        )
        if self.readers:
            self._gather(summary.path, catalogue)

    def _goes(self, path: str) -> bool:
        """Is it removed when it was read by all."""
        return root_of(path) in self._ephemeral_roots or is_copy(path)

    def _gather(self, path: Path, catalogue: Mapping[str, TaskDecl]) -> None:
        durations: dict[str, float] = {}
        for number, _, spec in numbered(path):
            here = {o.path: o.bytes for o in spec.writes if self._goes(o.path)}
            reads = tuple(read for read in dict.fromkeys(spec.reads) if read in self.readers)
            if brings(spec):
                # What it writes is no new file of the chain: it is one of its files at another place.
                reads, here = (*here, *reads), {}
            if not reads and not any(written in self.readers for written in here):
                continue
            request = resolve(spec, catalogue[spec.task])
            durations[spec.id] = request.estimate.duration_s
            self.line_of[spec.id] = number
            self.jobs[spec.id] = FileJob(
                job_id=spec.id,
                writes=here,
                reads=reads,
                after=(*spec.after, *spec.after_ended),
                elsewhere=_elsewhere(spec, here),
                temporary=request.needs.scratch_bytes,
                bound_for=bound_for(spec),
            )
        tail = tails(self.jobs, durations)
        self.jobs = {job_id: replace(job, tail_s=tail[job_id]) for job_id, job in self.jobs.items()}

    def of(self, job_id: str, accepted: Mapping[str, Receipt] = NO_RECEIPTS) -> EntryFiles | None:
        """What the ledger is told of a job. `accepted`: the receipts of those that are done."""
        job = self.jobs.get(job_id)
        if job is None:
            return None
        receipt = accepted.get(job_id)
        return EntryFiles(
            job=job,
            readers={path: self.readers[path] for path in job.writes if path in self.readers},
            node="" if receipt is None else receipt.node,
            outputs={} if receipt is None else self._lying(receipt),
        )

    def _lying(self, receipt: Receipt) -> dict[str, int]:
        """What it made and was not removed since."""
        made = receipt.job_id, receipt.attempt
        return {fact.path: fact.bytes for fact in receipt.outputs if (fact.path, *made) not in self._removed}

    def read_of_others(
        self, accepted: Container[str], begun: Container[str], elsewhere: Container[str] = ()
    ) -> dict[str, Sequence[str]]:
        """Path → jobs that will read it, where it may have been made before, and removed since: its writer is
        in another manifest (also, of those in several, `elsewhere`), or among those that have receipts
        (`begun`)."""
        # A transfer asks for what lies there, and for nothing that would have to be made again.
        ours = (job for job in self.jobs.values() if job.job_id not in begun and job.job_id not in elsewhere)
        fresh = {path for job in ours for path in job.writes}
        found = {
            path: [job_id for job_id in ids if job_id not in accepted and not self.jobs[job_id].bound_for]
            for path, ids in self.readers.items()
            if path not in fresh
        }
        return {path: ids for path, ids in found.items() if ids}

    # ── what can never finish ─────────────────────────────────────────────────────────────────────────────

    def chains(self) -> Iterator[Chain]:
        """Jobs that share files, as if none had begun."""
        for group in self._groups():
            members = Members()
            members.add(self.jobs[job_id] for job_id in group)
            if (chain := members.as_chain(group[0], "w" * len(group), None, {})) is not None:
                yield chain

    def _groups(self) -> list[list[str]]:
        parent = {job_id: job_id for job_id in self.jobs}

        def find(job_id: str) -> str:
            while parent[job_id] != job_id:
                parent[job_id] = job_id = parent[parent[job_id]]
            return job_id

        first: dict[str, str] = {}
        for job in self.jobs.values():
            for path in (*job.reads, *job.writes):
                parent[find(job.job_id)] = find(first.setdefault(path, job.job_id))
        groups: dict[str, list[str]] = {}
        for job_id in self.jobs:
            groups.setdefault(find(job_id), []).append(job_id)
        return list(groups.values())

    def never(self, reports: Sequence[NodeReport], headroom: Mapping[str, int]) -> Iterator[tuple[int, str]]:
        """(line, why) of each chain that no live node has the disk for; where a disk is not known, nobody
        can say.
        """
        for chain in self.chains():
            disks = [disk for node in reports for disk in _disks(node, chain.root, headroom)]
            if disks and not any(_fits(chain, *disk) for disk in disks):
                room, sharing, kept_free = max(disks, key=lambda disk: disk[0])
                line = min(self.line_of[job.job_id] for job in chain.jobs)
                yield line, _sentence(chain, room, sharing, kept_free)


#: Bytes that jobs may use, the roots that lie on it, bytes kept free.
Disk = tuple[float, frozenset[str], int]


def _disks(node: NodeReport, root: str, headroom: Mapping[str, int]) -> Iterator[Disk]:
    for volume in node.volumes:
        if volume.root == root:
            sharing = frozenset(v.root for v in node.volumes if _is_same(v, volume))
            kept_free = max(headroom.get(name, 0) for name in sharing)
            room = float("inf") if volume.total_bytes is None else max(0, volume.total_bytes - kept_free)
            yield room, sharing, kept_free


def _is_same(one: Volume, other: Volume) -> bool:
    return one.root == other.root or (one.filesystem is not None and one.filesystem == other.filesystem)


def _fits(chain: Chain, room: float, sharing: frozenset[str], _: int) -> bool:
    if (
        sum(job.stays + sum(job.writes.values()) + _on(job, sharing) + job.temporary for job in chain.jobs)
        <= room
    ):
        return True
    if len(chain.jobs) > MOST_JOBS:
        return largest_job(chain) <= room
    return can_finish(chain, int(room), sharing)


def _on(job: FileJob, sharing: frozenset[str]) -> int:
    return sum(size for root, size in job.elsewhere.items() if root in sharing)


def _sentence(chain: Chain, room: float, sharing: frozenset[str], kept_free: int) -> str:
    would = largest_job(chain) if len(chain.jobs) > MOST_JOBS else least_disk(chain, sharing)
    kept = f", of which headroom_bytes keeps {size(kept_free)} free" if kept_free else ""
    return (
        f"writes: {many(len(chain.jobs), 'job')} that read each other's files can never all finish here: "
        "one after the "
        f"other they need {would} bytes at once, the largest {chain.root} offers {room:.0f}{kept}: "
        f"a disk of {would + kept_free} bytes would do"
    )


def _elsewhere(spec: JobSpec, here: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for output in spec.writes:
        if output.path not in here and output.bytes:
            root = root_of(output.path)
            found[root] = found.get(root, 0) + output.bytes
    return found


def tails(jobs: Mapping[str, FileJob], durations: Mapping[str, float]) -> dict[str, float]:
    """Job → seconds from its start to the end of the longest path behind it, itself included."""
    kids: dict[str, list[str]] = {}
    waits = dict.fromkeys(jobs, 0)
    for job in jobs.values():
        for other in job.after:
            if other in jobs:
                kids.setdefault(other, []).append(job.job_id)
                waits[job.job_id] += 1
    order = [job_id for job_id, count in waits.items() if not count]
    for job_id in order:  # grows while it is walked
        for kid in kids.get(job_id, ()):
            waits[kid] -= 1
            if not waits[kid]:
                order.append(kid)
    tail: dict[str, float] = {}
    for job_id in reversed(order):
        tail[job_id] = durations[job_id] + max((tail[kid] for kid in kids.get(job_id, ())), default=0.0)
    return {job_id: tail.get(job_id, durations[job_id]) for job_id in jobs}

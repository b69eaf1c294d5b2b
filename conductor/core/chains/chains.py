"""A chain as the ledger tells it (members, the letter of each one's state, what lies on the disk) → `Chain`,
and which jobs make one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from conductor.core.capacity.request import SCRATCH_ROOT
from conductor.core.chains.transfers import is_copy
from conductor.model.chains import Chain, FileJob

#: Letters of `conductor:state`: those that will run or do; those that have ended; all others may be brought
#: back, and what they read stays for them.
ALIVE, GOING, ENDED = frozenset("war"), frozenset("ar"), "d"

NOWHERE: Mapping[str, str] = {}


class Members:
    """The jobs of one chain. What does not change with their states is worked out once."""

    def __init__(self) -> None:
        self._raw: list[FileJob] = []
        self._jobs: list[FileJob] | None = None
        self._root = SCRATCH_ROOT

    def __len__(self) -> int:
        return len(self._raw)

    def add(self, jobs: Iterable[FileJob]) -> None:
        before = len(self._raw)
        self._raw.extend(jobs)
        if len(self._raw) != before:
            self._jobs = None

    def as_chain(
        self,
        chain_id: str,
        letters: str,
        node: str | None,
        made: Mapping[str, int],
        where: Mapping[str, str] = NOWHERE,
    ) -> Chain | None:
        """`letters`: of each member, in their order; `made`: path → bytes of files that lie there, with
        readers left; `where`: path → node of these, where that is not the chain's. None where no member is
        left that will run."""
        if self._jobs is None:
            self._jobs = self._settled()
        pinned = {
            path
            for job, letter in zip(self._jobs, letters, strict=True)
            if letter not in ALIVE and letter != ENDED
            for path in job.reads
        }
        jobs = tuple(
            _now(job, letter in GOING, pinned)
            for job, letter in zip(self._jobs, letters, strict=True)
            if letter in ALIVE
        )
        if not jobs:
            return None
        here = {path: size for path, size in made.items() if root_of(path) == self._root}
        away = {path: at for path, at in where.items() if path in here and at != node} if where else {}
        kept = {path: size for path, size in here.items() if path not in pinned and path not in away}
        failed = {
            job.job_id: job.bound_for
            for job, letter in zip(self._jobs, letters, strict=True)
            if job.bound_for and letter not in ALIVE and letter != ENDED
        }
        return Chain(
            id=chain_id,
            root=self._root,
            node=node,
            jobs=jobs,
            kept=kept,
            away=away,
            away_bytes={path: here[path] for path in away},
            failed_transfers=failed,
        )

    def _settled(self) -> list[FileJob]:
        maker = {path: job.job_id for job in self._raw for path in job.writes}
        read = {path for job in self._raw for path in job.reads}
        ids = {job.job_id for job in self._raw}
        roots = Counter(root_of(path) for path in sorted(read or maker) if not is_copy(path))
        self._root = max(
            sorted(roots), key=lambda root: (root == SCRATCH_ROOT, roots[root]), default=SCRATCH_ROOT
        )
        return [self._settle(job, maker, read, ids) for job in self._raw]

    def _settle(self, job: FileJob, maker: Mapping[str, str], read: set[str], ids: set[str]) -> FileJob:
        """One disk's view of it: intermediate files by name, all else as bytes."""
        elsewhere = dict(job.elsewhere)
        for path, size in job.writes.items():
            if (root := root_of(path)) != self._root:
                elsewhere[root] = elsewhere.get(root, 0) + size
        here = {path: size for path, size in job.writes.items() if root_of(path) == self._root}
        reads = tuple(path for path in dict.fromkeys(job.reads) if root_of(path) == self._root)
        makers = (maker[path] for path in job.reads if path in maker)
        return replace(
            job,
            writes={path: size for path, size in here.items() if path in read},
            stays=job.stays + sum(size for path, size in here.items() if path not in read),
            elsewhere=elsewhere,
            reads=reads,
            after=tuple(dict.fromkeys((*makers, *(other for other in job.after if other in ids)))),
            temporary=job.temporary if self._root == SCRATCH_ROOT else 0,
        )


def _now(job: FileJob, is_going: bool, pinned: set[str]) -> FileJob:
    held = pinned.intersection(job.writes) if pinned else ()
    if held:
        stays = job.stays + sum(job.writes[path] for path in held)
        job = replace(job, writes={p: size for p, size in job.writes.items() if p not in held}, stays=stays)
    return replace(job, is_going=True) if is_going else job


def root_of(path: str) -> str:
    return path.partition(":")[0]


#: Of a begun chain so many of the jobs that may go next are looked at, beside the first of their classes.
NEXT = 32


def next_of(chain: Chain) -> Sequence[str]:
    """Its jobs that wait for no other job of the chain: those nearest to the end of the chain first, then the
    oldest. A class shows its oldest jobs only, and the job that would free the disk may stand far behind
    them."""
    left = {job.job_id for job in chain.jobs}
    ready = [job for job in chain.jobs if not job.is_going and left.isdisjoint(job.after)]
    if len(ready) <= NEXT:
        return [job.job_id for job in ready]
    nearest = sorted(ready, key=lambda job: (job.tail_s, job.job_id))[: NEXT // 2]
    return list(dict.fromkeys(job.job_id for job in (*nearest, *ready[: NEXT // 2])))


def connected(jobs: Iterable[FileJob], root: str = "scratch") -> list[Chain]:
    """Jobs as chains: those that share a file, or wait for each other on the way to one, belong together."""
    by_id = {job.job_id: job for job in jobs}
    maker = {path: job.job_id for job in by_id.values() for path in job.writes}
    parent = {job_id: job_id for job_id in by_id}

    def find(job_id: str) -> str:
        while parent[job_id] != job_id:
            parent[job_id] = job_id = parent[parent[job_id]]
        return job_id

    for job in by_id.values():
        for other in (*(maker[path] for path in job.reads if path in maker), *job.after):
            if other in parent:
                parent[find(other)] = find(job.job_id)
    chains: dict[str, list[FileJob]] = {}
    for job in by_id.values():
        chains.setdefault(find(job.job_id), []).append(job)
    return [Chain(id=min(j.job_id for j in group), root=root, jobs=tuple(group)) for group in chains.values()]

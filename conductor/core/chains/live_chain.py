"""A chain of files in motion: its jobs that have not ended, its files that are on the disk or will be."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from conductor.model.chains import Chain, FileJob


class Member:
    """One job of a chain, with what it waits for and who waits for it."""

    __slots__ = (
        "after",
        "bound_for",
        "chain",
        "elsewhere",
        "id",
        "is_going",
        "kids",
        "reads",
        "stays",
        "tail_s",
        "temporary",
        "waits",
        "writes",
        "written",
    )

    def __init__(self, job: FileJob, chain: LiveChain) -> None:
        self.id = job.job_id
        self.chain = chain
        self.is_going = job.is_going
        self.reads = job.reads
        self.writes = job.writes
        self.stays = job.stays
        self.elsewhere = job.elsewhere
        self.temporary = job.temporary
        self.bound_for = job.bound_for
        #: All that it leaves on the chain's disk, results among it.
        self.written = sum(job.writes.values()) + job.stays
        self.tail_s = job.tail_s
        self.waits = 0
        self.after = job.after
        self.kids: list[Member] = []

    def as_job(self) -> FileJob:
        return FileJob(
            job_id=self.id,
            is_going=self.is_going,
            writes=self.writes,
            reads=self.reads,
            after=tuple(other for other in self.after if other in self.chain.members),
            tail_s=self.tail_s,
            stays=self.stays,
            elsewhere=self.elsewhere,
            temporary=self.temporary,
            bound_for=self.bound_for,
        )

    def takes(self, sharing: Collection[str]) -> int:
        """What it leaves on the chain's disk, with the other roots that lie on it."""
        return self.written + sum(size for root, size in self.elsewhere.items() if root in sharing)


class LiveChain:
    """A chain in motion: its members that have not ended, its files that are on the disk or will be."""

    def __init__(self, chain: Chain) -> None:
        self.id = chain.id
        self.root = chain.root
        self.node = chain.node
        self.away = chain.away
        self.away_bytes = chain.away_bytes
        self.failed_transfers = chain.failed_transfers
        #: Where a transfer under way brings its files: once they are there, it has to finish there.
        self.coming = next((job.bound_for for job in chain.jobs if job.bound_for and job.is_going), "")
        self.members = {job.job_id: Member(job, self) for job in chain.jobs}
        #: Transfers of its files that have not ended.
        self.movers = [member for member in self.members.values() if member.bound_for]
        #: Bytes of every file that is or will be there, and how many of its readers have not ended.
        self.size: dict[str, int] = dict(chain.kept)
        self.left: dict[str, int] = {}
        for job in chain.jobs:
            self.size |= job.writes
            for path in job.reads:
                self.left[path] = self.left.get(path, 0) + 1
            for other in job.after:
                if (before := self.members.get(other)) is not None:
                    before.kids.append(self.members[job.job_id])
                    self.members[job.job_id].waits += 1

    def is_begun_on(self, node: str) -> bool:
        """Its files lie there, or are on their way there."""
        return node in (self.node, self.coming)

    def kept(self) -> dict[str, int]:
        """Files of jobs that have ended, with readers left."""
        coming = {path for member in self.members.values() for path in member.writes}
        return {path: size for path, size in self.size.items() if self.left.get(path) and path not in coming}

    def freed(self, member: Member, left: Mapping[str, int]) -> int:
        """The bytes that are freed when the job ends: files of which it is the last reader, and its own files
        that nobody reads."""
        gone = sum(self.size.get(path, 0) for path in member.reads if left[path] == 1)
        return gone + sum(size for path, size in member.writes.items() if not left.get(path))

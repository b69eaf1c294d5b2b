"""Files that jobs write for each other, in memory: the twin of `adapters/redis/lua/chains.lua`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from conductor.core.chains.chains import Members, root_of
from conductor.model.chains import Chain, FileJob, LyingFile, RecentWrite, RemovableFile
from conductor.model.ledger_entries import EntryFiles, JobState

IN_FLIGHT: tuple[JobState, ...] = ("admitted", "running")
WRITTEN_S, WRITTEN_TOGETHER_S = 60.0, 0.25
LETTERS: dict[JobState, str] = {
    "waiting": "w",
    "admitted": "a",
    "running": "r",
    "done": "d",
    "dead": "x",
    "review": "v",
    "cancelled": "c",
}


@dataclass(slots=True)
class OneChain:
    number: int
    ids: list[str] = field(default_factory=list[str])
    node: str | None = None
    #: Members that are admitted or running, plus files that lie there for somebody.
    busy: int = 0
    #: Path → where it lies and what it is.
    made: dict[str, tuple[str, RemovableFile]] = field(default_factory=dict[str, tuple[str, RemovableFile]])


class Chains:
    """Under the store's lock. `state_of`: of any job, None where it is not known (yet)."""

    def __init__(self, state_of: Callable[[str], JobState | None], now: Callable[[], float]) -> None:
        self._state_of = state_of
        self._now = now
        self._files: dict[str, FileJob] = {}
        self._chain_of: dict[str, OneChain] = {}
        self._by_path: dict[str, OneChain] = {}
        self._numbers = 0
        self._readers: defaultdict[str, set[str]] = defaultdict(set)
        #: Files that nobody needs any more, the first in front: path → where it lies and what it is.
        self.removable: dict[str, tuple[str, RemovableFile]] = {}
        #: Of those, what its node removes at this moment; under NODE|path a copy that another one took the
        #: place of.
        self.removing: dict[str, tuple[str, RemovableFile]] = {}
        #: Paths that were let go once.
        self._removed_once: set[str] = set()
        #: (at the end of which moment, node, root) → bytes.
        self._written: dict[tuple[float, str, str], int] = {}

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────

    def add(self, job_id: str, is_done: bool, files: EntryFiles, attempt: int) -> None:
        job = files.job
        paths = dict.fromkeys((*job.reads, *job.writes))
        chain: OneChain | None = None
        for path in paths:
            if (known := self._by_path.get(path)) is not None:
                chain = known if chain is None or chain is known else self._joined(chain, known)
        if chain is None:
            self._numbers += 1
            chain = OneChain(self._numbers)
        self._by_path |= dict.fromkeys(paths, chain)
        self._files[job_id] = job
        self._chain_of[job_id] = chain
        chain.ids.append(job_id)
        for path, ids in files.readers.items():
            undone = {other for other in ids if self._state_of(other) != "done"}
            self._readers[path].update(undone)
            if undone != set(ids):
                self._removed_once.add(path)
        for path in job.reads:
            if is_done:
                self._readers[path].discard(job_id)
                if not self._readers[path]:
                    self._mark_removable(chain, path)
            else:
                self._readers[path].add(job_id)
                self._take_back(chain, path)
        if is_done and files.outputs:
            self.has_written(job_id, attempt, files.node, files.outputs)

    def revise(self, job_id: str, files: EntryFiles) -> None:
        """The same files of other sizes."""
        if job_id in self._files:
            self._files[job_id] = files.job
        else:
            self.add(job_id, False, files, 0)

    def _joined(self, one: OneChain, other: OneChain) -> OneChain:
        if len(one.ids) < len(other.ids):
            one, other = other, one
        one.ids += other.ids
        one.made |= other.made
        one.node = one.node or other.node
        one.busy += other.busy
        for where in (self._chain_of, self._by_path):
            for key in [key for key, chain in where.items() if chain is other]:
                where[key] = one
        return one

    def moved(self, job_id: str, old: JobState, new: JobState) -> None:
        chain = self._chain_of.get(job_id)
        if chain is None:
            return
        if (old in IN_FLIGHT) != (new in IN_FLIGHT):
            self._busier(chain, 1 if new in IN_FLIGHT else -1)
        job = self._files[job_id]
        if new == "done":
            for path in job.reads:
                self._readers[path].discard(job_id)
                if not self._readers[path]:
                    self._mark_removable(chain, path)
        elif old == "done":
            self._undone(chain, job)

    def _undone(self, chain: OneChain, job: FileJob) -> None:
        for path in job.reads:
            self._readers[path].add(job.job_id)
            self._take_back(chain, path)
        for path in job.writes:
            self.removable.pop(path, None)
            for key in [key for key, (_, fact) in self.removing.items() if fact.path == path]:
                del self.removing[key]
            if (made := chain.made.pop(path, None)) is not None:
                if made[1].job_id != job.job_id:
                    self._drop_copy(*made)
                self._busier(chain, -1)
            self._by_path[path] = chain

    def begun(self, job_id: str, node: str) -> None:
        if (chain := self._chain_of.get(job_id)) is not None:
            chain.node = chain.node or node

    def has_written(self, job_id: str, attempt: int, node: str, outputs: Mapping[str, int]) -> None:
        chain, job = self._chain_of.get(job_id), self._files.get(job_id)
        if chain is not None and job is not None and job.bound_for == node:
            self._brought(chain, job_id, attempt, node, outputs)
        by_root: dict[str, int] = {}
        for path, size in outputs.items():
            by_root[root_of(path)] = by_root.get(root_of(path), 0) + size
            fact = RemovableFile(path=path, job_id=job_id, attempt=attempt, bytes=size)
            is_ours = chain is not None and job is not None and path in job.writes
            if is_ours and not self._readers[path] and path in self._removed_once:
                self.removable[path] = (node, fact)
            if is_ours and chain is not None and self._readers[path]:
                if path not in chain.made:
                    self._busier(chain, 1)
                chain.made[path] = (node, fact)
                chain.node = chain.node or node
        now = self._now()
        at = math.ceil(now / WRITTEN_TOGETHER_S) * WRITTEN_TOGETHER_S
        for root, size in by_root.items():
            if size:
                key = (at, node, root)
                self._written[key] = self._written.get(key, 0) + size
        self._written = {key: size for key, size in self._written.items() if key[0] >= now - WRITTEN_S}

    def _brought(
        self, chain: OneChain, job_id: str, attempt: int, node: str, outputs: Mapping[str, int]
    ) -> None:
        """A transfer has brought files of its chain to its node."""
        for path, size in outputs.items():
            fact = RemovableFile(path=path, job_id=job_id, attempt=attempt, bytes=size)
            was = chain.made.get(path)
            if was is None and not self._readers[path]:
                self._drop_copy(node, fact)
                continue
            chain.made[path] = (node, fact)
            if was is None:
                chain.node = chain.node or node
                self._busier(chain, 1)
            elif was[0] != node:
                self._drop_copy(*was)
        if chain.node and all(where != chain.node for where, _ in chain.made.values()):
            chain.node = node

    def _drop_copy(self, node: str, fact: RemovableFile) -> None:
        self.removing[f"{node}|{fact.path}"] = (node, fact)

    def removed(self, node: str, paths: Sequence[str]) -> None:
        for path in paths:
            for key in (path, f"{node}|{path}"):
                if key in self.removing and self.removing[key][0] == node:
                    del self.removing[key]

    def lying(self, paths: Sequence[str]) -> tuple[LyingFile, ...]:
        made = ((path, self._by_path[path].made.get(path)) for path in paths if path in self._by_path)
        return tuple(
            LyingFile(
                path=path,
                node=found[0],
                job_id=found[1].job_id,
                attempt=found[1].attempt,
                bytes=found[1].bytes,
            )
            for path, found in made
            if found is not None
        )

    @property
    def written(self) -> tuple[RecentWrite, ...]:
        return tuple(
            RecentWrite(node=node, root=root, bytes=n, at=at) for (at, node, root), n in self._written.items()
        )

    def _mark_removable(self, chain: OneChain, path: str) -> None:
        if (fact := chain.made.pop(path, None)) is not None:
            self._by_path.pop(path, None)
            self.removable[path] = fact
            self._removed_once.add(path)
            self._busier(chain, -1)

    def _take_back(self, chain: OneChain, path: str) -> None:
        if (fact := self.removable.pop(path, None)) is not None:
            chain.made[path] = fact
            self._by_path[path] = chain
            chain.node = chain.node or fact[0]
            self._busier(chain, 1)

    def keep(self, readers: Mapping[str, Sequence[str]]) -> dict[str, str]:
        for path, ids in readers.items():
            self._readers[path].update(ids)
            if path in self.removable:
                self._numbers += 1
                self._take_back(OneChain(self._numbers), path)
        return {path: node for path, (node, fact) in self.removing.items() if fact.path == path}

    def take(self, node: str, root: str, wanted: int, most: int) -> tuple[RemovableFile, ...]:
        """The first ones of what nobody needs on that disk are gone from now on; with what was before."""
        first = [
            p for p, (where, fact) in self.removable.items() if where == node and root_of(fact.path) == root
        ][:most]
        for path in first:
            if wanted <= 0:
                break
            self.removing[path] = self.removable.pop(path)
            wanted -= self.removing[path][1].bytes
        return tuple(fact for _, (where, fact) in sorted(self.removing.items()) if where == node)

    def is_being_removed(self, job_id: str) -> bool:
        """Is a file that it writes being removed."""
        job = self._files.get(job_id)
        return job is not None and any(path in self.removing for path in job.writes)

    def _busier(self, chain: OneChain, n: int) -> None:
        chain.busy += n
        if chain.busy <= 0:
            chain.busy, chain.node = 0, None

    # ── what is seen ──────────────────────────────────────────────────────────────────────────────────────

    def shown(self, heads: Sequence[str]) -> Iterable[Chain]:
        wanted = {chain.number: chain for chain in self._chain_of.values() if chain.node is not None}
        wanted |= {
            chain.number: chain for job_id in heads if (chain := self._chain_of.get(job_id)) is not None
        }
        for number, chain in sorted(wanted.items()):
            members = Members()
            members.add(self._files[job_id] for job_id in chain.ids)
            letters = "".join(LETTERS[self._state_of(job_id) or "cancelled"] for job_id in chain.ids)
            made = {path: fact.bytes for path, (_, fact) in chain.made.items()}
            where = {path: node for path, (node, _) in chain.made.items()}
            if (seen := members.as_chain(str(number), letters, chain.node, made, where)) is not None:
                yield seen

"""Chains whose next jobs cannot run where their files lie: where the files are to go, or why they stay.

A chain stays on its node for as long as any job of it can go on there, now or later. Once none can ever (no
device is large enough, no worker serves the lane, the job asks for another node), its files go to a node
where one can. So each move is followed by a job that could not run before it, and no chain goes back and
forth for nothing. Files that lie apart (chains that met in one reader) go to the node of the chain. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from conductor.core.admission.decision_state import DecisionState
from conductor.core.admission.jobs_ahead import HeldClass
from conductor.core.admission.refusals import could_ever
from conductor.core.capacity.cluster import NodeFree
from conductor.core.chains.live_chain import LiveChain, Member
from conductor.model.chains import FileMove
from conductor.model.decision import Verdict
from conductor.model.reason import Reason
from conductor.model.snapshot import JobClass

#: The rest comes with later ticks.
MOST_MOVES = 16


def not_there(member: Member, pinned_to: str = "") -> Verdict | None:
    """Why a job must not start on the node of its chain: files that it reads are not there, or on their way.
    `pinned_to`: the node that it asks for itself."""
    chain = member.chain
    if member.bound_for:
        return None
    if chain.movers:
        ids = tuple(mover.id for mover in chain.movers)
        return _closed(Reason.FILES_ON_THE_WAY, chain.movers[0].bound_for, ids)
    if chain.away and (path := next((path for path in member.reads if path in chain.away), None)):
        return _closed(Reason.FILES_APART, chain.away[path])
    if pinned_to and chain.node not in (None, pinned_to):
        return _closed(Reason.FILES_ELSEWHERE, chain.node or "")
    return None


class FileMoves:
    """Of one tick. `moves`: what is to go; `said`: chain → what is said of it to those that wait."""

    def __init__(self, state: DecisionState) -> None:
        self._state = state
        self._nodes = state.free.nodes
        self._able: dict[tuple[str, str], bool] = {}
        self.moves: list[FileMove] = []
        self.said: dict[str, Verdict] = {}

    def look(self, held: Sequence[HeldClass]) -> None:
        """At all jobs of chains that stay. One node alone has nowhere to bring anything."""
        if not self._state.life or len(self._nodes) < 2:
            return
        waiting: dict[str, list[tuple[Member, JobClass]]] = {}
        for one in held:
            for head in one.turn.candidate.heads:
                member = self._state.life.member(head.job_id)
                if member is not None and member.chain.node is not None and not member.chain.movers:
                    waiting.setdefault(member.chain.id, []).append((member, one.turn.job_class))
        for jobs in waiting.values():
            chain = jobs[0][0].chain
            if any(member.is_going for member in chain.members.values()) or len(self.moves) >= MOST_MOVES:
                continue
            is_able = any(self._is_able(chain.node or "", job_class) for _, job_class in jobs)
            # What lies elsewhere comes to a chain that goes on: to another it would come only to leave again.
            if chain.away and (is_able or not chain.kept()):
                self._gather(chain, jobs)
            elif not is_able:
                self._leave(chain, jobs)

    # ── where to ──────────────────────────────────────────────────────────────────────────────────────────

    def _gather(self, chain: LiveChain, jobs: Sequence[tuple[Member, JobClass]]) -> None:
        """Files that lie elsewhere come to the chain, those of one node at a time."""
        read = (path for member, _ in jobs for path in member.reads if path in chain.away)
        source = next((chain.away[path] for path in read), None)
        if source is None:
            return  # Nobody who could go on now reads one of them.
        files = {path: chain.away_bytes[path] for path, node in chain.away.items() if node == source}
        home = chain.node or ""
        if source not in self._nodes:
            self.said[chain.id] = Verdict(
                gate="report", passed=False, reason=Reason.HOME_SILENT, where=source
            )
        elif home in self._nodes:
            self._move(chain, jobs[0][1], source, [home], files)

    def _leave(self, chain: LiveChain, jobs: Sequence[tuple[Member, JobClass]]) -> None:
        home = chain.node or ""
        if home not in self._nodes:
            return  # The gate `report` says so.
        fits = [
            (sum(able), node)
            for node in self._nodes.values()
            if node.name != home
            and not (node.is_stale or node.is_draining)
            and any(able := [self._is_able(node.name, job_class) for _, job_class in jobs])
            and self._holds(node, chain, jobs[0][0])
        ]
        if not fits:
            self.said[chain.id] = _closed(Reason.NO_OTHER_NODE, home)
            return
        best = sorted(fits, key=lambda found: (-found[0], *self._state.free.most_to_give(found[1])))
        self._move(chain, jobs[0][1], home, [node.name for _, node in best], chain.kept())

    def _move(
        self,
        chain: LiveChain,
        job_class: JobClass,
        source: str,
        targets: Iterable[str],
        files: dict[str, int],
    ) -> None:
        """To the first of them that a way is known to, and no transfer to which has come to nothing."""
        said: Verdict | None = None
        for target in targets:
            failed = tuple(job for job, node in chain.failed_transfers.items() if node == target)
            if failed:
                said = said or _closed(Reason.TRANSFER_FAILED, target, failed)
                continue
            via = self._via(chain, source, target, sum(files.values()))
            if via is None:
                said = said or _closed(Reason.NO_SHARED_ROOT, target)
                continue
            self.moves.append(
                FileMove(backlog=job_class.backlog, source=source, target=target, via=via, files=files)
            )
            said = _closed(Reason.FILES_TO_GO, target)
            break
        if said is not None:
            self.said[chain.id] = said

    # ── what is possible ──────────────────────────────────────────────────────────────────────────────────

    def _is_able(self, name: str, job_class: JobClass) -> bool:
        """Could such a job ever run there. A node whose report is late may be back in a moment."""
        known = self._able.get((name, job_class.id))
        if known is None:
            known = self._able[name, job_class.id] = self._could(name, job_class)
        return known

    def _could(self, name: str, job_class: JobClass) -> bool:
        node = self._nodes.get(name)
        if node is None or job_class.needs.node not in ("", name):
            return False
        if node.is_stale or job_class.lane in node.dying:
            return True
        return bool(node.queues.get(job_class.lane)) and could_ever(node, self._state.demand(job_class, name))

    def _holds(self, node: NodeFree, chain: LiveChain, member: Member) -> bool:
        """Could all that is left of the chain finish on its disk."""
        disk = node.disks.get(chain.root)
        if disk is None or disk.volume.fault is not None or disk.pool is None:
            return False
        sharing = [root for root, other in node.disks.items() if other.pool is disk.pool]
        return self._state.life.can_ever(member, disk.pool.limit, sharing)

    def _via(self, chain: LiveChain, source: str, target: str, size: int) -> str | None:
        """The root that both nodes have, with most free of those that could ever hold it."""
        mine, theirs = self._nodes[source].disks, self._nodes[target].disks
        found = [
            (disk.pool.free, root)
            for root, disk in mine.items()
            if root != chain.root
            and disk.volume.root_id
            and disk.volume.is_writable
            and (other := theirs.get(root)) is not None
            and other.volume.root_id == disk.volume.root_id
            and disk.pool is not None
            and disk.pool.limit >= size
        ]
        return max(found)[1] if found else None


def _closed(reason: Reason, where: str, holders: tuple[str, ...] = ()) -> Verdict:
    return Verdict(gate="mount", passed=False, reason=reason, where=where, holders=holders)

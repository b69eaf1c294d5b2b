"""Workers of earlier nodes of this name on this host: those that are dead are struck off, and what they held
goes back, by the node that comes after theirs. Nobody else would know of it before their leases run out.
"""

from __future__ import annotations

import psutil

from conductor.adapters.host.known_process import is_gone
from conductor.adapters.host.processes import kill_session
from conductor.model.worker import SeenWorker
from conductor.node.supervisor import Death
from conductor.ports import Ledger


class EarlierWorkers:
    """Asked at the node's start; those that still end their last job are looked at again at each turn."""

    def __init__(self, ledger: Ledger, node: str) -> None:
        """Raises `Unreachable`."""
        self._left = [worker for worker in ledger.workers.listed() if _is_of(worker, node)]

    def ended(self) -> list[Death]:
        """Those that died since the last call; what they left of their sessions is killed."""
        dead = [worker for worker in self._left if is_gone(worker.process)]
        self._left = [worker for worker in self._left if worker not in dead]
        return [_buried(worker) for worker in dead]


def _is_of(worker: SeenWorker, node: str) -> bool:
    """By its queue: the workers of another node on this host are that one's to bury."""
    return worker.queue.split("-")[1:2] == [node]


def _buried(worker: SeenWorker) -> Death:
    # A pid is given to nobody else as long as anybody is in its session.
    if not psutil.pid_exists(worker.pid):
        kill_session(worker.pid)
    return Death(worker=worker.name, queue=worker.queue, pid=worker.pid, exit_code=0, is_unseen=True)

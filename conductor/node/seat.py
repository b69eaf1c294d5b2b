"""A place for one worker of a queue, and who sits there."""

from __future__ import annotations

from dataclasses import dataclass, field

from conductor.node.fork_server import Running
from conductor.node.queue_plan import QueuePlan
from conductor.node.restart_backoff import SETTLED_S, Backoff
from conductor.node.start_output import StartOutput

#: From its start until a worker takes from its queue; on a busy host it may take longer, and another one is
#: called for what it will take.
COMING_S = 1.0


@dataclass
class WorkerProcess:
    name: str
    process: Running
    started_at: float
    #: Of one that is started after another died at start.
    overheard: StartOutput | None = None
    #: It was killed for having stood still for so long.
    stopped_s: float = 0.0


@dataclass
class Seat:
    """One place for a worker. Empty while nothing waits for it, or its next one waits out a back-off."""

    plan: QueuePlan
    worker: WorkerProcess | None = None
    #: Name of the worker that was there before.
    last: str = ""
    start_at: float = 0.0
    is_wanted: bool = True
    #: Something waits for a worker here, or one was here last that did not leave by itself.
    is_called: bool = True
    backoff: Backoff = field(default_factory=Backoff)
    #: How the last one ended that died soon after its start.
    ended: str = ""

    @property
    def is_asleep(self) -> bool:
        """A worker starts here as soon as something waits for one."""
        return self.is_wanted and not self.is_called and self.worker is None

    def is_coming(self, now: float) -> bool:
        """Its worker was started just now, and has taken nothing yet."""
        return self.worker is not None and now - self.worker.started_at < COMING_S

    def dying(self, now: float) -> str:
        """How the last one ended, where they keep dying at start; one that has just been started may do so
        too.
        """
        has_settled = self.worker is not None and now - self.worker.started_at >= SETTLED_S
        return self.ended if self.backoff.is_looping and not has_settled else ""

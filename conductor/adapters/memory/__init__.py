"""The in-memory twin of everything that lives in Redis: same ports, same contract suite, for tests and
`simulate`.
"""

from __future__ import annotations

from conductor.adapters.host.clock import SystemClock
from conductor.adapters.memory.alerts import MemoryAlerts
from conductor.adapters.memory.attempts import MemoryAttempts
from conductor.adapters.memory.backlog import MemoryBacklog
from conductor.adapters.memory.breakers import MemoryKinds
from conductor.adapters.memory.calls import MemoryCallLog
from conductor.adapters.memory.control import MemoryControl
from conductor.adapters.memory.event_stream import MemoryEventStream
from conductor.adapters.memory.files import MemoryFiles
from conductor.adapters.memory.handover import MemoryHandover
from conductor.adapters.memory.leadership import MemoryBell, MemoryLeadership, MemoryReports
from conductor.adapters.memory.orphans import MemoryOrphans
from conductor.adapters.memory.pilots import MemoryPilots
from conductor.adapters.memory.reviews import MemoryReviews
from conductor.adapters.memory.schedules import MemorySchedules
from conductor.adapters.memory.store import Store
from conductor.adapters.memory.workers import MemoryDoorbell, MemoryWorkers
from conductor.ports import Clock, Ledger


def memory_ledger(clock: Clock | None = None) -> Ledger:
    """An empty ledger on `clock` (default: the host's). Threads may share it."""
    store = Store(clock or SystemClock())
    backlog, handover = MemoryBacklog(store), MemoryHandover(store)
    leadership, control = MemoryLeadership(store), MemoryControl(store)
    return Ledger(
        intake=backlog,
        waiting=backlog,
        jobs=backlog,
        tallies=backlog,
        attempts=MemoryAttempts(store),
        orphans=MemoryOrphans(store),
        workers=MemoryWorkers(store),
        doorbell=MemoryDoorbell(store),
        calls=MemoryCallLog(store),
        files=MemoryFiles(store),
        events=MemoryEventStream(store),
        handover=handover,
        gate_record=handover,
        prefetch=handover,
        leadership=leadership,
        identity=backlog,
        forecasts=leadership,
        bell=MemoryBell(store),
        reports=MemoryReports(store),
        control=control,
        commands=control,
        priorities=control,
        kinds=MemoryKinds(store),
        reviews=MemoryReviews(store),
        alerts=MemoryAlerts(store),
        schedules=MemorySchedules(store),
        pilots=MemoryPilots(store),
    )

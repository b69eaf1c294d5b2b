"""One host, its ledger and its workers, played move by move: who is named, lies ready, and is handed over."""

from __future__ import annotations

from collections import Counter
from typing import Any

from builders import GIB, a_device, a_report, a_volume

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.core.admission.admission import decide
from conductor.model.decision import Decision
from conductor.model.failure_outcome import Retry
from conductor.model.ledger_entries import Begun, Entry, Started, WorkerTurn
from conductor.model.limits import CounterRule, Limits, Order
from conductor.model.receipt import OutputFact, Receipt
from conductor.model.report import NodeReport, QueueReport
from conductor.model.snapshot import JobClass, Reservation
from conductor.ports import Ledger
from conductor.tick.apply import apply
from conductor.tick.observe import observe

VRAM, RAM, CORES, DISK = 24, 64, 4, 20 * GIB
COUNTERS = {
    "nuke": CounterRule(limit=2), "seat": CounterRule(limit=2, per="node"),
    "encoder": CounterRule(limit=2, per="device"),
}  # fmt: skip
MOST = {":nuke": 2, "node1:seat": 2, "node1/gpu0:encoder": 2, "node1/gpu1:encoder": 2}


class NoRates:
    def states(self, now: float, active: Any = None) -> tuple[()]:
        return ()

    def take(self, *args: Any) -> None:
        raise AssertionError("nobody asks a budget here")


class House:
    """One node with two devices, a worker for each and one more; what lies on its disk, and what runs, in
    truth.
    """

    def __init__(self, order: Order) -> None:
        self.clock = ManualClock(1_700_000_000.0)
        self.ledger: Ledger = memory_ledger(self.clock)
        epoch = self.ledger.leadership.lead("here", 1e9)
        assert epoch is not None
        self.epoch = epoch
        self.limits = Limits(
            order=order,
            vram_headroom_mib=0,
            ram_headroom_mib=0,
            default_disk_headroom_bytes=0,
            report_ttl_s=1e9,
            keep_after_s=50.0,
            has_successors=True,
            counters=COUNTERS,
        )
        #: Queue → job, attempt of what its worker runs.
        self.running: dict[str, tuple[str, int] | None] = dict.fromkeys(
            ("gpu-node1-gpu0", "gpu-node1-gpu1", "cpu-node1")
        )
        #: Queue → what lies ready in the child of its worker, or runs there where `has_begun`.
        self.ready: dict[str, tuple[Begun, Reservation]] = {}
        self.has_begun: set[str] = set()
        self.written = 0
        self.count = 0
        self.turns = 0
        self.looked: tuple[tuple[int, int], Decision] | None = None

    def report(self) -> NodeReport:
        queues = tuple(
            QueueReport(queue=q, lane="cpu" if q.startswith("cpu") else "gpu", workers=1,
                        device=None if q.startswith("cpu") else q.rpartition("-")[2])
            for q in self.running
        )  # fmt: skip
        free = {"filesystem": "one", "total_bytes": DISK, "free_bytes": DISK - self.written}
        return a_report(
            devices=(a_device(0, vram_total_mib=VRAM), a_device(1, vram_total_mib=VRAM)),
            volumes=(a_volume(**free), a_volume("published", **free)),
            queues=queues,
            ram_total_mib=RAM,
            ram_available_mib=RAM,
            cpu_count=float(CORES),
            sent_at=self.clock.now(),
        )

    def put(self, job_class: JobClass) -> None:
        self.count += 1
        job_id = f"job{self.count:05d}-0000"
        self.ledger.intake.put("b", [Entry(job_id=job_id, line=b"{}", job_class=job_class)])

    def look(self) -> None:
        """The first half of a tick; the world goes on before the second."""
        self.ledger.reports.publish(self.report(), 1e9)
        successions = self.ledger.handover.successions()
        snapshot, candidates = observe(self.ledger, NoRates())  # type: ignore[arg-type]
        decision = decide(snapshot, candidates, self.limits)
        assert decide(snapshot, candidates, self.limits) == decision
        self.looked = successions, decision

    def act(self) -> None:
        if self.looked is not None:
            successions, decision = self.looked
            apply(self.ledger, NoRates(), self.epoch, decision, successions)  # type: ignore[arg-type]
            self.looked = None

    def hear(self, queue: str, is_declined: bool = False) -> None:
        """The next word on who is preloaded behind what its worker runs."""
        word = self.ledger.attempts.next_preloaded(queue, 0.0)
        if word is None or (word.predecessor, word.of_attempt) != self.running[queue]:
            return
        begun = Begun(
            predecessor=word.predecessor, of_attempt=word.of_attempt, job_id=word.job_id, attempt=word.attempt
        )
        if word.successor is None:
            if queue not in self.has_begun and self.ready.get(queue, (None,))[0] == begun:
                del self.ready[queue]
                self._turn(queue, not_begun=(begun,))
        elif is_declined or queue in self.ready:
            self._turn(queue, not_begun=(begun,))
        else:
            self.ready[queue] = begun, word.successor.reservation

    def decline(self, queue: str) -> None:
        self.hear(queue, is_declined=True)

    def end_body(self, queue: str) -> None:
        """What is left to do for it takes a while; what lies ready runs beside that."""
        if queue in self.ready:
            self.has_begun.add(queue)

    def tick(self) -> None:
        self.look()
        self.act()

    def turn(self, queue: str) -> None:
        """What its worker runs ends well, having written all that it might; it takes the next."""
        self.end_body(queue)
        job, done = self.running[queue], ()
        if job is not None and (held := self._held(job)) is not None:
            self.written += sum(held.disk.values())
            files = (OutputFact(path=f"{root}:f", bytes=n, sha256="0" * 64) for root, n in held.disk.items())
            done = (self._receipt(job, tuple(files)),)
        elif job is not None:
            done = (self._receipt(job),)
        begun = (self.ready[queue][0],) if queue in self.has_begun else ()
        started = self._turn(queue, done=done, begun=begun, most=1, is_idle=not begun)
        self.running[queue] = (
            (started[0].reservation.job_id, started[0].reservation.attempt) if started else None
        )

    def _turn(self, queue: str, **what: Any) -> tuple[Started, ...]:
        """Where one that has begun may not run, it is ended first."""
        self.turns += 1
        turn = WorkerTurn(worker=queue, queue=queue, lease_s=1e9, number=str(self.turns), **what)
        turned = self.ledger.attempts.turn(turn)
        if turned.refused:
            self._drop(queue)
            return self._turn(queue, **{**what, "begun": ()})
        if turn.done:
            self._drop(queue)
        return turned.started

    def _drop(self, queue: str) -> None:
        self.ready.pop(queue, None)
        self.has_begun.discard(queue)

    def fail(self, queue: str) -> None:
        if (job := self.running[queue]) is not None:
            self._drop(queue)
            self.ledger.attempts.fail(self._receipt(job), Retry())
            self.running[queue] = None

    def lose(self, queue: str) -> None:
        if (job := self.running[queue]) is not None:
            self._drop(queue)
            self.ledger.orphans.rescue(*job, "lost", Retry())
            self.running[queue] = None

    def _held(self, job: tuple[str, int]) -> Reservation | None:
        held = self.ledger.handover.reservations()
        return next((r for r in held if (r.job_id, r.attempt) == job), None)

    def _receipt(self, job: tuple[str, int], outputs: tuple[OutputFact, ...] = ()) -> Receipt:
        return Receipt(
            v=1, job_id=job[0], attempt=job[1], workflow="w", task="media.cut", outcome="ok", started_at=1.0,
            ended_at=2.0, node="node1", worker="w", outputs=outputs,
        )  # fmt: skip

    def check(self) -> None:
        held = self.ledger.handover.reservations()
        vram = Counter[str]()
        for r in held:
            vram.update(dict.fromkeys(r.devices, r.vram_mib))
        assert all(amount <= VRAM for amount in vram.values())
        assert sum(r.ram_mib for r in held) <= RAM
        counted = Counter[str]()
        for r in held:
            counted.update(r.held)
        assert all(counted[key] <= MOST[key] for key in counted)
        assert sum(r.cpu for r in held) <= CORES
        ready = sum(sum(r.disk.values()) for _, r in self.ready.values())
        assert self.written + sum(sum(r.disk.values()) for r in held) + ready <= DISK
        waiting = self.ledger.tallies.counts()
        assert sum(waiting.values()) == self.count
        assert waiting["admitted"] + waiting["running"] == len(held)

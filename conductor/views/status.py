"""What is going on, as one value: read from the ledger here, turned into text or JSON elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from conductor.analysis.forecast.text import ForecastEnd, end_of
from conductor.core.admission.explain import jobs_named
from conductor.core.failures.stuck import Stuck
from conductor.model.calls import EndpointFault
from conductor.model.decision import Gate, GateLedger, Hold, Shared
from conductor.model.forecast import Forecast
from conductor.model.job_submission import JobSubmission
from conductor.model.ledger_entries import JobState
from conductor.model.pilot import EngineState, Pilot
from conductor.model.report import CounterReading, NodeReport
from conductor.model.served_by import ServedBy
from conductor.model.snapshot import Controls, KindState, RateState, Reservation
from conductor.model.spec import LANES, Lane, Value
from conductor.model.subject import FileNames, named, with_subjects
from conductor.ports import Ledger
from conductor.recovery.failover_words import failover_words
from conductor.verify.read_back_progress import ReadBackProgress
from conductor.views.dead_jobs import DeadJobs
from conductor.views.host_differences import HostDifference, differences
from conductor.views.host_differences import named as named_hosts
from conductor.views.staleness import LedgerAge, clock, ledger_age_of, standstill

#: Of those in flight, and of the classes that are held, so many are shown by the files they are about.
MOST_NAMED = 200
#: A failover of Redis is told of for a night.
FAILOVER_SHOWN_S = 12 * 3600.0
#: And of so many classes those jobs that the answers of their gates name.
MOST_CALLED = 40


class LaneStatus(Value, frozen=True, kw_only=True):
    lane: Lane
    workers: int = 0
    #: Handed over, not yet started.
    queued: int = 0
    running: int = 0
    is_paused: bool = False


class Status(Value, frozen=True, kw_only=True):
    """One look at everything. `now` is the ledger's clock, epoch seconds."""

    now: float
    leader: str | None = None
    #: Backlog → state → jobs.
    backlogs: dict[str, dict[JobState, int]] = {}
    lanes: tuple[LaneStatus, ...] = ()
    nodes: tuple[NodeReport, ...] = ()
    #: What pilots come from, and those that are not over.
    engines: tuple[EngineState, ...] = ()
    pilots: tuple[Pilot, ...] = ()
    #: What engines run one by one.
    submissions: tuple[JobSubmission, ...] = ()
    controls: Controls = Controls()
    #: Admitted and running attempts.
    active: tuple[Reservation, ...] = ()
    holds: tuple[Hold, ...] = ()
    #: Gate → seconds during which it held at least one class back, of all time.
    lost_s: dict[Gate, float] = {}
    #: Rate key → closed by a 429 until.
    closed_rates: dict[str, float] = {}
    #: Rate key → what is known against its endpoint.
    endpoint_faults: dict[str, EndpointFault] = {}
    #: What the last tick left of the budgets of APIs.
    rates: tuple[RateState, ...] = ()
    #: What users count by name, as the last tick left it; «node1/NAME» of one that is counted by the node.
    counters: tuple[Shared, ...] = ()
    #: Of those with a command: what that said.
    readings: dict[str, CounterReading] = {}
    #: Cause → dead jobs; `dependency_dead`: for the sake of the others.
    dead: dict[str, int] = {}
    #: By which server the ledger is whole.
    served_by: ServedBy | None = None
    #: The first few of those that died of themselves.
    graves: tuple[DeadJobs, ...] = ()
    #: Job → the file that it is about, of those in flight and of the first that wait.
    files: dict[str, str] = {}
    #: Job → what it is about, of those that the answers of the gates name.
    subjects: dict[str, str] = {}
    #: Kinds of jobs that failed alike since the last that did not.
    kinds: tuple[KindState, ...] = ()
    #: Jobs in flight that do not get on.
    stuck: tuple[Stuck, ...] = ()
    #: What was said of the run that goes on, or of the last one; when all is done, `end` says.
    forecast: Forecast | None = None
    end: ForecastEnd = ForecastEnd()
    #: Hosts that are silent, and in what the others are not alike.
    differences: tuple[HostDifference, ...] = ()
    #: How old all of this is, where nobody decides.
    ledger_age: LedgerAge = LedgerAge()
    #: What was published and has been read again, while the run goes on.
    read_back: ReadBackProgress | None = None
    notes: tuple[str, ...] = ()

    def subject(self, job_id: str, task: str) -> str:
        """«media.cut · clip7.mp4»."""
        return named(task, self.files.get(job_id, ""))

    def calling(self, words: Iterable[str]) -> list[str]:
        """Answers of gates, with the jobs in them called by what they are about; none twice."""
        return list(dict.fromkeys(with_subjects(word, self.subjects) for word in words))

    def total(self, *states: JobState) -> int:
        return sum(counts.get(state, 0) for counts in self.backlogs.values() for state in states)


def gather(ledger: Ledger, backlog: str | None = None, files: FileNames | None = None) -> Status:
    """Read it all, some twenty round trips; one backlog only when named. `files`: of who looks again and
    again. Raises `Unreachable`.
    """
    names = (backlog,) if backlog else sorted(ledger.tallies.backlogs())
    nodes = tuple(sorted(ledger.reports.live(), key=lambda node: node.node))
    active = tuple(sorted(ledger.handover.reservations(), key=lambda r: (r.admitted_at, r.job_id)))
    controls = ledger.control.controls()
    leader = ledger.leadership.leader()
    gates = ledger.gate_record.gates()
    now = ledger.bell.now()
    ledger_age = ledger_age_of(ledger, active, gates, now)
    holds = tuple(h for h in gates.holds if backlog in (None, h.backlog))
    asked, in_words = shown(active, holds), [i for h in holds[:MOST_CALLED] for i in jobs_named(h)]
    about, subjects = (files or FileNames(ledger.jobs.lines)).subjects(asked, in_words)
    schedulers = ledger.pilots.states()
    status = Status(
        now=now,
        leader=leader[0] if leader else None,
        backlogs={name: ledger.tallies.counts(name) for name in names},
        lanes=lanes_of(nodes, [r for r in active if r.job_id not in ledger_age.unheard], controls),
        nodes=nodes,
        engines=tuple(schedulers.engines.values()),
        pilots=tuple(pilot for pilot in schedulers.pilots.values() if pilot.state != "ended"),
        submissions=tuple(schedulers.submissions.values()),
        controls=controls,
        active=active,
        holds=holds,
        lost_s=lost_of(gates, names),
        closed_rates=ledger.calls.closings(),
        endpoint_faults=ledger.calls.endpoint_faults(),
        rates=gates.rates,
        counters=tuple(shared for shared in gates.shared if shared.gate == "counter"),
        readings=gates.counters,
        kinds=tuple(kind for kind in ledger.kinds.states()[0] if kind.failed),
        forecast=forecast_of(ledger, backlog),
        files=about,
        subjects=subjects,
        dead=ledger.tallies.causes(backlog),
        ledger_age=ledger_age,
        differences=differences(nodes, silent_of(ledger, nodes, controls), active, now),
        served_by=ledger.identity.served_by(),
    )
    left = status.total("waiting", "admitted", "running")
    end = end_of(status.forecast, left, ledger_age.has_leader, now)
    return status_with_notes(msgspec.structs.replace(status, end=end))


def silent_of(ledger: Ledger, nodes: Sequence[NodeReport], controls: Controls) -> dict[str, float]:
    """Node → when its last report was sent, of those that report no more and that nobody told to end."""
    seen, left = ledger.alerts.book().seen, ledger.reports.left()
    gone = seen.keys() - {node.node for node in nodes} - set(controls.draining_nodes)
    return {node: seen[node] for node in sorted(gone) if left.get(node, 0.0) < seen[node]}


def shown(active: Sequence[Reservation], holds: Iterable[Hold]) -> list[str]:
    """The jobs whose files anybody asks for: whatever waits is named by the first of its class."""
    return [*(r.job_id for r in active[:MOST_NAMED]), *islice((h.head for h in holds), MOST_NAMED)]


def lost_of(gates: GateLedger, backlogs: Iterable[str]) -> dict[Gate, float]:
    """Over these backlogs: where several were held, the longest of them counts."""
    lost: dict[Gate, float] = {}
    for backlog in backlogs:
        for gate, seconds in gates.lost_s.get(backlog, {}).items():
            lost[gate] = max(lost.get(gate, 0.0), seconds)
    return lost


def forecast_of(ledger: Ledger, backlog: str | None) -> Forecast | None:
    """The one of that backlog, or of all; the newest where both are given."""
    found = [f for f in ledger.forecasts.forecasts() if not backlog or f.backlog in ("", backlog)]
    return max(found, key=lambda f: f.made_at, default=None)


def lanes_of(
    nodes: Iterable[NodeReport], active: Iterable[Reservation], controls: Controls
) -> tuple[LaneStatus, ...]:
    workers: Counter[Lane] = Counter()
    for node in nodes:
        for queue in node.queues:
            workers[queue.lane] += queue.workers
    states = Counter((r.lane, r.state) for r in active)
    return tuple(
        LaneStatus(
            lane=lane,
            workers=workers[lane],
            queued=states[lane, "admitted"],
            running=states[lane, "running"],
            is_paused=lane in controls.paused_lanes,
        )
        for lane in LANES
    )


def status_with_notes(status: Status) -> Status:
    """What a person should be told beyond the numbers, most urgent first."""
    notes: list[str] = []
    if status.total("waiting", "admitted", "running") and status.leader is None:
        still = standstill(status.ledger_age, status.active, status.now)
        notes.append(f"{still} (`conductor up`, or `conductor conduct --until-done`)")
    if status.total("waiting") and not status.nodes and status.leader is not None:
        asked = ", ".join(engine.name for engine in status.engines)
        words = f"{asked} may bring one" if asked else "`conductor node` on each host with workers"
        notes.append(f"no node is running: {words}")
    if status.controls.is_draining:
        notes.append("draining: what runs is finished, nothing new starts (`conductor drain --undo`)")
    notes += [difference.words for difference in status.differences]
    if (served := status.served_by) and served.is_failover and status.now - served.at < FAILOVER_SHOWN_S:
        notes.append(f"{clock(served.at, status.now)}: {failover_words(served)}")
    notes += [f"{node} drains: nothing new starts there" for node in status.controls.draining_nodes]
    notes += [f"{at} is paused (`conductor resume {at}`)" for at in status.controls.paused_devices]
    notes += [
        f"counter {name}: its command tells nothing: {r.fault}"
        for name, r in status.readings.items()
        if r.fault
    ]
    notes += [f"{named_hosts(of)}: {note}" for note, of in by_note(status.nodes).items()]
    return msgspec.structs.replace(status, notes=tuple(notes))


def by_note(nodes: Sequence[NodeReport]) -> dict[str, list[str]]:
    """What nodes say of themselves, each once → those that say it."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        for note in node.notes:
            found.setdefault(note, []).append(node.node)
    return found


def noting(status: Status, note: str | None) -> Status:
    """`note` before all others."""
    return msgspec.structs.replace(status, notes=(note, *status.notes)) if note else status

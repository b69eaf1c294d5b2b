"""The gate ledger, the counts and what ended as Prometheus metrics, for `conductor metrics` and `/metrics`.

What stands in a label is a name that somebody chose (task, backlog, node, root, rate key): never an id or a
path, of which there would be ever more.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from conductor.base.text import printable
from conductor.model.alerts import Alert
from conductor.model.decision import GateLedger
from conductor.model.forecast import Forecast
from conductor.model.report import NodeReport
from conductor.model.told_event import ToldEvent
from conductor.ports import Ledger
from conductor.views.engine_list import pilots_by_state, submissions_by_state
from conductor.views.status import Status, gather

PREFIX = "conductor_"
MIB = 1 << 20
#: Seconds: from what is over in milliseconds to what takes a night.
BUCKETS = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0)

#: Values of labels, in the order of their names, and the figure.
Sample = tuple[tuple[str, ...], float]


def metrics(ledger: Ledger) -> str:
    """All that one look tells, in the text format. Raises `Unreachable`."""
    figures = ExposedFigures()
    gates, forecasts = ledger.gate_record.gates(), ledger.forecasts.forecasts()
    figures.see(gather(ledger), gates, forecasts, ledger.alerts.book().raised)
    return exposed(figures).decode()


def exposed(figures: ExposedFigures) -> bytes:
    return generate_latest(figures.registry)


class ExposedFigures(Collector):
    """What was seen last, and what was counted since this process began."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._seen: tuple[Metric, ...] = ()
        self._blocked = BlockedTime()
        self._ended: dict[tuple[str, ...], float] = {}
        self._took = self._histogram("job_duration", "How long attempts that ended well took.")
        self._waited = self._histogram(
            "job_wait", "From dispatch to the start of an attempt that ended well."
        )
        words = "How long the outputs of an attempt were looked through and put in place."
        self._checked = self._histogram("job_verify", words)
        #: Task → pictures, and what was found.
        self._frames: dict[tuple[str], float] = {}
        self._found: dict[tuple[str], float] = {}
        #: Task → pictures a second of the last job that ended.
        self._speed: dict[tuple[str], float] = {}
        #: (task, from, to) → jobs.
        self._fallbacks: dict[tuple[str, str, str], float] = {}
        self.registry.register(self)

    def see(
        self,
        status: Status,
        gates: GateLedger,
        forecasts: Iterable[Forecast],
        alerts: Iterable[Alert] = (),
    ) -> None:
        self._blocked.add(gates)
        self._seen = (*families(status, gates, forecasts), of_alerts(alerts), self._blocked.family())

    def hear(self, events: Iterable[ToldEvent]) -> None:
        """Ends of attempts, from the stream."""
        for event in events:
            task = str(event.fields.get("task", ""))
            if event.name in ("job.done", "jobs.done"):
                self._done(task, event)
            elif event.name == "job.failed":
                self._end(task, str(event.fields.get("cause", "")))
            elif event.name == "engine.fallback":
                engines = [str(event.fields.get(name, "")) for name in ("from_engine", "to_engine")]
                key = (task, engines[0], engines[1])
                self._fallbacks[key] = self._fallbacks.get(key, 0.0) + 1

    def _done(self, task: str, event: ToldEvent) -> None:
        """Of many at once the fields are sums: each counts as their mean."""
        jobs = max(1, int(_number(event, "jobs")))
        self._end(task, "ok", jobs)
        for histogram, field in (
            (self._took, "seconds"),
            (self._waited, "waited"),
            (self._checked, "checked"),
        ):
            of_task, each = histogram.labels(printable(task)), _number(event, field) / jobs
            for _ in range(min(jobs, 10_000)):
                of_task.observe(each)
        for counts, field in ((self._frames, "frames"), (self._found, "found")):
            if more := _number(event, field):
                counts[(task,)] = counts.get((task,), 0.0) + more
        if (frames := _number(event, "frames")) and (seconds := _number(event, "seconds")) > 0:
            self._speed[(task,)] = frames / seconds

    def _histogram(self, name: str, words: str) -> Histogram:
        return Histogram(f"{PREFIX}{name}_seconds", words, ("task",), buckets=BUCKETS, registry=self.registry)

    def _end(self, task: str, verdict: str, jobs: int = 1) -> None:
        self._ended[task, verdict] = self._ended.get((task, verdict), 0.0) + jobs

    def collect(self) -> Iterator[Metric]:
        yield from self._seen
        words = "Receipts that were handed in: ok, or the cause of the failure."
        yield counter("receipts", words, ("task", "verdict"), self._ended.items())
        words = "Pictures that tasks looked at or wrote, as their results say."
        yield counter("frames", words, ("task",), self._frames.items())
        words = "Pictures a second of the last job of a task that ended."
        yield gauge("frames_per_second", words, ("task",), self._speed.items())
        words = "Events that tasks found, as their results say."
        yield counter("events_found", words, ("task",), self._found.items())
        words = "Jobs whose work was done by another engine than it was meant for."
        yield counter("engine_fallbacks", words, ("task", "from", "to"), self._fallbacks.items())


def _number(event: ToldEvent, field: str) -> float:
    value = event.fields.get(field, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


class BlockedTime:
    """Seconds by gate and task: a class that goes takes its figure along, and a counter never falls."""

    def __init__(self) -> None:
        self._last: Mapping[tuple[str, str], float] = {}
        self._sum: dict[tuple[str, ...], float] = {}

    def add(self, gates: GateLedger) -> None:
        now: dict[tuple[str, str], float] = {
            (hold.class_id, gate): s for hold in gates.holds for gate, s in hold.lost_s.items()
        }
        tasks = {hold.class_id: hold.task for hold in gates.holds}
        for (class_id, gate), seconds in now.items():
            before = self._last.get((class_id, gate), 0.0)
            more = seconds - before if seconds >= before else seconds
            self._sum[gate, tasks[class_id]] = self._sum.get((gate, tasks[class_id]), 0.0) + more
        self._last = now

    def family(self) -> Metric:
        words = "Seconds during which a gate held jobs of a class (by its task) back."
        return counter("gate_blocked_seconds", words, ("gate", "class"), self._sum.items())


def gauge(name: str, words: str, labels: tuple[str, ...], samples: Iterable[Sample]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, words, labels=labels)
    for values, figure in samples:
        family.add_metric([*map(printable, values)], figure)
    return family


def counter(name: str, words: str, labels: tuple[str, ...], samples: Iterable[Sample]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, words, labels=labels)
    for values, figure in samples:
        family.add_metric([*map(printable, values)], figure)
    return family


# ── of one look ───────────────────────────────────────────────────────────────────────────────────────────


def families(status: Status, gates: GateLedger, forecasts: Iterable[Forecast]) -> Iterator[Metric]:
    yield from of_jobs(status, forecasts)
    yield from of_gates(status, gates)
    yield from of_nodes(status.nodes, gates, status.now)
    up = (((engine.name,), float(engine.away_since is None)) for engine in status.engines)
    yield gauge("engine_answers", "1 while an engine that pilots come from answers.", ("engine",), up)
    pilots = pilots_by_state(status.pilots).items()
    yield gauge("pilots", "Pilots that are not over.", ("engine", "state"), pilots)
    jobs = submissions_by_state(status.submissions).items()
    yield gauge("engine_jobs", "Jobs that engines run one by one.", ("engine", "state"), jobs)
    info = {"version": version("conductor-jobs"), "python": platform.python_version()}
    yield InfoMetricFamily("conductor_build", "This program.", value=info)


def of_jobs(status: Status, forecasts: Iterable[Forecast]) -> Iterator[Metric]:
    counts = Counter[tuple[str, ...]](
        {(state, name, ""): n for name, states in status.backlogs.items() for state, n in states.items()}
    )
    for held in status.active:
        if counts[held.state, held.backlog, ""] > 0:
            counts[held.state, held.backlog, ""] -= 1
            counts[held.state, held.backlog, held.task] += 1
    words = "Jobs; the task is known of those in flight."
    yield gauge("jobs", words, ("state", "backlog", "task"), counts.items())
    dead = (((cause,), float(n)) for cause, n in status.dead.items())
    yield gauge("dead_jobs", "Dead jobs by cause.", ("cause",), dead)
    error = (((f.backlog,), e) for f in forecasts if (e := forecast_error(f)) is not None)
    words = "What was said at the start of a run of its end, against what is said now or came to be."
    yield gauge("forecast_error_seconds", words, ("backlog",), error)


def of_alerts(alerts: Iterable[Alert]) -> Metric:
    """The subject is left out: it may be a job's id."""
    counts = Counter[tuple[str, ...]]((alert.rule, alert.level) for alert in alerts if alert.is_raised)
    return gauge("alerts", "Alerts that are raised now.", ("rule", "level"), counts.items())


def forecast_error(forecast: Forecast) -> float | None:
    end = forecast.ended_at if forecast.ended_at is not None else forecast.ends_at
    first = forecast.first_ends_at
    return None if end is None or first is None else end - first


def of_gates(status: Status, gates: GateLedger) -> Iterator[Metric]:
    held = (((b, g), s) for b, lost in gates.lost_s.items() for g, s in lost.items())
    words = "Seconds during which a gate held at least one class back."
    yield counter("held_seconds", words, ("backlog", "gate"), held)
    waiting = Counter[tuple[str, ...]]()
    for hold in gates.holds:
        waiting[hold.task, hold.backlog, str(hold.is_infeasible).lower()] += hold.waiting
    yield gauge(
        "held_jobs", "Jobs of classes that are held.", ("task", "backlog", "infeasible"), waiting.items()
    )
    for what, said in WORDS.items():
        rows = (((s.where, s.gate, s.unit), float(getattr(s, what))) for s in gates.shared)
        yield gauge(f"shared_{what}", said, ("place", "gate", "unit"), rows)
    yield gauge("rate_left", "What is left of an API's budget.", ("key", "budget"), _rates(gates))
    closed = (((r.key,), max(0.0, (r.closed_until or 0) - status.now)) for r in gates.rates)
    yield gauge("rate_closed_seconds", "A 429 keeps it closed for so long still.", ("key",), closed)
    age = [((), max(0.0, status.now - gates.at))] if gates.at else []
    yield gauge("record_age_seconds", "Age of the record that the gates' figures are of.", (), age)
    yield gauge("has_leader", "1 while a conductor leads.", (), [((), float(status.leader is not None))])


WORDS = {
    "limit": "Capacity less headroom of a device, a disk, a node's RAM or cores.",
    "reserved": "What admitted and running jobs hold of it.",
    "others": "What is used of it beyond that.",
    "free": "What is left to give.",
}


def _rates(gates: GateLedger) -> Iterator[Sample]:
    for rate in gates.rates:
        budgets = ("requests", rate.requests_left), ("tokens", rate.tokens_left), ("usd", rate.usd_left)
        for what, left in budgets:
            if left is not None:
                yield (rate.key, what), float(left)


def of_nodes(nodes: Iterable[NodeReport], gates: GateLedger, now: float) -> Iterator[Metric]:
    nodes = tuple(nodes)
    devices = [(node.node, device) for node in nodes for device in node.devices]
    used = (((n, d.key), float(d.vram_used_mib * MIB)) for n, d in devices if d.vram_used_mib is not None)
    yield gauge("vram_used_bytes", "Used by anyone.", ("node", "device"), used)
    for what, name in (("reserved", "promised"), ("free", "free")):
        rows = (
            ((*_apart(s.where),), float(getattr(s, what)) * MIB)
            for s in gates.shared
            if s.gate == "vram" and s.unit == "MiB"
        )
        yield gauge(f"vram_{name}_bytes", WORDS[what], ("node", "device"), rows)
    volumes = [(node.node, v) for node in nodes for v in node.volumes]
    free = (((n, v.root), float(v.free_bytes)) for n, v in volumes if v.free_bytes is not None)
    yield gauge("scratch_free_bytes", "Free on a root's disk.", ("node", "root"), free)
    taken = (
        ((n, v.root), float(v.total_bytes - v.free_bytes))
        for n, v in volumes
        if v.total_bytes is not None and v.free_bytes is not None
    )
    yield gauge("scratch_used_bytes", "Used on a root's disk, by anyone.", ("node", "root"), taken)
    faulty = (((n, v.root), float(bool(v.fault) or not v.is_writable)) for n, v in volumes)
    yield gauge("root_is_faulty", "1 while a root cannot be used.", ("node", "root"), faulty)
    workers = (((node.node, q.lane), float(q.workers)) for node in nodes for q in node.queues)
    summed = Counter[tuple[str, ...]]()
    for at, count in workers:
        summed[at] += int(count)
    yield gauge("workers", "Workers that live.", ("node", "lane"), summed.items())
    ages = (((node,), max(0.0, now - at)) for node, at in sorted(gates.reports.items()))
    yield gauge("report_age_seconds", "Age of a node's last report.", ("node",), ages)


def _apart(where: str) -> tuple[str, str]:
    node, _, device = where.partition("/")
    return node, device

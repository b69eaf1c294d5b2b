"""A `Status` as plain lines for `conductor status`. Pure: the same value gives the same lines."""

from __future__ import annotations

from collections.abc import Callable

from conductor.analysis.forecast.text import told
from conductor.base.hours import about
from conductor.base.text import duration, many, printable, short, size, table
from conductor.core.admission.earliest_start import is_never
from conductor.core.admission.explain import before, describe, prospects
from conductor.core.admission.sentences import obstacle_words, trouble_words
from conductor.core.rates.endpoint_breaker import asks_one_first
from conductor.model.decision import Hold
from conductor.model.ledger_entries import STATES
from conductor.model.report import NodeReport, Obstacle
from conductor.model.snapshot import Reservation
from conductor.model.subject import SHORT_ID
from conductor.views.dead_jobs import BEHIND, dead_lines
from conductor.views.engine_list import engine_lines
from conductor.views.frozen_jobs import frozen_words
from conductor.views.staleness import aside, clock, no_conductor
from conductor.views.status import Status

SHOWN_ROWS = 12
SHOWN_GATES = 5
#: Of what a job is about, in letters.
MOST_SUBJECT = 48


def lines(status: Status, red: Callable[[str], str] = str) -> list[str]:
    """Every section that has something to say, a blank line between them. `red`: what makes a line stand
    out.
    """
    sections = [
        backlogs(status),
        [*forecast(status), *proved(status)],
        running(status),
        stuck(status),
        never(status, red),
        held(status),
        dead(status),
        failing(status),
        lanes(status),
        engine_lines(status.engines, status.pilots, status.now, status.submissions),
        nodes(status),
        [f"note: {printable(note)}" for note in status.notes],
    ]
    out: list[str] = []
    for section in sections:
        if section:
            out += [*([""] if out else []), *section]
    return out


def backlogs(status: Status) -> list[str]:
    if not status.backlogs:
        return ["no backlog holds a job: `conductor plan`, then `conductor dispatch`"]
    paused = status.controls.paused_backlogs
    rows: list[list[object]] = [["backlog", *STATES, ""]]
    rows += [
        list[object]([name, *(counts.get(state, 0) for state in STATES), "paused" * (name in paused)])
        for name, counts in status.backlogs.items()
    ]
    return table(rows, indent="")


def forecast(status: Status) -> list[str]:
    """Of a run that goes on: when it ends; of one that has ended: how right that was."""
    found = status.forecast
    if status.total("waiting", "admitted", "running"):
        return [printable(status.end.words)]
    return [] if found is None or found.ended_at is None else [f"the last run: {told(found)}"]


def proved(status: Status) -> list[str]:
    """How far the proof is."""
    return [] if status.read_back is None else [status.read_back.words]


def running(status: Status) -> list[str]:
    if not status.active:
        return []
    rows = [active_row(r, status) for r in status.active[:SHOWN_ROWS]]
    is_over = not status.leader and not any(map(status.ledger_age.is_running, status.active))
    head = f"in flight when it stopped{aside(status.ledger_age, status.now)}:" if is_over else "in flight:"
    return [head, *table(rows), *more(len(status.active))]


def active_row(r: Reservation, status: Status) -> list[object]:
    """What it is about, its id, place, state and how long, progress. Of one whose worker is silent: until
    when it was heard.
    """
    since = r.started_at if r.state == "running" and r.started_at else r.admitted_at
    place = "/".join((r.node, *r.devices)) or r.queue
    done = "" if r.progress is None else f"{r.progress:.0%}"
    state = f"{r.state} {duration(status.ledger_age.moment(status.now) - since)}"
    if (until := status.ledger_age.unheard.get(r.job_id)) is not None:
        state = f"began {clock(since, status.now)}, no word since {clock(until, status.now)}"
    elif r.state == "running":
        state = frozen_words(r, status.now) or f"running {duration(status.now - since)}"
    subject = short(status.subject(r.job_id, r.task), MOST_SUBJECT)
    return [subject, r.job_id[:SHORT_ID], place, state, f"{done} {r.note}".strip()]


def stuck(status: Status) -> list[str]:
    if not status.stuck:
        return []
    rows: list[list[object]] = [
        [short(status.subject(s.job_id, s.task), MOST_SUBJECT), s.job_id[:SHORT_ID], s.seen, s.then]
        for s in status.stuck[:SHOWN_ROWS]
    ]
    head = "stuck (`conductor requeue JOB` takes one back, `conductor fail JOB` gives it up):"
    return [head, *table(rows), *more(len(status.stuck))]


def never(status: Status, red: Callable[[str], str]) -> list[str]:
    """What is not waiting: no node that reports could ever run it, or none beside what others use."""
    moment = status.ledger_age.moment(status.now)
    holds = [hold for hold in status.holds if is_never(hold, moment)]
    out = [line for hold in holds[:SHOWN_ROWS] for line in held_lines(hold, moment, status)]
    head = f"can never run here{aside(status.ledger_age, status.now)}:"
    return [red(line) for line in [head, *out, *more(len(holds))]] if out else []


def held(status: Status) -> list[str]:
    moment = status.ledger_age.moment(status.now)
    holds = [hold for hold in status.holds if not is_never(hold, moment)]
    out = [line for hold in holds[:SHOWN_ROWS] for line in held_lines(hold, moment, status)]
    return [f"held{aside(status.ledger_age, status.now)}:", *out, *more(len(holds))] if out else []


def held_lines(hold: Hold, now: float, status: Status) -> list[str]:
    since = f" for {duration(now - hold.since)}" if hold.since else ""
    first = f"  {many(hold.waiting, 'job')} of {hold.task} ({hold.lane}, backlog {hold.backlog}){since}:"
    when = about(now)
    words = status.calling(
        [*before(hold), *(describe(v, now, when) for v in hold.closed), *prospects(hold, now, when)]
    )
    rest = [f"    … and {many(len(words) - SHOWN_GATES, 'more answer')}"] if len(words) > SHOWN_GATES else []
    return [printable(first), *(f"    {printable(word)}" for word in words[:SHOWN_GATES]), *rest]


def dead(status: Status) -> list[str]:
    if not status.dead:
        return []
    rows: list[list[object]] = [
        [n, cause, "behind those" * (cause == BEHIND)] for cause, n in status.dead.items()
    ]
    rest = status.total("dead") - status.dead.get(BEHIND, 0) - len(status.graves)
    more_of_them = [f"  … and {rest} more that died of themselves"] if rest > 0 else []
    head = "dead, by cause (`conductor retry --cause CAUSE` sends them back, and those behind them):"
    return [head, *table(rows), *dead_lines(status.graves), *more_of_them]


def failing(status: Status) -> list[str]:
    if not status.kinds:
        return []
    out = ["failing alike (`conductor resume KIND` tries a closed one at once):"]
    for kind in status.kinds[:SHOWN_ROWS]:
        lasts = duration(status.now - (kind.since if kind.opened_at is None else kind.opened_at))
        tried = f", tried {many(kind.probes, 'time')} in vain" if kind.probes else ""
        how = f"for {lasts}" if kind.opened_at is None else f"closed for {lasts}{tried}"
        code = f" ({kind.version})" if kind.version else ""
        aside = "; what waited lies in review (`conductor retry --cause review`)" if kind.is_reviewed else ""
        out.append(
            printable(f"  {kind.kind}{code}: {how}: {kind.failed} × {kind.cause}: {kind.message}{aside}")
        )
    return out + more(len(status.kinds))


def lanes(status: Status) -> list[str]:
    rows: list[list[object]] = [["lane", "workers", "queued", "running", ""]]
    for lane in status.lanes:
        rows.append([lane.lane, lane.workers, lane.queued, lane.running, "paused" if lane.is_paused else ""])
    return table(rows, indent="") + budgets(status) + counters(status)


def counters(status: Status) -> list[str]:
    """«counter nuke: 3 of 3 held, 1 of them outside Conductor (told 4 s ago)»."""
    out: list[str] = []
    for shared in status.counters:
        reading = status.readings.get(shared.where)
        is_told = reading is not None and reading.others is not None
        age = f" (told {duration(reading.age_s)} ago)" if reading is not None and is_told else ""
        others = f", {shared.others:g} of them outside Conductor{age}" if shared.others and is_told else age
        held = f"{shared.limit - shared.free:g} of {shared.limit:g} held{others}"
        if shared.others >= shared.limit and (reading is None or reading.fault):
            why = reading.fault if reading is not None else "its command has not answered yet"
            held = f"{shared.reserved:g} of {shared.limit:g} held, none is given out: {why}"
        out.append(printable(f"  counter {shared.where}: {held}{aside(status.ledger_age, status.now)}"))
    return out[:SHOWN_ROWS] + more(len(out))


def budgets(status: Status) -> list[str]:
    """What is left of each API: «rate openai: 12 of 60 requests, 8000 of 90000 tokens, 3.20 of 5.00 USD
    left».
    """
    out = [closed(status, key) for key in sorted({*status.closed_rates, *status.endpoint_faults})]
    for rate in status.rates:
        told: list[str] = []
        if rate.requests_left is not None and rate.requests_limit is not None:
            learned = " (learned)" if rate.is_learned else ""
            told.append(f"{max(0, rate.requests_left)} of {rate.requests_limit} requests{learned}")
        if rate.tokens_left is not None and rate.tokens_limit is not None:
            told.append(f"{max(0, rate.tokens_left)} of {rate.tokens_limit} tokens")
        if rate.usd_left is not None and rate.usd_limit is not None:
            told.append(f"{max(0.0, rate.usd_left):.2f} of {rate.usd_limit:.2f} USD")
        if told:
            out.append(
                f"  rate {printable(rate.key)}: {', '.join(told)} left{aside(status.ledger_age, status.now)}"
            )
    return out


def closed(status: Status, key: str) -> str:
    """«rate openai: rate limit, reopens in 12 s», «rate local: local did not answer: Connection refused (for
    4 min, 6 times), asked again in 80 s»."""
    endpoint_fault, until, now = (
        status.endpoint_faults.get(key),
        status.closed_rates.get(key, 0.0),
        status.now,
    )
    words = (
        "rate limit"
        if endpoint_fault is None
        else trouble_words(key, endpoint_fault.trouble, endpoint_fault.words)
    )
    is_limit = endpoint_fault is None or endpoint_fault.trouble == "limited"
    if endpoint_fault is not None and not is_limit:
        words += f" (for {duration(now - endpoint_fault.since)}, {many(endpoint_fault.times, 'time')})"
    then = ("reopens" if is_limit else "asked again") if until > now else ""
    when = f"{then} in {duration(until - now)}" if then else "one job asks before the others follow"
    if endpoint_fault is not None and until <= now and not asks_one_first(endpoint_fault):
        when = "not closed for it"
    return printable(f"  rate {key}: {words}, {when}")


def nodes(status: Status) -> list[str]:
    leader = (
        f"led by {printable(status.leader)}" if status.leader else no_conductor(status.ledger_age, status.now)
    )
    out = [f"{many(len(status.nodes), 'node')}, {leader}"]
    for node in status.nodes:
        out += node_lines(node)
    return out


def node_lines(node: NodeReport) -> list[str]:
    ram = "RAM unknown"
    if node.ram_available_mib is not None and node.ram_total_mib is not None:
        ram = f"RAM {size(node.ram_available_mib * 2**20)} free of {size(node.ram_total_mib * 2**20)}"
    closed = "".join(f", starts nothing: {since_words(o)}" for o in node.obstacles if not o.device)
    draining = ", draining" if node.is_draining else ""
    out = [printable(f"  {node.node}: {node.cpu_count:g} cores, {ram}{draining}{closed}")]
    for device in node.devices:
        used = "use unknown" if device.vram_used_mib is None else f"{device.vram_used_mib} MiB used"
        fault = f", not used: {device.quarantined}" if device.quarantined else ""
        fault += "".join(
            f", starts nothing: {since_words(o)}" for o in node.obstacles if o.device == device.key
        )
        ours = f" ({sum(device.ours.values())} ours)" if device.ours else ""
        of = f"{device.vram_total_mib} MiB" if device.vram_total_mib else "unknown size"
        declared = ", as declared" if device.is_declared else ""
        name = f"{device.key} {device.name}" + (" (a slice)" if device.is_slice else "")
        out.append(printable(f"    {name}: {used}{ours} of {of}{declared}{fault}"))
    out += [printable(f"    {q.queue} keeps warm: {', '.join(q.warm)}") for q in node.queues if q.warm]
    for volume in node.volumes:
        free = "free space unknown" if volume.free_bytes is None else f"{size(volume.free_bytes)} free"
        if volume.removable_bytes:
            free += f", {size(volume.removable_bytes)} more when it is wanted (read by all)"
        at = "" if volume.fault and volume.path in volume.fault else f" at {volume.path}"
        out.append(printable(f"    {volume.root}{at}: {volume.fault or free}"))
    return out


def since_words(obstacle: Obstacle) -> str:
    """«it is too hot (now 86 °C, opens at 78 °C), since 18:03»."""
    return f"{obstacle_words(obstacle)}, since {clock(obstacle.since, obstacle.since)}"


def more(count: int) -> list[str]:
    return [f"  … and {count - SHOWN_ROWS} more"] if count > SHOWN_ROWS else []

"""The live view for a terminal: jobs by state, what runs where, what is held by which gate, how long
still.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from conductor.base.hours import about
from conductor.base.text import duration, many, printable, short
from conductor.core.admission.explain import describe, leading
from conductor.model.snapshot import Reservation
from conductor.model.subject import SHORT_ID
from conductor.views.frozen_jobs import frozen_words
from conductor.views.run_summary import Pace, ended, left
from conductor.views.staleness import aside, clock, standstill
from conductor.views.status import Status

SHOWN_JOBS = 14
SHOWN_HOLDS = 4
BAR_WIDTH = 40
MOST_SUBJECT = 40
COLOURS = {"waiting": "white", "admitted": "cyan", "running": "blue", "done": "green", "dead": "red"}


def render(pace: Pace, footer: str = "") -> RenderableType:
    """The whole view of the last status; `footer` is one line that stays (an address)."""
    status = pace.last
    parts: list[RenderableType] = [headline(pace), bar(status)]
    if status.active:
        parts.append(jobs(status))
    parts += [Text(line, style="yellow") for line in holds(status)]
    parts += [Text(f"note: {printable(note)}", style="dim") for note in status.notes]
    if footer:
        parts.append(Text(footer, style="dim"))
    return Group(*parts)


def headline(pace: Pace) -> Text:
    status = pace.last
    text = Text()
    for state in ("waiting", "admitted", "running", "done", "dead"):
        text.append(f"{status.total(state)} {state}  ", style=COLOURS[state])
    for state in ("review", "cancelled"):
        if count := status.total(state):
            text.append(f"{count} {state}  ")
    return text.append(speed(pace), style="bold")


def speed(pace: Pace) -> str:
    """«2.4 jobs/s, done about 03:40 (in 2 h 10 min)»."""
    words = pace.last.end.words
    if pace.per_s == 0 or left(pace.last) == 0:
        return words
    rate = f"{pace.per_s:.1f} jobs/s" if pace.per_s >= 0.95 else f"{pace.per_s * 60:.1f} jobs/min"
    return f"{rate}, {words}"


def bar(status: Status) -> Text:
    """What has ended, what runs counted by its progress, the rest."""
    whole = max(1, left(status) + ended(status))
    filled = round(BAR_WIDTH * (ended(status) + sum(r.progress or 0.0 for r in status.active)) / whole)
    return Text("━" * filled, style="green").append("━" * (BAR_WIDTH - filled), style="bright_black")


def jobs(status: Status) -> Table:
    table = Table(box=None, pad_edge=False, expand=False)
    for title in ("job", "id", "where", "since", "", "VRAM"):
        table.add_column(title, header_style="dim", no_wrap=True)
    for r in status.active[:SHOWN_JOBS]:
        table.add_row(*row(r, status))
    if (hidden := len(status.active) - SHOWN_JOBS) > 0:
        table.add_row(f"… and {hidden} more")
    return table


def row(r: Reservation, status: Status) -> list[Text]:
    is_running = r.state == "running" and r.started_at is not None
    since = duration(status.now - (r.started_at or r.admitted_at)) if is_running else "queued"
    since = frozen_words(r, status.now) or since
    if (until := status.ledger_age.unheard.get(r.job_id)) is not None:
        is_running, since = False, f"no word since {clock(until, status.now)}"
    progress = "" if r.progress is None else f"{r.progress:4.0%} "
    used = r.usage.vram_mib if r.usage else None
    vram = "" if not r.vram_mib else f"{'?' if used is None else used} of {r.vram_mib} MiB"
    cells = [
        short(status.subject(r.job_id, r.task), MOST_SUBJECT),
        r.job_id[:SHORT_ID],
        "/".join((r.node, *r.devices)),
        since,
        progress + printable(r.note)[:40],
        vram,
    ]
    return [Text(printable(cell), style="" if is_running else "dim") for cell in cells]


def holds(status: Status) -> list[str]:
    """One line a class: the gate that says most about why it stays."""
    out: list[str] = []
    held, moment = f"held{aside(status.ledger_age, status.now)}", status.ledger_age.moment(status.now)
    for hold in status.holds[:SHOWN_HOLDS]:
        verdict = leading(hold)
        why = describe(verdict, moment, about(moment)) if verdict else "its turn has not come"
        (named,) = status.calling([why])
        out.append(printable(f"{held}: {many(hold.waiting, 'job')} of {hold.task}: {named}"))
    if (hidden := len(status.holds) - SHOWN_HOLDS) > 0:
        out.append(f"{held}: {hidden} more kinds of jobs")
    return out


def one_line(pace: Pace) -> str:
    """The view for a pipe or a log: «12 of 50 done, 3 running, 35 waiting; 2.1 jobs/s, done about 03:40
    (in 2 h)».
    """
    status = pace.last
    words = [f"{status.total('done')} of {left(status) + ended(status) + status.total('review')} done"]
    for state in ("running", "admitted", "waiting", "dead", "review"):
        if count := status.total(state):
            words.append(f"{count} {'in review' if state == 'review' else state}")
    gates = sorted({verdict.gate for hold in status.holds for verdict in hold.closed})
    held = f"; held by {', '.join(gates)}" if gates else ""
    if left(status) and not status.ledger_age.has_leader:
        held = f"; {standstill(status.ledger_age, status.active, status.now)}"
    return f"{', '.join(words)}{f'; {speed(pace)}' if speed(pace) else ''}{held}"

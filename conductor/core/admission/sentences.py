"""Reason → sentence: the only place that makes words of a gate's answer. A test holds that no reason lacks
its row.

The words say what the reason means with its own data. `conductor.core.admission.explain` puts place, need,
have, holders and instants around them. The table stands in the core and not in the views, because the
conductor's log, replay and audit say the same words, and none of these may import a view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from conductor.base.text import duration, many, size
from conductor.model.calls import Trouble
from conductor.model.decision import Verdict
from conductor.model.reason import Detail, Reason
from conductor.model.report import Obstacle
from conductor.model.snapshot import KindState
from conductor.model.subject import SHORT_ID

SHOWN_HOLDERS = 3
#: What would not end, were it let in where there is room for it.
UNFINISHED = {
    Reason.CHAIN_UNSAFE: "what was begun could not all be finished",
    Reason.CHAINS_CROWDED: "chains that were begun there could not all be finished",
}
UNIT_BYTES = {"MiB": 1 << 20, "bytes": 1}

Words = Callable[[Verdict], str]


def _unfinished(v: Verdict) -> str:
    fits = "it fits, but then" if v.need <= v.have else "and with room"
    return f"{fits} {UNFINISHED[v.reason]}"


def words_of(verdict: Verdict) -> str:
    """«the gpu lane is paused», «20.0 GiB used by others»; empty where the numbers say all."""
    return SENTENCES[verdict.reason](verdict)


def amount(value: float, unit: str) -> str:
    """«10.0 GiB», «4 cores», «3 jobs»."""
    factor = UNIT_BYTES.get(unit)
    return size(value * factor) if factor else f"{value:g} {unit}".strip()


def failures_words(kind: str, of: KindState | Detail) -> str:
    """«5 of media.render failed alike: task_error: KeyError: 'fps'»."""
    words = of.message if isinstance(of, KindState) else of.words
    return f"{of.failed} of {kind} failed alike: {of.cause}: {words}"


def reviewed_words(kind: str, jobs: int, state: KindState | None) -> str:
    """«994 jobs of media.render in review: 6 failed alike (task_error: KeyError: 'fps')», and what to do.
    `state`: of the breaker that closed it; None for those that only come after others."""
    if state is None:
        return f"{many(jobs, 'job')} of {kind} in review: they come after jobs that are"
    alike = f"{state.failed} failed alike ({state.cause}: {state.message})"
    return f"{many(jobs, 'job')} of {kind} in review: {alike}: fix it, then `conductor retry --cause review`"


def trouble_words(key: str, trouble: Trouble, words: str) -> str:
    """For a person: the server's own words; of one that refuses everybody, how its gate is opened."""
    if trouble == "limited":
        return "rate limit"
    then = f"; put it right, then `conductor resume {key}`" if trouble == "refuses" else ""
    return f"{words or key + ' is not well'}{then}"


def obstacle_words(obstacle: Obstacle) -> str:
    """«it is too hot (now 86 °C, opens at 78 °C)»."""
    return _with_figures(obstacle.words, obstacle.figure, obstacle.opens_at, obstacle.unit)


def _with_figures(words: str, figure: float, opens_at: float, unit: str) -> str:
    if words and figure == opens_at:
        return words  # nothing was measured
    unit = f" {unit}".rstrip()
    return f"{words} (now {figure:g}{unit}, opens at {opens_at:g}{unit})"


# ── of one gate each ──────────────────────────────────────────────────────────────────────────────────────


def _nothing(v: Verdict) -> str:
    return ""


def _own_words(v: Verdict) -> str:
    return v.detail.words


def _unknown_task(v: Verdict) -> str:
    return (
        f"no worker {'of it' if v.where else 'anywhere'} knows the task {v.detail.task!r} yet: its module "
        "is not there,"
        " cannot be imported, or is not in task_modules"
    )


def _first(v: Verdict) -> str:
    return v.holders[0][:SHORT_ID] if v.holders else "another job"


def _failures(v: Verdict) -> str:
    return failures_words(v.detail.kind, v.detail)


def _breaker(v: Verdict) -> str:
    return f"breaker open: {_failures(v)}"


def _canary(v: Verdict) -> str:
    going = v.holders
    ids = ", ".join(f"{job_id[:SHORT_ID]}…" for job_id in going[:SHOWN_HOLDERS])
    ids += ", …" if len(going) > SHOWN_HOLDERS else ""
    return f"canary: {v.have:g} of {v.limit:g} verified, {len(going)} running ({ids})"


def _canary_shown(v: Verdict) -> str:
    return (
        f"canary by eye: {v.have:g} of {v.limit:g} accepted, {many(round(v.need), 'job')} to look at "
        "(`conductor review`)"
    )


def _untried(v: Verdict) -> str:
    who = "first has" if v.detail.most == 1 else f"{v.detail.most} that began last have"
    return f"no receipt tells what {v.detail.kind} takes yet: more of it begin once the {who} shown it"


def _part(v: Verdict) -> str:
    """«gpu0» of «node1/gpu0»."""
    return v.where.partition("/")[2]


def _queue_full(v: Verdict) -> str:
    words = f"{v.detail.queued} queued of {v.limit:g}"
    if not v.holders:
        return words
    to_end = v.detail.queued - round(v.limit) + 1
    queued = f", {to_end - len(v.holders)} of the queued ones among them" if to_end > len(v.holders) else ""
    return f"{words}: {many(to_end, 'job')} {'has' if to_end == 1 else 'have'} to end first{queued}"


def _others(v: Verdict) -> str:
    if not v.detail.others:
        return ""
    taken = "taken by files that lie there" if v.gate == "scratch" else "used by others"
    return f"{amount(v.detail.others, v.unit)} {taken}"


def _too_large(v: Verdict) -> str:
    """Of a device its own size only where conductor.toml says it, or could."""
    told = v.detail
    if v.gate == "scratch" and told.total:
        whole, kept = amount(told.total, v.unit), amount(told.headroom, v.unit)
        return f"{whole} in all, headroom_bytes keeps {kept} of it free"
    if told.words:
        return told.words
    if told.is_declared:
        return f"{amount(told.total, v.unit)}, as devices.{_part(v)}.vram_mib says"
    return amount(v.limit, v.unit)


def _devices(v: Verdict) -> str:
    seen = f"{v.have:g} of {v.limit:g} devices fit it" if v.limit else "no NVIDIA device visible"
    return f"{seen} (slices of cards cannot be used together)" if v.detail.has_slices else seen


def _obstructed(v: Verdict) -> str:
    return _with_figures(v.detail.words, v.have, v.limit, v.unit)


def _counter_stale(v: Verdict) -> str:
    told = v.detail
    ago = "" if told.age_s is None else f" (the last answer is {duration(told.age_s)} old)"
    why = f": {told.words}" if told.words else ""
    return f"its command tells nothing{why}{ago}; none is given out until it does"


def _trouble(v: Verdict) -> str:
    return trouble_words(v.where, v.detail.trouble or "limited", v.detail.words)


SENTENCES: Mapping[Reason, Words] = {
    Reason.OPEN: _nothing,
    Reason.RUNS_ON_CPU: lambda v: "runs on the CPU, no VRAM is asked",
    Reason.NO_KNOWN_LIMIT: lambda v: "no known limit",
    # report
    Reason.STALE_REPORT: lambda v: f"last report is {v.have:.0f} s old",
    Reason.NO_FRESH_REPORT: lambda v: "no fresh report",
    Reason.NO_NODE: lambda v: "no node reports",
    Reason.NO_WORKERS: lambda v: f"no node has workers of the {v.detail.lane} lane",
    Reason.WORKERS_DYING: lambda v: f"workers of {v.detail.queue} keep dying at start: {v.detail.words}",
    Reason.HOME_WITHOUT_WORKERS: lambda v: (
        f"its files are there, and it has no workers of the {v.detail.lane} lane"
    ),
    Reason.HOME_SILENT: lambda v: (
        "its files are there, and it does not report: start its node, or make them elsewhere "
        "(`conductor redo` of the jobs that made them)"
    ),
    Reason.ASKED_NODE_SILENT: lambda v: "it is to run there, and it does not report",
    Reason.ASKED_NODE_WITHOUT_WORKERS: lambda v: (
        f"it is to run there, and it has no workers of the {v.detail.lane} lane"
    ),
    Reason.UNKNOWN_TASK: _unknown_task,
    # hold
    Reason.UNREAD_TASK: lambda v: (
        f"the conductor has not read the task {v.detail.task!r} yet: its module is not there, cannot be"
        " imported, or is not in task_modules"
    ),
    Reason.HELD_BACK: _own_words,
    Reason.DRAINING: lambda v: "draining: nothing new is started",
    Reason.LANE_PAUSED: lambda v: f"the {v.where} lane is paused",
    Reason.BACKLOG_PAUSED: lambda v: (
        f"the {v.where} backlog is paused, until `conductor resume backlog:{v.where}`"
    ),
    Reason.LANE_OUTSIDE_HOURS: lambda v: f"the {v.where} lane is outside its hours",
    Reason.BACKLOG_OUTSIDE_HOURS: lambda v: f"the {v.where} backlog is outside its hours",
    Reason.NODE_DRAINING: lambda v: "draining",
    Reason.HOME_DRAINING: lambda v: (
        f"draining, and its files are there: let it take work again (`conductor drain {v.where} --undo`, or "
        "start its node), or make them elsewhere (`conductor redo` of the jobs that made them)"
    ),
    Reason.NODE_ENDS: lambda v: f"ends in {v.have:.0f} s, and the job takes {v.need:.0f} s",
    Reason.BEYOND_ONE_JOB: lambda v: (
        f"one job gets {v.limit:g} {v.unit} there, and it takes {v.need:g} (engines.{v.where})"
    ),
    Reason.ENGINE_REFUSES: lambda v: f"it refused such a job: {v.detail.words}",
    Reason.DEVICE_PAUSED: lambda v: f"quarantined: by the operator, until `conductor resume {v.where}`",
    Reason.DEVICE_QUARANTINED: lambda v: f"quarantined: {v.detail.words}",
    Reason.OBSTRUCTED: _obstructed,
    Reason.DEVICE_MISSING: lambda v: f"{_part(v)} is not visible",
    Reason.REVIEW_DEBT: lambda v: (
        f"{many(round(v.have), 'job')} in review, more than {v.limit:g} (breaker.review_debt)"
    ),
    Reason.BREAKER_WAITS: _breaker,
    Reason.BREAKER_TRIES: lambda v: f"{_breaker(v)}; one of it is being tried",
    Reason.BREAKER_SPENT: lambda v: f"{_breaker(v)}; tried {many(v.detail.tries, 'time')} in vain",
    Reason.FAILING_ALIKE: lambda v: f"{_failures(v)}; {len(v.holders)} more of it are being tried",
    Reason.CANARY: _canary,
    Reason.CANARY_SHOWN: _canary_shown,
    Reason.UNTRIED: _untried,
    Reason.PLACE_RESERVED: lambda v: f"kept free for {_first(v)}, which others passed",
    Reason.BUDGET_RESERVED: lambda v: f"kept for {_first(v)}, which was passed over for too long",
    Reason.NOT_ITS_TURN: lambda v: f"waits its turn behind {_first(v)}",
    # after
    Reason.COMES_AFTER: lambda v: f"waits for {many(round(v.need), 'job')}",
    # mount
    Reason.ROOT_UNDECLARED: lambda v: f"{_part(v)} is not declared on {v.where.partition('/')[0]}",
    Reason.ROOT_FAULTY: _own_words,
    Reason.ROOT_READ_ONLY: lambda v: "not writable",
    Reason.FILES_ON_THE_WAY: lambda v: f"its files are on their way there (transfer {_first(v)})",
    Reason.FILES_TO_GO: lambda v: "its files are to be brought there",
    Reason.FILES_APART: lambda v: "a file that it reads is there, and its other files are not",
    Reason.FILES_ELSEWHERE: lambda v: "its files are there, and it asks for another node",
    Reason.NO_SHARED_ROOT: lambda v: (
        "it could run there, but its files cannot be brought: no root is shared by both nodes; mount one "
        "folder on both, and name it as a root with a marker in both conductor.toml"
    ),
    Reason.NO_OTHER_NODE: lambda v: "its files are there, and no other node could run it either",
    Reason.TRANSFER_FAILED: lambda v: (
        f"its files could not be brought there: transfer {_first(v)} came to nothing; `conductor explain` "
        "says why, then `conductor retry` it"
    ),
    # lane
    Reason.QUEUE_FULL: _queue_full,
    # any amount
    Reason.NO_ROOM: _others,
    Reason.CROWDED_OUT: _others,
    Reason.TOO_LARGE: _too_large,
    Reason.NOT_READABLE: lambda v: "free space is not known" if v.gate == "scratch" else "not known",
    # counter
    Reason.COUNTER_TAKEN: lambda v: f"{v.limit - v.have:g} of {v.limit:g} held",
    Reason.COUNTER_TOO_SMALL: lambda v: f"its limit is {v.limit:g}",
    Reason.COUNTER_UNDECLARED: lambda v: (
        f"there is no [counters.{v.where.rpartition('/')[2]}] in conductor.toml"
    ),
    Reason.COUNTER_SILENT: lambda v: "none is given out until its command answers",
    Reason.COUNTER_STALE: _counter_stale,
    # vram, of several devices
    Reason.NO_DEVICE: _devices,
    Reason.TOO_FEW_FREE: _devices,
    Reason.TOO_FEW_LARGE: lambda v: (
        f"can never: it needs {v.need:g} devices, {v.detail.capable} of {v.limit:g} are large enough"
    ),
    Reason.DEVICE_UNSERVED: lambda v: ", ".join(
        words for words in (_others(v), "large enough, and no worker is bound to it") if words
    ),
    # scratch
    Reason.DISK_CLOSED: lambda v: (
        f"closed: less than {amount(v.detail.headroom, v.unit)} was free, opens at {amount(v.limit, v.unit)}"
    ),
    Reason.CHAIN_UNSAFE: _unfinished,
    Reason.CHAINS_CROWDED: _unfinished,
    Reason.CHAIN_TOO_LARGE: lambda v: (
        "no order is known in which its chain finishes on this disk, even with it to itself"
    ),
    # rate
    Reason.RATE_LIMITED: lambda v: "rate limit",
    Reason.ENDPOINT_UNAVAILABLE: _trouble,
    Reason.ENDPOINT_REFUSES: _trouble,
    Reason.ONE_ASKS_FIRST: lambda v: f"one job asks first: {_trouble(v)}",
    Reason.BUDGET_SHORT: lambda v: "rate limit",
    Reason.CALL_TOO_LARGE: lambda v: (
        f"one call needs {v.need:g} {v.unit}, {v.where} allows {v.limit:g} a minute"
    ),
    Reason.MONEY_SPENT: lambda v: "spent for these 24 hours",
    Reason.CALL_TOO_DEAR: lambda v: (
        f"one call needs {v.need:g} {v.unit}, {v.where} allows {v.limit:g} in 24 hours"
    ),
}

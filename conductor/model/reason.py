"""Reason: what a gate's answer means, one member a meaning, and what belongs to it as data.

The core chooses it; `conductor.core.admission.sentences` alone makes words of it. Whoever asks what an answer
means compares the reason, and never words. What every answer has (place, need, have, limit, holders, instant)
is in `Verdict`; what only some meanings have is in `Detail`, and each member below names its fields of that.
"""

from __future__ import annotations

from enum import StrEnum

from conductor.model.calls import Trouble
from conductor.model.causes import Cause
from conductor.model.spec import Exchanged, Lane


class Reason(StrEnum):
    """Said by the gate that heads its section; those of «any amount» by vram, ram, cpu and scratch."""

    # ── the gate is open ──────────────────────────────────────────────────────────────────────────────────
    #: There is room, or nothing stands against it.
    OPEN = "open"
    #: vram: its workers there run on the CPU, so that no VRAM is asked.
    RUNS_ON_CPU = "runs_on_cpu"
    #: rate: no limit of this budget is known.
    NO_KNOWN_LIMIT = "no_known_limit"

    # ── report ────────────────────────────────────────────────────────────────────────────────────────────
    #: The node's last report is `have` seconds old, more than `limit`.
    STALE_REPORT = "stale_report"
    #: Nodes have workers of the lane, and none of them has reported in time.
    NO_FRESH_REPORT = "no_fresh_report"
    #: No node reports at all.
    NO_NODE = "no_node"
    #: Nodes report, and none has workers of the lane. `lane`
    NO_WORKERS = "no_workers"
    #: Its workers die at each start. `queue`; `words`: how the last one ended.
    WORKERS_DYING = "workers_dying"
    #: The job's files lie on a node that has no workers of the lane. `lane`
    HOME_WITHOUT_WORKERS = "home_without_workers"
    #: The job's files lie on a node that does not report.
    HOME_SILENT = "home_silent"
    #: The job asks for a node that does not report, or has no workers of the lane. `lane`
    ASKED_NODE_SILENT = "asked_node_silent"
    ASKED_NODE_WITHOUT_WORKERS = "asked_node_without_workers"
    #: Nodes report, and no worker of theirs knows the task. `task`
    UNKNOWN_TASK = "unknown_task"

    # ── hold ──────────────────────────────────────────────────────────────────────────────────────────────
    #: The conductor has not read how the task is declared: its canaries are not known yet. `task`
    UNREAD_TASK = "unread_task"
    #: The conductor starts nothing: its ledger was emptied, or is not settled. `words`: why.
    HELD_BACK = "held_back"
    #: The operator drains everything.
    DRAINING = "draining"
    #: The operator paused the lane, which is `where`.
    LANE_PAUSED = "lane_paused"
    #: The lane, or the backlog, which is `where`, is outside its hours until `reopens_at`.
    BACKLOG_PAUSED = "backlog_paused"
    LANE_OUTSIDE_HOURS = "lane_outside_hours"
    BACKLOG_OUTSIDE_HOURS = "backlog_outside_hours"
    #: The operator drains the node, or it ends by itself.
    NODE_DRAINING = "node_draining"
    #: The same, of the node where the job's files lie: no other one can take it.
    HOME_DRAINING = "home_draining"
    #: The node ends in `have` seconds, and the job takes `need`.
    NODE_ENDS = "node_ends"
    #: The node is an engine, which gives one job `limit` `unit`, and the job takes `need`.
    BEYOND_ONE_JOB = "beyond_one_job"
    #: The node is an engine, which refused such a job. `words`: its own, until `reopens_at`.
    ENGINE_REFUSES = "engine_refuses"
    #: The operator paused the device.
    DEVICE_PAUSED = "device_paused"
    #: The device is not to be trusted. `words`: why.
    DEVICE_QUARANTINED = "device_quarantined"
    #: A node-side gate found its host, or a device, `have` `unit`: it opens at `limit`. `obstacle`, `words`
    OBSTRUCTED = "obstructed"
    #: Workers are bound to a device that the driver does not show.
    DEVICE_MISSING = "device_missing"
    #: `have` jobs of its backlog lie in review, more than `limit`.
    REVIEW_DEBT = "review_debt"
    #: The breaker of its kind is open: next try at `reopens_at`. `kind`, `failed`, `cause`, `words`
    BREAKER_WAITS = "breaker_waits"
    #: The same, and `holders` are being tried. `kind`, `failed`, `cause`, `words`
    BREAKER_TRIES = "breaker_tries"
    #: The same, and all `tries` were in vain. `kind`, `failed`, `cause`, `words`, `tries`
    BREAKER_SPENT = "breaker_spent"
    #: Some of its kind failed alike, and no more than may still fail are tried: `holders`. `kind`, `failed`,
    #: `cause`, `words`
    FAILING_ALIKE = "failing_alike"
    #: Canaries of its kind go first: `have` of `limit` are verified, `holders` are under way.
    CANARY = "canary"
    #: The same, and `need` of them wait for a person's word.
    CANARY_SHOWN = "canary_shown"
    #: No receipt tells what its kind takes: `holders` have to show it first. `kind`; `most`: so many at once.
    UNTRIED = "untried"
    #: The place is kept free for `holders`, which others passed.
    PLACE_RESERVED = "place_reserved"
    #: The budget, which is `where`, is kept for `holders`, which others passed.
    BUDGET_RESERVED = "budget_reserved"
    #: In a strict order: its turn comes behind `holders`.
    NOT_ITS_TURN = "not_its_turn"

    # ── after ─────────────────────────────────────────────────────────────────────────────────────────────
    #: It waits for `need` jobs: `holders`.
    COMES_AFTER = "comes_after"

    # ── mount ─────────────────────────────────────────────────────────────────────────────────────────────
    #: The node does not declare the root. Never.
    ROOT_UNDECLARED = "root_undeclared"
    #: The root cannot be used now. `words`: why.
    ROOT_FAULTY = "root_faulty"
    ROOT_READ_ONLY = "root_read_only"
    #: Transfers, which are `holders`, bring the files that it reads to the node.
    FILES_ON_THE_WAY = "files_on_the_way"
    #: A transfer to the node is being planned.
    FILES_TO_GO = "files_to_go"
    #: A file that it reads lies there, and its chain is on another node.
    FILES_APART = "files_apart"
    #: Its files lie there, and it asks for another node.
    FILES_ELSEWHERE = "files_elsewhere"
    #: It could run there, and there is no way for its files: no root is shared by both nodes. Never.
    NO_SHARED_ROOT = "no_shared_root"
    #: Its files lie there, where it can never run, and no other node could run it either. Never.
    NO_OTHER_NODE = "no_other_node"
    #: A transfer of its files to the node came to nothing: `holders`. Never.
    TRANSFER_FAILED = "transfer_failed"

    # ── lane ──────────────────────────────────────────────────────────────────────────────────────────────
    #: The queue is as deep as it may be: `holders` have to end first. `queued`
    QUEUE_FULL = "queue_full"

    # ── any amount ────────────────────────────────────────────────────────────────────────────────────────
    #: Less is free than it needs. `others`: what others use of it, where that decides or is much.
    NO_ROOM = "no_room"
    #: The same, and nothing of ours holds any of it: only others can give it back. `others`
    CROWDED_OUT = "crowded_out"
    #: It needs more than there is. Never. Of a device: `total`, `is_declared`, `words`: why its size is not
    #: known; of a disk: `total`, `headroom`.
    TOO_LARGE = "too_large"
    #: What is free cannot be read.
    NOT_READABLE = "not_readable"

    # ── counter ───────────────────────────────────────────────────────────────────────────────────────────
    #: Fewer are left than it needs: `holders` have some. `others`: held outside Conductor.
    COUNTER_TAKEN = "counter_taken"
    #: It needs more than there are. Never.
    COUNTER_TOO_SMALL = "counter_too_small"
    #: No such counter is configured. Never.
    COUNTER_UNDECLARED = "counter_undeclared"
    #: How many others hold was never told, and until then none is given out.
    COUNTER_SILENT = "counter_silent"
    #: The same is not told any more. `words`: why; `age_s`: of the last answer, where there was one.
    COUNTER_STALE = "counter_stale"

    # ── vram, of several devices ──────────────────────────────────────────────────────────────────────────
    #: No device that such a job may use is visible. Never. `has_slices`: only parts of cards are.
    NO_DEVICE = "no_device"
    #: Fewer than `need` devices have room: `have` of `limit`. `has_slices`: parts of cards were left out.
    TOO_FEW_FREE = "too_few_free"
    #: Fewer than `need` of the `limit` devices are large enough. Never. `capable`
    TOO_FEW_LARGE = "too_few_large"
    #: The device is large enough, and no worker is bound to it; those that have workers are too small.
    DEVICE_UNSERVED = "device_unserved"

    # ── scratch ───────────────────────────────────────────────────────────────────────────────────────────
    #: Less than `headroom` was free: nothing new writes here until `limit` is.
    DISK_CLOSED = "disk_closed"
    #: It fits, and then its chain and those begun here could not all be finished.
    CHAIN_UNSAFE = "chain_unsafe"
    #: It is of no chain and fits, and then the chains begun here could not all be finished.
    CHAINS_CROWDED = "chains_crowded"
    #: No order is known in which its chain finishes on this disk, even with it to itself. Never.
    CHAIN_TOO_LARGE = "chain_too_large"

    # ── rate ──────────────────────────────────────────────────────────────────────────────────────────────
    #: A 429 closed it until `reopens_at`.
    RATE_LIMITED = "rate_limited"
    #: Its endpoint is not well: closed until `reopens_at`. `trouble`, `words`
    ENDPOINT_UNAVAILABLE = "endpoint_unavailable"
    #: Its endpoint refuses everybody until somebody acts; asked again at `reopens_at`. `trouble`, `words`
    ENDPOINT_REFUSES = "endpoint_refuses"
    #: After a time closed one job asks before the others follow. `trouble`, `words`
    ONE_ASKS_FIRST = "one_asks_first"
    #: Less of the budget is left than one call needs.
    BUDGET_SHORT = "budget_short"
    #: One call needs more than the whole budget. Never.
    CALL_TOO_LARGE = "call_too_large"
    #: The money for these 24 hours is spent.
    MONEY_SPENT = "money_spent"
    #: One call may cost more than 24 hours allow. Never.
    CALL_TOO_DEAR = "call_too_dear"


# Those of the inner loops, looked up once: Python 3.11 finds a member of an enum by a function call.
OPEN, NO_ROOM, TOO_LARGE = Reason.OPEN, Reason.NO_ROOM, Reason.TOO_LARGE
CROWDED_OUT, QUEUE_FULL, PLACE_RESERVED = Reason.CROWDED_OUT, Reason.QUEUE_FULL, Reason.PLACE_RESERVED

#: The gate says yes.
PASSING = frozenset({Reason.OPEN, Reason.RUNS_ON_CPU, Reason.NO_KNOWN_LIMIT})
#: No wait will ever open it there.
NEVER = frozenset(
    {
        Reason.ROOT_UNDECLARED,
        Reason.NO_SHARED_ROOT,
        Reason.NO_OTHER_NODE,
        Reason.TRANSFER_FAILED,
        Reason.COUNTER_TOO_SMALL,
        Reason.COUNTER_UNDECLARED,
        Reason.TOO_LARGE,
        Reason.NO_DEVICE,
        Reason.TOO_FEW_LARGE,
        Reason.CHAIN_TOO_LARGE,
        Reason.CALL_TOO_LARGE,
        Reason.CALL_TOO_DEAR,
    }
)
#: The task is not known, here or to the conductor.
OF_TASKS = frozenset({Reason.UNKNOWN_TASK, Reason.UNREAD_TASK})
#: Its kind is held back; where only some nodes have code that is, `where` is one of them.
OF_KINDS = frozenset(
    {
        Reason.BREAKER_WAITS,
        Reason.BREAKER_TRIES,
        Reason.BREAKER_SPENT,
        Reason.FAILING_ALIKE,
        Reason.CANARY,
        Reason.CANARY_SHOWN,
    }
)
#: The device, or the node, that is `where` is closed, and others may be open.
OF_ONE_PLACE = frozenset(
    {
        Reason.NODE_DRAINING,
        Reason.HOME_DRAINING,
        Reason.NODE_ENDS,
        Reason.BEYOND_ONE_JOB,
        Reason.ENGINE_REFUSES,
        Reason.DEVICE_PAUSED,
        Reason.DEVICE_QUARANTINED,
        Reason.DEVICE_MISSING,
        Reason.OBSTRUCTED,
        Reason.UNTRIED,
        Reason.PLACE_RESERVED,
    }
)


class Detail(Exchanged, frozen=True, kw_only=True):
    """What belongs to some meanings only. Amounts are in the verdict's unit."""

    #: Somebody else's words (a driver's, a server's, a failed task's, the conductor's own word why it waits),
    #: as they came. Nothing is read out of them.
    words: str = ""
    lane: Lane | None = None
    task: str = ""
    kind: str = ""
    queue: str = ""
    #: The node-side gate that closed the place (`model.report.Obstacle`).
    obstacle: str = ""
    cause: Cause | None = None
    trouble: Trouble | None = None
    #: So many failed alike, so many tries came to nothing.
    failed: int = 0
    tries: int = 0
    most: int = 0
    queued: int = 0
    #: Devices that are large enough.
    capable: int = 0
    has_slices: bool = False
    #: Seconds since somebody else's last answer.
    age_s: float | None = None
    #: Used by others; of a disk: by files that lie there.
    others: float = 0.0
    #: What there is in all, headroom included, and that headroom.
    total: float = 0.0
    headroom: float = 0.0
    #: The total is what conductor.toml says.
    is_declared: bool = False


#: Most answers have none of it.
NO_DETAIL = Detail()

"""The tasks that may run, each with what it asks, what becomes of its failures, where it comes from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from conductor.base.errors import UsageError
from conductor.base.text import duration, many, size, table
from conductor.core.failures.retry import TABLE
from conductor.model.causes import Cause
from conductor.model.report import NodeReport
from conductor.model.spec import Lane, Needs, TaskDecl, Value


class TaskRow(Value, frozen=True, kw_only=True):
    name: str
    lane: Lane
    needs: Needs
    timeout_s: float
    #: 0: no watch on its progress.
    stall_s: float
    #: So many of a new kind must verify before the rest begins.
    canary: int
    #: What makes jobs of it different kinds, what it keeps warm, which API it calls, which store it
    #: opens; empty: none.
    parameters: tuple[str, ...]
    warm: str
    rate: str
    store: str
    #: Cause → attempts that may fail so before the job is dead; None: as many as it takes.
    retry: dict[Cause, int | None]
    #: Causes whose figure above the task itself declares.
    own_retry: tuple[Cause, ...]
    #: «workers.tasks.media_cut:run»
    source: str
    #: Nodes that report that they have it.
    nodes: tuple[str, ...]


class TaskList(Value, frozen=True, kw_only=True):
    #: Whether the nodes were asked: without Redis nobody knows who has which task.
    is_live: bool = False
    tasks: tuple[TaskRow, ...] = ()


def task_list(decls: Mapping[str, TaskDecl], nodes: Iterable[NodeReport] | None) -> TaskList:
    """`nodes`: the reports of those that are there; None where Redis does not answer."""
    reports = tuple(nodes or ())
    rows = (_row(decl, reports) for _, decl in sorted(decls.items()))
    return TaskList(is_live=nodes is not None, tasks=tuple(rows))


def of_one(found: TaskList, name: str) -> TaskRow:
    """Raises `UsageError` with the names that are near."""
    for row in found.tasks:
        if row.name == name:
            return row
    near = difflib.get_close_matches(name, [row.name for row in found.tasks], n=3)
    hint = f", did you mean {' or '.join(near)}?" if near else ": `conductor tasks` lists them"
    raise UsageError(f"no task is named {name!r}{hint}")


def _row(decl: TaskDecl, nodes: Iterable[NodeReport]) -> TaskRow:
    return TaskRow(
        name=decl.name,
        lane=decl.lane,
        needs=decl.needs,
        timeout_s=decl.timeout_s,
        stall_s=decl.stall_s,
        canary=decl.canary,
        parameters=decl.parameters,
        warm=decl.warm,
        rate=decl.rate,
        store=decl.store,
        retry={cause: decl.retry.get(cause, rule.budget) for cause, rule in TABLE.items()},
        own_retry=tuple(cause for cause in TABLE if cause in decl.retry),
        source=f"{decl.module}:{decl.function}",
        nodes=tuple(node.node for node in nodes if decl.name in node.code),
    )


# ── as text ───────────────────────────────────────────────────────────────────────────────────────────────


def lines(found: TaskList) -> list[str]:
    """A row a task; then how many there are and how one asks for more."""
    rows: list[list[object]] = [["task", "lane", "needs", "limit", "on", "from"]]
    for row in found.tasks:
        where = ", ".join(row.nodes) or ("no node" if found.is_live else "")
        rows.append([row.name, row.lane, ", ".join(_needs(row)), duration(row.timeout_s), where, row.source])
    aside = "" if found.is_live else "; which node has which is not known: Redis does not answer"
    return [*table(rows, indent=""), f"{many(len(found.tasks), 'task')}{aside} (more: conductor tasks TASK)"]


def details(row: TaskRow) -> list[str]:
    """Everything about one."""
    pairs: list[list[object]] = [
        ["lane", row.lane],
        ["needs", ", ".join(_needs(row)) or "nothing that a gate counts"],
        [
            "limit",
            duration(row.timeout_s) + (f", stalled after {duration(row.stall_s)}" if row.stall_s else ""),
        ],
        ["canary", f"{row.canary} of a new kind verify first" if row.canary else "none"],
        ["kinds by", ", ".join(row.parameters) or "the task and its code alone"],
        *([["keeps warm", row.warm]] if row.warm else []),
        *([["calls", row.rate]] if row.rate else []),
        *([["opens", row.store]] if row.store else []),
        ["from", row.source],
        ["on", ", ".join(row.nodes) or "no node that reports"],
    ]
    budgets: list[list[object]] = [["cause", "retries", "declared by"]]
    for cause, budget in row.retry.items():
        own = "the task" if cause in row.own_retry else "docs/retry.md"
        budgets.append([cause, "as many as it takes" if budget is None else str(budget), own])
    return [row.name, *table(pairs), "what becomes of a failure:", *table(budgets)]


def _needs(row: TaskRow) -> list[str]:
    needs = row.needs
    amounts = [
        f"{many(needs.devices, 'device')} of {size(needs.vram_mib << 20)} VRAM" if needs.devices > 1
        else f"{size(needs.vram_mib << 20)} VRAM" if needs.vram_mib else "",
        f"{size(needs.ram_mib << 20)} RAM" if needs.ram_mib else "",
        f"{needs.cpu:g} {'core' if needs.cpu == 1 else 'cores'}" if needs.cpu else "",
        f"{size(needs.scratch_bytes)} scratch" if needs.scratch_bytes else "",
        *(f"rate {key}" for key in needs.rates),
        *(f"{count} of counter {name}" for name, count in needs.counters.items()),
    ]  # fmt: skip
    return [amount for amount in amounts if amount]

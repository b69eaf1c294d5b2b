"""What may start where: `conductor pause`, `resume` and `drain`. Each is one atomic step in the ledger."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from conductor.app.cli.context import AsJson, answer, ledger_here

if TYPE_CHECKING:
    from conductor.ports import Ledger


#: As `conductor.model.spec.Lane`, which would cost `--help` the import of msgspec.
LaneName = Literal["gpu", "cpu", "io", "cloud"]


LANES: dict[str, LaneName] = {"gpu": "gpu", "cpu": "cpu", "io": "io", "cloud": "cloud"}


#: As dispatch and the filters have it.
BACKLOG = "backlog:"

PlaceArgument = Annotated[
    str,
    typer.Argument(
        metavar="LANE|DEVICE|BACKLOG",
        help="gpu, cpu, io or cloud; a device: gpu0, studio2/gpu0; or a backlog: night, backlog:night.",
    ),
]


def register(app: typer.Typer) -> None:
    for command in (pause, resume, drain):
        app.command()(command)


def pause(place: PlaceArgument, as_json: AsJson = False) -> None:
    """Stop feeding a lane, a device, or a backlog; what runs is finished, what has not begun goes back.

    Examples: conductor pause gpu; conductor pause studio2/gpu0; conductor pause backlog:night
    """
    set_paused(place, True, as_json)


def resume(
    what: Annotated[
        str,
        typer.Argument(
            metavar="LANE|DEVICE|BACKLOG|KIND|API",
            help="Or a task whose jobs failed alike and are held, or an endpoint.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Feed a paused lane, device or backlog again; also a device in quarantine. Try a closed kind of jobs, or
    an API that was down or refused everybody, at once.

    Of these one job goes first; when it ends well, so do the others.

    Examples: conductor resume gpu; conductor resume studio2/gpu0; conductor resume media.transcode
    """
    if what in LANES or is_like_a_device(what) or is_backlog(what):
        set_paused(what, False, as_json)
    elif not is_rate_opened(what, as_json):
        resume_kind(what, as_json)


def is_rate_opened(key: str, as_json: bool) -> bool:
    """False: no gate of that name is closed."""
    with ledger_here() as (_, ledger):
        if not ledger.calls.open_rate(key):
            return False
    answer(
        as_json,
        {"rate": key, "is_resumed": True},
        f"{key}: one job asks it at once; if it answers, the others follow",
    )
    return True


def resume_kind(kind: str, as_json: bool) -> None:
    from conductor.base.errors import UsageError
    from conductor.base.settings.settings import did_you_mean
    from conductor.base.text import many
    from conductor.model.snapshot import Lookahead
    from conductor.record.journal import Journal

    with ledger_here() as (settings, ledger):
        at = ledger.bell.now()
        closed = [state.kind for state in ledger.kinds.states()[0] if state.opened_at is not None]
        if not ledger.kinds.resume(kind):
            near = did_you_mean(kind, (*LANES, *closed, *ledger.calls.endpoint_faults()))
            what = (
                "no lane, no device (NODE/gpu0), no backlog, no kind of jobs that is held back and no API "
                "whose gate is closed"
            )
            raise UsageError(f"{kind} is {what}{near}")
        Journal(settings.receipts_dir).tried(kind, at)
        # Counted after the word: what lies in review is tried by nobody, and whoever was told so waits for
        # nothing.
        waits = sum(
            c.waiting
            for c in ledger.waiting.candidates(Lookahead(heads=1))
            if is_meant(c.job_class.kind, kind)
        )
        lie = sum(jobs for name, jobs in ledger.kinds.in_review().items() if is_meant(name, kind))
    words = "one job of it is tried at once" if waits else "nothing of it may go now, so none is tried"
    if lie:
        go = "lies" if lie == 1 else "lie"
        words += (
            f"; {many(lie, 'job')} of it {go} in review: `conductor retry --cause review` sends them back"
        )
    answer(as_json, {"kind": kind, "is_resumed": True, "waiting": waits, "review": lie}, f"{kind}: {words}")


def is_meant(kind: str, word: str) -> bool:
    """A kind goes by its own name, or by its task's."""
    return kind == word or kind.startswith(f"{word}:")


def set_paused(place: str, is_paused: bool, as_json: bool) -> None:
    """Raises `UsageError` for what is neither a lane nor a backlog nor a device that a node reports."""
    from conductor.recovery.operator_commands import (
        set_backlog_paused,
        set_device_paused,
        set_lane_paused,
    )

    lane, backlog, was_paused = LANES.get(place), "", True
    with ledger_here() as (settings, ledger):
        if lane is None and (backlog := backlog_at(ledger, place)):
            was_paused = set_backlog_paused(ledger, settings.receipts_dir, backlog, is_paused)
        elif lane is None:
            place = device_at(ledger, place)
            set_device_paused(ledger, settings.receipts_dir, place, is_paused)
        else:
            was_paused = set_lane_paused(ledger, settings.receipts_dir, lane, is_paused)
    if backlog:
        word = f"backlog {backlog} is paused: what runs of it is finished"
        if not is_paused:
            word = f"backlog {backlog} {'is fed again' if was_paused else 'was not paused'}"
        answer(as_json, {"backlog": backlog, "is_paused": is_paused}, word)
        return
    if lane is None:
        word = f"{place} is paused: what runs there is finished" if is_paused else f"{place} is used again"
        answer(as_json, {"device": place, "is_paused": is_paused}, word)
        return
    word = f"lane {lane} is paused: what runs is finished" if is_paused else f"lane {lane} is fed again"
    if not (is_paused or was_paused):
        word = f"lane {lane} was not paused"
    answer(as_json, {"lane": lane, "is_paused": is_paused}, word)


def is_like_a_device(word: str) -> bool:
    return not word.startswith(BACKLOG) and ("/" in word or word.removeprefix("gpu").isdigit())


def is_backlog(word: str) -> bool:
    """By its prefix, or by a name that the ledger knows."""
    from conductor.recovery.operator_commands import known_backlogs

    if word.startswith(BACKLOG):
        return True
    with ledger_here() as (_, ledger):
        return word in known_backlogs(ledger)


def backlog_at(ledger: Ledger, word: str) -> str:
    """The name of a known one; empty: it means no backlog. Raises `UsageError` for one that is not there."""
    from conductor.base.errors import UsageError
    from conductor.base.settings.settings import did_you_mean
    from conductor.recovery.operator_commands import known_backlogs

    known, name = known_backlogs(ledger), word.removeprefix(BACKLOG)
    if name in known and not is_like_a_device(word):
        return name
    if not word.startswith(BACKLOG):
        return ""
    there = ", ".join(known) or "none"
    raise UsageError(f"no backlog is called {name} (there are: {there}){did_you_mean(name, known)}")


def device_at(ledger: Ledger, word: str) -> str:
    """«NODE/gpu0» for a device that is reported; «gpu0» alone will do where only one node has it."""
    from conductor.base.errors import UsageError
    from conductor.base.settings.settings import did_you_mean
    from conductor.recovery.operator_commands import known_backlogs

    places = [f"{node.node}/{device.key}" for node in ledger.reports.live() for device in node.devices]
    found = [place for place in places if word in (place, place.partition("/")[2])]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{word} is a device of several nodes: say which: {', '.join(found)}")
    names = known_backlogs(ledger)
    near = did_you_mean(word, (*LANES, *names, *places, *(place.partition("/")[2] for place in places)))
    raise UsageError(
        f"{word} is no lane ({', '.join(LANES)}), no backlog ({', '.join(names) or 'none'}) and no device "
        f"that reports ({', '.join(places) or 'none'}){near}"
    )


def refuse_unknown_node(ledger: Ledger, receipts_dir: Path, node: str) -> None:
    """One that reports, that drains, or whose workers have left receipts; else `UsageError`."""
    from conductor.base.errors import UsageError
    from conductor.base.settings.settings import did_you_mean

    known = {report.node for report in ledger.reports.live()} | set(ledger.control.controls().draining_nodes)
    if node not in known and not any(receipts_dir.glob(f"{glob.escape(node)}-*.jsonl")):
        there = ", ".join(sorted(known)) or "none"
        raise UsageError(f"no node is called {node} (there are: {there}){did_you_mean(node, known)}")


def drain(
    node: Annotated[
        str | None, typer.Argument(metavar="[NODE]", help="One node; without it, all of them.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take it back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start nothing new, finish what runs; what has not begun goes back. Before a reboot.

    Examples: conductor drain; conductor drain studio2; conductor drain --undo
    """
    from conductor.record.journal import Journal

    with ledger_here() as (settings, ledger):
        if node is not None:
            refuse_unknown_node(ledger, settings.receipts_dir, node)
        ledger.control.set_draining(not undo, node)
        ledger.bell.ring()
        Journal(settings.receipts_dir).place("fed" if undo else "draining", node or "")
        active = sum(node in (None, r.node) for r in ledger.handover.reservations())
    whom = node or "every node"
    word = f"{whom} is fed again" if undo else f"{whom} drains: {active} in flight, nothing new starts"
    answer(as_json, {"node": node, "is_draining": not undo, "in_flight": active}, word)

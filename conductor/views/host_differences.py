"""In what hosts that should be alike differ, a sentence each: who is silent, whose clock is off, who runs
other code, who has other folders. Pure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from conductor.base.text import duration, many
from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation
from conductor.model.spec import Value
from conductor.views.staleness import clock

HostDifferenceKind = Literal["silent", "clock", "build", "task", "root", "folder"]
#: A clock that is off by less disturbs nobody.
CLOCK_S = 5.0
#: So many hosts, or tasks, are named; of more their count is said.
MOST_NAMED = 4


class HostDifference(Value, frozen=True, kw_only=True):
    """One thing in which a host is not as the others, or not as it should be."""

    node: str
    kind: HostDifferenceKind
    #: One sentence, with what to do.
    words: str
    #: Since when, epoch seconds by the ledger's clock, where that is known.
    since: float | None = None


def differences(
    nodes: Sequence[NodeReport], silent: Mapping[str, float], active: Sequence[Reservation], now: float
) -> tuple[HostDifference, ...]:
    """The most urgent first. `silent`: node → when its last report was sent, of those that report no more and
    were not told to end.
    """
    return (
        *_silent(silent, active, now),
        *_clocks(nodes),
        *_roots(nodes),
        *_folders(nodes),
        *_builds(nodes),
        *_tasks(nodes),
    )


def _silent(
    silent: Mapping[str, float], active: Sequence[Reservation], now: float
) -> Iterator[HostDifference]:
    for node, at in silent.items():
        held = sum(reservation.node == node for reservation in active)
        then = f"; others get the {many(held, 'job')} that it had in hand" if held else ""
        words = (
            f"{node} has not reported since {clock(at, now)} ({duration(now - at)}): it is off or cut "
            f"off{then}; look at it, or take it out of the fleet (`conductor drain {node}`)"
        )
        yield HostDifference(node=node, kind="silent", words=words, since=at)


def _clocks(nodes: Sequence[NodeReport]) -> Iterator[HostDifference]:
    for node in nodes:
        if abs(node.clock_ahead_s) >= CLOCK_S:
            which = "ahead of" if node.clock_ahead_s > 0 else "behind"
            words = (
                f"the clock of {node.node} is {duration(abs(node.clock_ahead_s))} {which} Redis's: leases "
                "and receipts go by Redis's clock, its log does not; set it (timedatectl, chrony)"
            )
            yield HostDifference(node=node.node, kind="clock", words=words)


def _roots(nodes: Sequence[NodeReport]) -> Iterator[HostDifference]:
    having: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        for volume in node.volumes:
            having[volume.root].append(node.node)
    for root, some in having.items():
        others = [node.node for node in nodes if node.node not in some]
        if len(others) > len(some):
            verb = "declares" if len(some) == 1 else "declare"
            words = f"only {named(some)} {verb} the root {root}: jobs that need it run nowhere else"
            yield HostDifference(node=some[0], kind="root", words=words)
        elif others:
            verb = "declares" if len(others) == 1 else "declare"
            words = (
                f"{named(others)} {verb} no root {root}, unlike {named(some)}: jobs that need it do not run "
                "there ([roots] in conductor.toml)"
            )
            yield HostDifference(node=others[0], kind="root", words=words)


def _folders(nodes: Sequence[NodeReport]) -> Iterator[HostDifference]:
    """Of roots that hosts share: scratch is each host's own."""
    seen: dict[str, dict[str, str]] = defaultdict(dict)
    for node in nodes:
        for volume in node.volumes:
            if volume.root_id and volume.root != "scratch":
                seen[volume.root][node.node] = volume.root_id
    for root, ids in seen.items():
        for node, others in _odd(ids):
            words = (
                f"the root {root} of {node} is another folder than that of {named(others)}: what is made "
                "there is not seen elsewhere; mount the same folder there, and give it a `marker`, without "
                "which it counts as not mounted"
            )
            yield HostDifference(node=node, kind="folder", words=words)


def _builds(nodes: Sequence[NodeReport]) -> Iterator[HostDifference]:
    builds = {node.node: node.build or "an older version" for node in nodes}
    for node, others in _odd(builds):
        words = (
            f"{node} runs Conductor {builds[node]}, and {named(others)} {builds[others[0]]}: good for an "
            "upgrade, one host after the other, and not for long"
        )
        yield HostDifference(node=node, kind="build", words=words)


def _tasks(nodes: Sequence[NodeReport]) -> Iterator[HostDifference]:
    """Own code of a task; that of another build is said there."""
    odd: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    build = {node.node: node.build for node in nodes}
    for task in sorted({task for node in nodes for task in node.code}):
        versions = {node.node: _own(node.code[task]) for node in nodes if task in node.code}
        for node, others in _odd(versions):
            if any(build[node] == build[other] for other in others):
                odd[node, tuple(others)].append(task)
    for (node, others), tasks in odd.items():
        words = (
            f"{node} has other code of {named(tasks)} than {named(others)}: a receipt says by which its job "
            "was done; bring them to the same"
        )
        yield HostDifference(node=node, kind="task", words=words)


def _own(version: str) -> str:
    """Without the package's: «0.1.0+3f9a2c71» → «3f9a2c71»."""
    return version.partition("+")[2] or version


def _odd(what: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Those that are not as most are, each with those that are. Of halves the first one counts as most."""
    if len(set(what.values())) < 2:
        return
    usual, _ = Counter(what[node] for node in sorted(what)).most_common(1)[0]
    most = [node for node in sorted(what) if what[node] == usual]
    yield from ((node, most) for node in sorted(what) if what[node] != usual)


def named(those: Sequence[str]) -> str:
    """«h1, h2», «h1, h2, h3 and 5 more»."""
    if len(those) <= MOST_NAMED:
        return ", ".join(those)
    return f"{', '.join(those[: MOST_NAMED - 1])} and {len(those) - MOST_NAMED + 1} more"

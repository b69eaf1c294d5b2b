"""Is all that is left of a run such that it can never run: then the run ends, and says of what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from conductor.base.text import many
from conductor.core.admission.earliest_start import (
    is_broken,
    is_never,
    is_refused,
    lacks_task,
    lacks_workers,
)
from conductor.model.decision import Decision, Hold
from conductor.model.ledger_entries import JobView
from conductor.model.snapshot import Snapshot
from conductor.ports import Ledger

#: It is so for so long, over so many ticks: an operator's word, or a node's first report, may be on its way.
NEVER_S = 1.0
NEVER_TICKS = 2
#: A lane that no node serves may be another host's, which is being started again. Where this run has the only
#: node, nobody is waited for.
NO_WORKERS_S = 30.0
#: Of so many jobs that wait for others it is looked for whom they wait in the end, each so many steps deep.
LOOKED_AT = 20
DEEPEST = 1000


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What stays. `holds`: no node could run it, none while workers die at each start, or its API refuses
    everybody; `stranded`: what waits for
    jobs that this run does not feed."""

    holds: tuple[Hold, ...] = ()
    stranded: tuple[str, ...] = ()


class Standstill:
    """Fed with each tick of the leader."""

    def __init__(self, ledger: Ledger, backlogs: Sequence[str], own_node: str = "") -> None:
        """`backlogs`: those that the run feeds; empty: all. `own_node`: the node that it started for
        itself.
        """
        self._ledger = ledger
        self._backlogs = tuple(backlogs)
        self._own_node = own_node
        self._since: list[float] = []
        self._holds: tuple[Hold, ...] = ()

    def forget(self) -> None:
        """Another conductor leads, or did."""
        self._since = []

    def note(self, snapshot: Snapshot, decision: Decision) -> None:
        is_alone = {node.node for node in snapshot.nodes} == {self._own_node}
        is_still = not decision.admit and not snapshot.reservations
        if is_still and all(self._stays(hold, decision.now, is_alone) for hold in decision.hold):
            self._since.append(decision.now)
        else:
            self._since = []
        self._holds = decision.hold

    def _stays(self, hold: Hold, now: float, is_alone: bool) -> bool:
        if is_never(hold, now) or is_broken(hold) or is_refused(hold):
            return True
        if (gate := lacks_task(hold)) and now - hold.closed_since.get(gate, now) >= NO_WORKERS_S:
            return True
        return lacks_workers(hold) and (
            is_alone or now - hold.closed_since.get("report", now) >= NO_WORKERS_S
        )

    def found(self, left: int) -> Left | None:
        """`left`: so many jobs have not ended. None: it is not known yet, or something may still run."""
        if len(self._since) < NEVER_TICKS or self._since[-1] - self._since[0] < NEVER_S:
            return None
        self._since = self._since[-1:]
        if self._ledger.waiting.has_delayed(self._backlogs):
            return None
        stranded = self._stranded(left) if left > sum(hold.waiting for hold in self._holds) else ()
        return Left(holds=self._holds, stranded=stranded) if self._holds or stranded else None

    def _stranded(self, left: int) -> tuple[str, ...]:
        found = dict.fromkeys(self._keepers())
        return tuple(
            f"{many(left, 'job')} {'waits' if left == 1 else 'wait'} for {keeper}" for keeper in found
        )

    def _keepers(self) -> Iterator[str]:
        for backlog in self._backlogs or self._ledger.tallies.backlogs():
            for job_id in islice(self._ledger.jobs.ids("waiting", backlog), LOOKED_AT):
                yield from self._keeper(job_id)

    def _keeper(self, job_id: str) -> Iterator[str]:
        """From one to the next that it waits for, until one that is not fed."""
        for _ in range(DEEPEST):
            view = self._ledger.jobs.job(job_id)
            if view is None:
                yield f"{job_id}, which is in no backlog: dispatch the manifest that it is in"
                return
            if self._backlogs and view.backlog not in self._backlogs:
                yield _not_fed(view)
                return
            if view.state != "waiting" or not view.waits_for:
                return
            job_id = view.waits_for[0]


def _not_fed(view: JobView) -> str:
    name = f"backlog:{view.backlog}"
    return (
        f"{view.job_id} of {name}, which this run does not feed: conduct both, without --backlog, or "
        "that one first: "
        f"conductor conduct --until-done --backlog {name}"
    )

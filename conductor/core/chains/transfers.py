"""Transfers: jobs that bring files of a chain from the disk of one node to that of another.

There is no open port between hosts, so a file goes by way of a root that both have: one job on the node that
has it copies it there, another one on the node that is to have it copies it from there. Both are jobs as all
others: charged on the disks they write to, published, with receipts. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conductor.model.chains import LyingFile
from conductor.model.identity import identified
from conductor.model.spec import JobSpec, Needs, Output

TASK = "files.transfer"
#: Of a root that is shared: what is on its way lies below it.
FOLDER = "conductor-transfers"
#: Beside the copies: path → checksum and size, as they were read on the node that had them.
SUMS = "sums.json"
#: Whole chains wait for it.
PRIORITY = 100


def is_copy(path: str) -> bool:
    """Is it a file on its way: it goes once it has arrived, whatever its root keeps."""
    return path.partition(":")[2].startswith(f"{FOLDER}/")


def bound_for(spec: JobSpec) -> str:
    """The node that a transfer brings files to; empty for every other job."""
    return str(spec.args.get("target", "")) if spec.task == TASK else ""


def brings(spec: JobSpec) -> bool:
    """Is it the half of a transfer that runs where the files are to lie."""
    return bool(bound_for(spec)) and spec.needs is not None and spec.needs.node == bound_for(spec)


def pair(facts: Sequence[LyingFile], target: str, via: str) -> tuple[JobSpec, JobSpec]:
    """The two jobs that bring these files, all of one node, to `target`.

    The same files of the same attempts give the same jobs: planned twice, they are put once. A file that
    comes back some day is another job's, so its way is another pair."""
    facts = sorted(facts, key=lambda fact: fact.path)
    source = facts[0].node
    args: dict[str, Any] = {
        "source": source,
        "target": target,
        "files": [[fact.path, f"{fact.job_id}/{fact.attempt}"] for fact in facts],
    }
    copies = [f"{via}:{FOLDER}/{{id}}/{number}" for number in range(len(facts))]
    on_the_way = [Output(path=copy, bytes=fact.bytes) for copy, fact in zip(copies, facts, strict=True)]
    take = _job(
        source,
        args,
        reads=tuple(fact.path for fact in facts),
        writes=(*on_the_way, Output(path=f"{via}:{FOLDER}/{{id}}/{SUMS}")),
    )
    bring = _job(
        target,
        args,
        reads=tuple(output.path for output in take.writes),
        writes=tuple(Output(path=fact.path, bytes=fact.bytes) for fact in facts),
        after=(take.id,),
    )
    return take, bring


def _job(node: str, args: Mapping[str, Any], **more: Any) -> JobSpec:
    return identified(
        JobSpec(
            v=1,
            id="nameless",
            workflow="files",
            task=TASK,
            args={"on": node, **args},
            needs=Needs(ram_mib=64, node=node),
            priority=PRIORITY,
            **more,
        )
    )

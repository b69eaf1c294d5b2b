"""Files that an earlier manifest left on the disk of one host: who reads one has to run there.

What jobs of one manifest make for each other, the ledger knows as a chain, and keeps it where its files lie.
Of a file that nobody was to read then it knows nothing; the receipt of who made it says the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from conductor.adapters.files.receipt_log import accepted, read_receipts
from conductor.base.text import many
from conductor.core.chains.chains import root_of
from conductor.model.report import NodeReport
from conductor.model.spec import JobSpec, Needs
from conductor.ports import Ledger
from conductor.record import removal_notes


class FileHomes(Struct, frozen=True, kw_only=True):
    """Where jobs have to run for what they read."""

    #: Job → the node on which all of it lies.
    of: Mapping[str, str] = {}
    #: Jobs that read files of several nodes.
    apart: frozenset[str] = frozenset()

    def classed(self, spec: JobSpec) -> JobSpec:
        """The job as it is classed. Its own word on where it runs stands."""
        home = self.of.get(spec.id)
        needs = spec.needs or Needs()
        if home is None or needs.node:
            return spec
        return replace(spec, needs=replace(needs, node=home))

    def warning(self) -> str:
        """Empty where all can be read."""
        if not self.apart:
            return ""
        read = "reads" if len(self.apart) == 1 else "read"
        return (
            f"{many(len(self.apart), 'job')} {read} files that earlier manifests left on the disks of "
            "several hosts, and will not find all of them: have what makes these files write them to a root "
            "that the hosts share"
        )


NOWHERE = FileHomes()


def homes_of(ledger: Ledger, receipts_dir: Path, read: Mapping[str, Sequence[str]]) -> FileHomes:
    """`read`: path → jobs, of files that others made. A host that does not report is not waited for: the same
    disk may have come back under another name."""
    tracked = {fact.path for fact in ledger.files.lying([*read])} if read else set[str]()
    paths = read.keys() - tracked
    reports = ledger.reports.live() if paths else ()
    if len(reports) < 2:
        return NOWHERE
    nodes: dict[str, set[str]] = {}
    for path, node in _made(receipts_dir, paths).items():
        if _is_of_one_host(path, node, reports):
            for job_id in read[path]:
                nodes.setdefault(job_id, set()).add(node)
    return FileHomes(
        of={job_id: next(iter(found)) for job_id, found in nodes.items() if len(found) == 1},
        apart=frozenset(job_id for job_id, found in nodes.items() if len(found) > 1),
    )


def _made(receipts_dir: Path, paths: set[str]) -> dict[str, str]:
    """Path → the node where it was made last, of those that were not removed since."""
    makers = accepted(
        receipt
        for receipt in read_receipts(receipts_dir)
        if receipt.takes_back or any(output.path in paths for output in receipt.outputs)
    )
    removed = removal_notes.gone(receipts_dir)
    found: dict[str, str] = {}
    for receipt in sorted(makers.values(), key=lambda receipt: receipt.told_at):
        for path in paths & {output.path for output in receipt.outputs}:
            if (path, receipt.job_id, receipt.attempt) not in removed:
                found[path] = receipt.node
    return found


def _is_of_one_host(path: str, node: str, reports: Sequence[NodeReport]) -> bool:
    """Is it on a disk of that node that others have not."""
    disks = {
        report.node: volume.root_id
        for report in reports
        for volume in report.volumes
        if volume.root == root_of(path)
    }
    mine = disks.pop(node, None)
    return mine is not None and any(not mine or other != mine for other in disks.values())

"""A file on one host's own disk that only a later manifest reads: its reader is for that host."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import a_report, a_spec, a_volume

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dispatch import dispatch
from conductor.dispatch.dispatch_report import Dispatched
from conductor.dispatch.file_homes import FileHomes, homes_of
from conductor.model.receipt import Outcome, OutputFact, Receipt
from conductor.model.spec import JobSpec, Needs, Output
from conductor.record import manifest as manifests
from conductor.record import removal_notes
from conductor.record.journal import Journal
from conductor.recovery.rebuild import rebuild

CATALOGUE = load_catalogue()


def a_job(name: str, *reads: JobSpec, **more: object) -> JobSpec:
    return a_spec(
        task="shell",
        workflow="system_test",
        args={"argv": ["true"], "env": {"N": name}},
        writes=(Output(path=f"scratch:{name}", bytes=10),),
        reads=tuple(spec.writes[0].path for spec in reads),
        **more,
    )


class OwnDisks:
    """Each with a scratch disk of its own, unless they have one `root_id`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.receipts = folder, folder / "receipts"
        self.ledger = memory_ledger(ManualClock(1_700_000_000.0))
        self.report("h1", "h2")

    def report(self, *nodes: str, root_id: str = "") -> None:
        for node in nodes:
            disks = (a_volume(root_id=root_id or f"disk of {node}"),)
            self.ledger.reports.publish(a_report(node, volumes=disks), 1e9)

    def made(self, spec: JobSpec, node: str, outcome: Outcome = "ok") -> None:
        """In another project's night, or one that the ledger has forgotten: its receipt is what is left."""
        log = FileReceiptLog(self.receipts, node)
        facts = tuple(
            OutputFact(path=o.path, bytes=o.bytes, sha256="0" * 64) for o in spec.writes if outcome == "ok"
        )
        log.append(
            Receipt(
                v=1,
                job_id=spec.id,
                attempt=1,
                workflow="w",
                task=spec.task,
                outcome=outcome,
                started_at=0.0,
                ended_at=1.0,
                node=node,
                worker="w",
                outputs=facts,
            )
        )
        log.close()

    def dispatch(self, *specs: JobSpec) -> Dispatched:
        manifests.write(self.folder / "m.jsonl", specs)
        return dispatch(self.ledger, self.folder / "m.jsonl", "b", CATALOGUE, self.receipts)

    def node_of(self, spec: JobSpec) -> str:
        view = self.ledger.jobs.job(spec.id)
        assert view is not None
        return view.job_class.needs.node


@pytest.fixture
def hosts(tmp_path: Path) -> OwnDisks:
    return OwnDisks(tmp_path)


def test_its_reader_is_for_the_host_where_it_lies(hosts: OwnDisks):
    first, second = a_job("x"), a_job("y")
    hosts.made(first, "h2")
    hosts.made(second, "h2")
    reader = a_job("reader", first, second)

    assert hosts.dispatch(reader).warnings == ()
    assert hosts.node_of(reader) == "h2"


def test_a_rebuilt_ledger_knows_it_too(hosts: OwnDisks):
    maker = a_job("x")
    hosts.made(maker, "h2")
    reader = a_job("reader", maker)
    hosts.dispatch(reader)
    again = OwnDisks(hosts.folder)
    sources = Journal(again.receipts).ledger_match(None).sources

    rebuild(again.ledger, again.receipts, CATALOGUE, sources, 1.0)
    assert again.node_of(reader) == "h2"


def test_its_own_word_on_where_it_runs_stands(hosts: OwnDisks):
    maker = a_job("x")
    hosts.made(maker, "h2")
    reader = a_job("reader", maker, needs=Needs(node="h1"))
    hosts.dispatch(reader)
    assert hosts.node_of(reader) == "h1", "and what it reads is brought there, or the hold says why not"


def test_what_lies_where_nobody_reports_or_all_have_it_binds_nobody(hosts: OwnDisks):
    away, shared = a_job("away"), a_job("shared")
    hosts.made(away, "h3")
    hosts.made(shared, "h1")
    hosts.dispatch(reader := a_job("r1", away))
    assert hosts.node_of(reader) == "", "it may be the same disk under another name"

    hosts.report("h1", "h2", root_id="one")
    hosts.dispatch(reader := a_job("r2", shared))
    assert hosts.node_of(reader) == ""


def test_what_was_removed_or_taken_back_lies_nowhere(hosts: OwnDisks):
    gone, taken_back = a_job("gone"), a_job("taken-back")
    for spec in (gone, taken_back):
        hosts.made(spec, "h1")
    note = removal_notes.RemovalNotes(at=1.0, path="scratch:gone", job_id=gone.id, attempt=1, bytes=1)
    removal_notes.note(hosts.receipts, "h1", [note])
    hosts.made(taken_back, "h1", outcome="superseded")

    read = {"scratch:gone": ["r"], "scratch:taken-back": ["r"]}
    assert homes_of(hosts.ledger, hosts.receipts, read) == FileHomes()


def test_files_of_several_hosts_are_said(hosts: OwnDisks):
    first, second = a_job("x"), a_job("y")
    hosts.made(first, "h1")
    hosts.made(second, "h2")

    (said,) = hosts.dispatch(reader := a_job("reader", first, second)).warnings
    assert said.startswith("1 job reads files that earlier manifests left on the disks of several hosts")
    assert hosts.node_of(reader) == ""

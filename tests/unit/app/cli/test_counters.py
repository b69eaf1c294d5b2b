"""`[counters.NAME]` at the command line: what is refused, what is shown, and that it is played by
`simulate`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import a_spec
from cli_tools import Cli

from conductor.base.settings.settings import Settings
from conductor.core.admission.admission import decide
from conductor.core.admission.gate_ledger import readings_of, shared_out
from conductor.model.decision import GateLedger
from conductor.model.limits import CounterRule, Limits
from conductor.model.report import CounterReading
from conductor.model.snapshot import Snapshot
from conductor.model.spec import Estimate, Needs
from conductor.ports import Ledger
from conductor.record import manifest
from conductor.views.status import gather
from conductor.views.status_text import counters as counter_lines

Configured = Callable[[str], None]


@pytest.fixture
def configured(project: Settings) -> Configured:
    """Adds to conductor.toml."""
    file = project.project / "conductor.toml"

    def add(text: str) -> None:
        file.write_text(f"{file.read_text()}\n{text}")

    return add


def lines(folder: Path, *counters: dict[str, int], **more: Any) -> str:
    path = folder / "m.jsonl"
    specs = [a_spec(n, needs=Needs(cpu=1, counters=asked), **more) for n, asked in enumerate(counters)]
    manifest.write(path, specs)
    return str(path)


def test_a_line_that_asks_for_what_there_is_not_is_refused_with_all_its_faults(
    cli: Cli, configured: Configured, project: Settings
):
    configured('[counters.nuke]\nlimit = 3\n[counters.encoder]\nlimit = 2\nper = "device"\n')

    found = cli("dispatch", lines(project.project, {"nuk": 1}, {"nuke": 4}, {"encoder": 1}, {"nuke": 3}))

    assert found.code == 3
    assert (
        "m.jsonl:1: needs.counters: there is no [counters.nuk] in conductor.toml, did you mean nuke?"
        in found.err
    )
    assert "m.jsonl:2: needs.counters: 4 of nuke are needed, its limit is 3" in found.err
    assert (
        "m.jsonl:3: needs.counters: encoder is counted by the device, and the job asks for none" in found.err
    )
    assert "m.jsonl:4" not in found.err


def test_a_line_whose_counter_has_no_name_or_no_number_is_refused(cli: Cli, project: Settings):
    path = project.project / "m.jsonl"
    manifest.write(path, [a_spec(1, needs=Needs(counters={"nuke": 1}))])
    path.write_text(path.read_text().replace('{"nuke":1}', '{"Nuke!":0}'))

    found = cli("dispatch", str(path))

    assert found.code == 3 and "needs.counters" in found.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[counters.ram]\nlimit = 1", "'ram' is what Conductor counts by itself"),
        ("[counters.Nuke]\nlimit = 1", "up to 40 small letters"),
        ("[counters.nuke]\nlimit = 0", "counters.nuke.limit: is to be a whole number, from 1, to 1000000"),
        ("[counters.nuke]\nlimt = 3", "counters.nuke.limt is not a setting, did you mean limit?"),
        (
            '[counters.nuke]\nlimit = 1\nper = "device"\ncommand = ["x"]',
            "command tells of the cluster or of a node",
        ),
    ],
)
def test_a_counter_that_makes_no_sense_is_refused(text: str, words: str, cli: Cli, configured: Configured):
    configured(text)

    found = cli("status")

    assert found.code == 3 and words in found.err


def test_doctor_runs_each_command_once_and_says_what_it_told(cli: Cli, configured: Configured):
    configured(
        '[counters.a]\nlimit = 3\ncommand = ["echo", "2"]\n[counters.b]\nlimit = 3\ncommand = '
        '["echo", "many"]\n'
        '[counters.c]\nlimit = 1\nper = "node"\n'
    )

    found = cli("doctor")

    assert "counter a: 3 by the cluster, others hold 2" in found.out
    assert "counter b: its command tells nothing: it printed 'many', not one whole number" in found.out
    assert "counter c: 1 by the node" in found.out
    assert found.code == 1


def test_status_shows_how_many_are_held_and_what_the_command_said(ledger: Ledger):
    rules = {"nuke": CounterRule(limit=3, has_command=True), "maya": CounterRule(limit=2, has_command=True)}
    limits = Limits(counters=rules)
    told = {"nuke": CounterReading(others=2, age_s=4.0), "maya": CounterReading(fault="exit 1: no server")}
    snapshot = Snapshot(now=ledger.bell.now(), counters=told)
    assert decide(snapshot, [], limits).admit == ()
    epoch = ledger.leadership.lead("here", 60)
    assert epoch is not None
    gates = GateLedger(
        at=snapshot.now, shared=shared_out(snapshot, [], limits), counters=readings_of(snapshot)
    )
    ledger.gate_record.record_gates(epoch, gates)

    status = gather(ledger)

    assert counter_lines(status) == [
        "  counter nuke: 2 of 3 held, 2 of them outside Conductor (told 4.0 s ago)",
        "  counter maya: 0 of 2 held, none is given out: exit 1: no server",
    ]
    assert "counter maya: its command tells nothing: exit 1: no server" in status.notes


def test_simulate_plays_that_one_runs_after_the_other(cli: Cli, configured: Configured, project: Settings):
    configured('[counters.nuke]\nlimit = 2\ncommand = ["never-run"]\n')
    cluster = project.project / "cluster.toml"
    cluster.write_text('[[node]]\nname = "host"\ncpu_milli = 64000\nram_mib = 1000\n')
    four = lines(project.project, *[{"nuke": 1}] * 4, estimate=Estimate(duration_s=10.0))

    found = cli("simulate", four, "--cluster", str(cluster), "--batch", "--json")

    assert (found.json["done"], found.json["makespan_s"], found.json["oom"]) == (4, 20.0, 0)

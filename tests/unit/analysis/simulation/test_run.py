"""`conductor simulate`: published rows come out, the kept state decides as a fresh one, what can never run
is said.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import a_spec
from cli_tools import Cli, Result
from msgspec import structs

import conductor.analysis.simulation.run
import conductor.analysis.simulation.world
import conductor.base.progress
from conductor.analysis.simulation import cluster
from conductor.analysis.simulation.figures import Figures, figures
from conductor.analysis.simulation.policies import limits_of
from conductor.analysis.simulation.workload import Workload
from conductor.analysis.simulation.world import World
from conductor.base.settings.settings import Settings
from conductor.core.admission.admission import decide
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.decision import Decision
from conductor.model.spec import Output
from workflows.trace.forms import specs

TRACES = Path(__file__).resolve().parents[4] / "benchmarks" / "traces"
CATALOGUE = load_catalogue()
HOST = cluster.NodeKind(
    name="host", cpu_milli=64_000, ram_mib=262_144, devices=(cluster.DeviceKind(vram_mib=24_576),)
)
Simulate = Callable[..., Result]
EXPECTED = json.loads((TRACES / "expected_onehost.json").read_text())


def simulated(
    trace: str, policy: str, is_batch: bool, kind: cluster.NodeKind = HOST, world: Any = World
) -> World:
    made = world(
        Workload(specs(TRACES / trace), CATALOGUE, is_batch), cluster.reports((kind,)), limits_of(policy)
    )
    made.run()
    return made


def row(slice_name: str, rule: str) -> dict[str, float]:
    table = next(t for t in EXPECTED if t["title"].startswith(slice_name))
    return next(r for r in table["rows"] if r["rule"] == rule)


@pytest.mark.parametrize(
    ("policy", "rule"), [("first_fit", "fifo-skip"), ("fifo", "fifo"), ("best_fit", "bestfit")]
)
@pytest.mark.parametrize("name", ["default_200", "gpushare40_500"])
@pytest.mark.parametrize("is_batch", [True, False])
def test_the_published_rows_come_out(name: str, policy: str, rule: str, is_batch: bool) -> None:
    found: Figures = figures(simulated(f"onehost_{name}.jsonl", policy, is_batch), 0.0, policy)
    published = row(f"onehost_{name} {'batch' if is_batch else 'online'}", rule)

    assert found.makespan_s == pytest.approx(published["makespan"], rel=0.01)
    assert found.mean_jct_s == pytest.approx(published["mean_jct"], rel=0.01)
    assert found.max_wait_s == pytest.approx(published["max_wait"], rel=0.01)
    assert (found.oom, found.deadlocked, found.done) == (0, 0, found.jobs)


@pytest.mark.parametrize("name", ["default_200", "gpushare40_500"])
def test_the_bound_is_the_published_one(name: str) -> None:
    found = figures(simulated(f"onehost_{name}.jsonl", "first_fit", True), 0.0, "first_fit")
    bounds = next(t for t in EXPECTED if t["title"] == f"onehost_{name} batch")["bounds"]

    assert found.bound_s == pytest.approx(bounds["LB"], rel=1e-6)


class Compared(World):
    """Decides twice: with the kept state, and from the snapshot alone as the live conductor does."""

    ticks = 0

    def _tick(self) -> Decision:
        alone = decide(
            self.full_snapshot(), [line.as_candidate() for line in self._lines.values()], self.limits
        )
        kept = super()._tick()
        assert alone.admit == kept.admit
        assert {h.class_id: h.closed for h in alone.hold} == {h.class_id: h.closed for h in kept.hold}
        self.ticks += 1
        return kept


@pytest.mark.parametrize("policy", ["auto", "first_fit", "best_fit", "tightest"])
def test_the_state_kept_from_tick_to_tick_decides_as_one_made_anew(policy: str) -> None:
    world: Any = simulated("onehost_default_200.jsonl", policy, False, world=Compared)
    assert world.ticks > 200


def test_so_it_does_with_files_that_live_until_their_last_reader_ends() -> None:
    kind = structs.replace(HOST, devices=(), cpu_milli=16_000, scratch_bytes=132_800_000)
    world: Any = simulated("wf/montage-chameleon-2mass-01d-001.json", "auto", True, kind, world=Compared)

    assert (world.stuck, world.hosts.overruns) == (0, 0)
    assert world.ticks > 20


def test_of_many_jobs_the_gates_are_asked_seldom_however_many_classes_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[float]()

    class CountsNotes(World):
        def _note(self, decision: Decision) -> None:
            asked.append(self.now)
            super()._note(decision)

    always: Any = simulated("onehost_default_200.jsonl", "auto", False, world=CountsNotes)
    count = len(asked)
    asked.clear()
    monkeypatch.setattr(conductor.analysis.simulation.world, "MANY_JOBS", 0)
    seldom: Any = simulated("onehost_default_200.jsonl", "auto", False, world=CountsNotes)

    assert len(asked) <= count / conductor.analysis.simulation.world.ASK_EVERY + 1
    assert [(job.id, job.start_s) for job in seldom.jobs] == [(job.id, job.start_s) for job in always.jobs]


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────

KEYS = [
    "jobs",
    "done",
    "infeasible",
    "deadlocked",
    "oom",
    "makespan_s",
    "bound_s",
    "mean_wait_s",
    "p50_wait_s",
    "p99_wait_s",
    "max_wait_s",
    "mean_jct_s",
    "peak_scratch_bytes",
    "vram_utilisation",
    "held_s_by_gate",
    "wall_s",
    "rule",
]
CLUSTER = """
[[node]]
name = "host"
cpu_milli = 4000
ram_mib = 8192
scratch_bytes = 1000
devices = [{vram_mib = 24576}]
"""


@pytest.fixture
def simulate(
    project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Simulate:
    """Three jobs, planned and simulated on a cluster of one host."""
    folder, cli = project.project, Cli(project.project, capsys, monkeypatch)
    lines = [
        {"id": 1, "arrival_s": 0, "duration_s": 10, "vram_mib": 20_000, "limit_s": 20},
        {"id": 2, "arrival_s": 4, "duration_s": 10, "vram_mib": 20_000},
        {"id": "cpu", "duration_s": 3, "cpu_milli": 500, "mem_mib": 10, "scratch_bytes": 900, "priority": 3},
    ]
    (folder / "jobs.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert cli("plan", "trace", str(folder / "jobs.jsonl"), "-o", str(folder / "m.jsonl")).code == 0

    def run(*argv: str, cluster: str = CLUSTER) -> Result:
        (folder / "cluster.toml").write_text(cluster)
        return cli("simulate", str(folder / "m.jsonl"), "--cluster", str(folder / "cluster.toml"), *argv)

    return run


def test_the_answer_has_exactly_the_fields_of_the_contract(simulate: Simulate) -> None:
    found = simulate("--json")

    answer = found.json
    assert (found.code, list(answer)) == (0, KEYS)
    assert (answer["jobs"], answer["done"], answer["makespan_s"], answer["max_wait_s"]) == (3, 3, 20, 6)
    assert answer["held_s_by_gate"] == {"vram": 6.0}
    assert answer["peak_scratch_bytes"] == 900


def test_batch_ignores_arrivals_and_jobs_gives_a_line_each(simulate: Simulate) -> None:
    found = simulate("--json", "--batch", "--jobs")

    answer, *lines = [json.loads(line) for line in found.out.splitlines()]
    assert answer["max_wait_s"] == 10
    assert [set(line) for line in lines] == [{"id", "start_s", "end_s", "node", "device"}] * 3
    assert sorted((line["start_s"], line["device"]) for line in lines if line["device"]) == [
        (0, "gpu0"),
        (10, "gpu0"),
    ]


@pytest.mark.parametrize("many", [conductor.analysis.simulation.world.MANY_JOBS, 0])
def test_what_can_never_run_is_said_and_exits_with_1(
    simulate: Simulate, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor.analysis.simulation.world, "MANY_JOBS", many)
    found = simulate("--json", cluster=CLUSTER.replace("24576", "16000"))

    assert (found.code, found.json["infeasible"], found.json["done"]) == (1, 2, 1)
    assert "can never run" in found.err
    assert "vram" in found.err


def test_a_policy_or_cluster_that_is_none_is_refused_in_one_sentence(simulate: Simulate) -> None:
    assert "did you mean first_fit?" in simulate("--policy", "firstfit").err
    found = simulate(cluster="[[node]]\nname = 'a'\ncors = 3\n")
    assert (found.code, "cors" in found.err) == (3, True)


def test_it_plays_what_conductor_toml_says_of_waiting_and_names_the_rule(
    project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two wait for a device that a third has for 10 s: the older one of lower priority, and one that comes
    later.
    """
    folder, cli = project.project, Cli(project.project, capsys, monkeypatch)
    job = {"duration_s": 10, "vram_mib": 20_000}
    lines = [
        {"id": n, "arrival_s": at, "priority": p, **job} for n, (at, p) in enumerate([(0, 5), (1, 0), (8, 5)])
    ]
    (folder / "jobs.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (folder / "cluster.toml").write_text(CLUSTER)
    assert cli("plan", "trace", str(folder / "jobs.jsonl"), "-o", str(folder / "m.jsonl")).code == 0
    argv = ("simulate", str(folder / "m.jsonl"), "--cluster", str(folder / "cluster.toml"))

    plain = cli(*argv, "--json").json
    with (folder / "conductor.toml").open("a") as toml:
        toml.write("[waiting]\naging_s = 8\n[backlogs.night]\nweight = 3\n")
    aged, other = cli(*argv, "--json").json, cli(*argv, "--policy", "first_fit", "--json").json

    assert (plain["max_wait_s"], aged["max_wait_s"], other["max_wait_s"]) == (19, 12, 12)
    assert plain["rule"]["aging_s"] == 3600
    waiting = {"aging_s": 8, "overdue_s": 43_200, "keep_after_s": 300, "weights": {"night": 3}}
    for answer, policy, order, place in (
        (aged, "auto", "auto", "least_loss"),
        (other, "first_fit", "oldest", "first"),
    ):
        assert answer["rule"].items() >= {"policy": policy, "order": order, "place": place, **waiting}.items()
    said = cli(*argv, "--policy", "first_fit").out
    assert (
        "first_fit (order oldest, place first, no way out kept), [waiting] on (aging 8.0 s, overdue 12 h"
        in said
    )
    assert "not played: headrooms" in said


def test_files_whose_size_nobody_declared_are_made_read_and_let_go() -> None:
    made = Output(path="scratch:made")
    writer = a_spec(1, task="diagnostics.echo", writes=(made,))
    reader = a_spec(2, task="diagnostics.echo", reads=(made.path,), after=(writer.id,))
    world = World(Workload([writer, reader], CATALOGUE, True), cluster.reports((HOST,)), limits_of("auto"))
    world.run()
    assert (world.done, world.hosts.overruns, world.hosts.lying()) == (2, 0, {})


def test_a_long_one_says_how_far_it_is_and_a_short_one_nothing(
    simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "playing" not in simulate("--json").err

    for module, name in (
        (conductor.analysis.simulation.run, "STEP"),
        (conductor.analysis.simulation.world, "STEP"),
    ):
        monkeypatch.setattr(module, name, 1)
    for name in ("QUIET_S", "IN_PIPE_S"):
        monkeypatch.setattr(conductor.base.progress, name, 0.0)
    found = simulate("--json")
    assert "reading: 1 job, " in found.err
    assert "playing: 3 of 3 (100%), " in found.err
    assert found.json["done"] == 3


def test_priorities_are_handed_down_as_by_a_dispatch() -> None:
    first, other = a_spec(0, task="trace.job"), a_spec(1, task="trace.job")
    urgent = a_spec(2, task="trace.job", after=(first.id,), priority=9)
    made = Workload([first, other, urgent], CATALOGUE, True)
    assert [job.job_class.priority for job in made.jobs] == [9, 0, 9]
    assert len({job.job_class.id for job in made.jobs}) == 3

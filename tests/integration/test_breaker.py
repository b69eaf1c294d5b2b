"""A bad commit, canaries and a mixed bag, with a real conductor, a real node and real workers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import a_spec
from node_scene import Command, until

from conductor.adapters.files.receipt_log import read_receipts
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec, Output, to_line
from conductor.ports import Ledger

LINES = 1000
CONFIG = """
[lanes]
gpu.workers = 0
cpu.workers = 2
io.workers = 0
cloud.workers = 0
[timing]
report_every_s = 0.3
[web]
is_on = false
[dashboard]
is_on = false
[breaker]
first_probe_s = 0.3
"""
BAD = """
from workers import task

@task("mine.render", lane="cpu"{more})
def render(args, ctx):
    return {{"fps": {{}}["fps"]}}

@task("mine.join", lane="cpu")
def join(args, ctx):
    return {{}}
"""
GOOD = BAD.replace('{{}}["fps"]', "25")
PICKY = """
from conductor.base.errors import BadInput
from workers import task

@task("mine.render", lane="cpu", parameters=("preset",){more})
def render(args, ctx):
    if args["n"] in args["broken"]:
        raise BadInput(f"clip_{{args['n']:04}}.mp4 does not decode")
    for output in ctx.spec.writes:
        ctx.output(output.path).write_text(args.get("text", "[]"))
    return {{}}
"""

Play = Callable[..., "BreakerScene"]


class BreakerScene:
    def __init__(self, project: Settings, ledger: Ledger, tasks: str, config: str) -> None:
        self.ledger = ledger
        self._commands: list[Command] = []
        self.folder = project.project
        self.module = self.folder / "my_tasks.py"
        self.module.write_text(tasks.format(more=""))
        file = self.folder / CONFIG_NAME
        file.write_text(f'task_modules = ["my_tasks"]\nnode = "here"\n{file.read_text()}{CONFIG}{config}')
        self.settings = load(self.folder)

    def dispatch(self, specs: list[JobSpec]) -> Path:
        manifest = self.folder / "night.jsonl"
        manifest.write_bytes(b"".join(to_line(spec) + b"\n" for spec in specs))
        assert self.run("dispatch", manifest.name, "--target", "backlog:night").wait() == 0
        return manifest

    def run(self, *words: str) -> Command:
        command = Command(self.settings, *words)
        self._commands.append(command)
        return command

    def conduct(self) -> tuple[int, str]:
        command = self.run("conduct", "--until-done")
        return command.wait(60), command.said

    def receipts(self) -> list[Receipt]:
        return list(read_receipts(self.settings.receipts_dir))

    def close(self) -> None:
        for command in self._commands:
            command.close()


@pytest.fixture
def play(project: Settings, ledger: Ledger) -> Iterator[Play]:
    scenes: list[BreakerScene] = []

    def begin(tasks: str, config: str = "") -> BreakerScene:
        scenes.append(BreakerScene(project, ledger, tasks, config))
        return scenes[0]

    yield begin
    for scene in scenes:
        scene.close()


def clips(count: int, **args: Any) -> list[JobSpec]:
    return [a_spec(n, task="mine.render", args={"n": n, **args}) for n in range(count)]


@pytest.mark.slow
def test_a_thousand_bad_lines_cost_ten_attempts_and_all_are_done_once_it_is_fixed(play: Play):
    scene = play(BAD)
    specs = clips(LINES - 1)
    after = a_spec(LINES, task="mine.join", args={}, after=(specs[500].id,))
    manifest = scene.dispatch([*specs, after])

    code, said = scene.conduct()
    assert code == 1, said
    burned = scene.receipts()
    assert Counter(r.outcome for r in burned) == {"failed": len(burned)}
    assert 5 < len(burned) <= 10
    counts = scene.ledger.tallies.counts()
    assert counts["review"] + counts["dead"] == LINES, counts
    assert "of mine.render in review: " in said
    assert "failed alike (task_error: KeyError: 'fps'): fix it, then `conductor retry --cause review`" in said
    assert "1 job of mine.join in review: they come after jobs that are" in said
    verify = scene.run("verify", manifest.name)
    assert verify.wait() == 1
    assert f"has no receipt: it is in review, for {len(burned)} of mine.render failed alike" in verify.said
    audit = scene.run("audit")
    assert audit.wait() == 0, audit.said

    scene.module.write_text(GOOD.format(more=""))
    assert scene.run("retry", "--cause", "review").wait() == 0
    assert scene.run("retry", "--cause", "task_error").wait() == 0
    code, said = scene.conduct()
    assert code == 0, said
    assert scene.ledger.tallies.counts()["done"] == LINES
    assert scene.ledger.kinds.states()[1] == {}


def test_six_corrupt_clips_among_three_hundred_good_ones_keep_nobody_back(play: Play):
    scene = play(PICKY)
    broken = [7, 50, 51, 120, 200, 299]
    scene.dispatch(clips(300, broken=broken))
    code, said = scene.conduct()
    assert code == 1
    counts = scene.ledger.tallies.counts()
    assert (counts["done"], counts["dead"], counts["review"]) == (294, 6, 0), said


def test_a_canary_that_verifies_releases_the_rest_of_its_own_kind_only(play: Play):
    """The canaries of one preset write what is no JSON; the other preset's do well."""
    scene = play(PICKY, '[canary]\n"mine.render" = 2\n')
    good = [
        a_spec(n, task="mine.render", args={"n": n, "broken": [], "preset": "a"}, writes=output(n))
        for n in range(40)
    ]
    bad = [
        a_spec(
            n, task="mine.render", args={"n": n, "broken": [], "preset": "b", "text": "{"}, writes=output(n)
        )
        for n in range(40, 80)
    ]
    manifest = scene.dispatch([*good, *bad])
    code, _ = scene.conduct()
    assert code == 1
    outcomes = Counter((r.outcome, r.cause) for r in scene.receipts())
    assert outcomes["ok", None] == 40
    assert 5 <= outcomes["failed", "bad_output"] <= 10
    assert len(outcomes) == 2
    published = sorted(int(file.stem) for file in (scene.folder / "published").glob("*.json"))
    assert published == list(range(40)), "what a canary finds bad never takes its place"
    found = {state.verified for state in scene.ledger.kinds.states()[0] if not state.failed}
    assert found == {2}
    verify = scene.run("verify", manifest.name, "--json")
    assert verify.wait() == 1
    assert len(json.loads(verify.said)["findings"]) == 40


def output(n: int) -> tuple[Output, ...]:
    return (Output(path=f"published:{n}.json"),)


def test_a_quick_task_that_goes_bad_after_hundreds_of_good_ones_costs_few_attempts_too(play: Play):
    """Jobs of milliseconds are started many at a time, and lie deep in the queues: what has not begun goes
    back.
    """
    scene = play(GOOD)
    scene.run("node")
    until(lambda: scene.ledger.reports.live())
    scene.dispatch(clips(300))
    assert scene.conduct()[0] == 0
    scene.module.write_text(BAD.format(more=""))
    scene.dispatch(clips(500)[300:])
    code, said = scene.conduct()
    assert code == 1, said
    burned = [r for r in scene.receipts() if r.outcome == "failed"]
    # Five open the breaker, the other worker's may be under way just then, three are tried later.
    assert 5 < len(burned) <= 5 + 1 + 3, said
    assert scene.ledger.tallies.counts()["review"] == 200

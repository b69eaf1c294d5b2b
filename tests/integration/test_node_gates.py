"""A hot device and a person at the machine, over the whole chain: host, node, ledger, conductor, worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk
from node_scene import CONFIG, NodeScene, configure, until
from nvml_stub import Nvml, device, nvml, nvml_library  # noqa: F401 - fixtures
from vram_scene import VramScene

from conductor.base.settings.settings import Settings
from conductor.ports import Ledger

PERSON = """
[nodes.here]
yield_to = "input"
idle_minutes = 0.01
"""


@pytest.fixture
def hot(ledger: Ledger, project: Settings, nvml: Nvml) -> Iterator[VramScene]:  # noqa: F811
    nvml.show(device(0, degrees=60), device(1))
    it = VramScene(ledger, project, nvml, more="[devices]\nmax_temperature_c = 83\n")
    yield it
    it.close()


def at_limit(scene: VramScene, degrees: int) -> None:
    scene.stub.show(device(0, degrees=degrees), device(1))


def closed(scene: NodeScene) -> list[tuple[str, str]]:
    report = scene.report()
    return [] if report is None else [(o.gate, o.device) for o in report.obstacles]


def answer(scene: NodeScene, *words: str, env: dict[str, str] | None = None) -> str:
    command = scene.run(*words, env=env)
    assert command.wait() in (0, 1)
    return command.said


def test_a_hot_device_starts_nothing_until_it_has_cooled_and_the_other_goes_on(hot: VramScene):
    hot.node(hot.stub.env)
    assert closed(hot) == []
    at_limit(hot, 90)
    until(lambda: closed(hot) == [("temperature", "gpu0")])
    jobs = [hot.hold(n, 15000) for n in range(2)]
    hot.run("conduct")
    until(lambda: any(hot.job(job).state == "running" for job in jobs))
    (waits,) = [job for job in jobs if hot.job(job).state == "waiting"]
    (runs,) = [job for job in jobs if job != waits]
    held = hot.job(runs).reservation
    assert held is not None and held.devices == ("gpu1",), (
        "a device that tells no temperature is never closed by it"
    )

    until(lambda: "here/gpu0, it is too hot (now 90 °C, opens at 78 °C)" in answer(hot, "explain", waits))
    assert "gpu0 Stub-0: 0 MiB used of 24576 MiB, starts nothing: it is too hot" in answer(
        hot, "status"
    ).replace(" (0 ours)", "")
    at_limit(hot, 80)
    until(lambda: (report := hot.report()) and report.obstacles[0].figure == 80)
    assert hot.job(waits).state == "waiting"
    at_limit(hot, 77)

    held = hot.until_state(waits, "running").reservation
    assert held is not None and held.devices == ("gpu0",)
    hot.release(0, 1)
    hot.until_state(waits, "done")
    assert "gpu1 does not tell its temperature" in answer(hot, "doctor", env=hot.stub.env)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (folder := tmp_path / "desk").mkdir()
    return Desk(folder)


@pytest.fixture
def scene(ledger: Ledger, project: Settings) -> Iterator[NodeScene]:
    it = NodeScene(ledger, configure(project, CONFIG + PERSON))
    yield it
    it.close()


def test_a_host_whose_person_is_there_finishes_what_it_has_and_starts_nothing(scene: NodeScene, desk: Desk):
    scene.node(desk.env)
    scene.run("conduct")
    running = scene.waits(1)
    scene.until_begun(1)
    queued = scene.put(2, 0.0)
    scene.until_state(queued, "admitted")

    desk.comes()

    until(lambda: closed(scene) == [("input", "")])
    view = scene.until_state(queued, "waiting")
    assert view.attempts == 1 and not view.failures, "it was handed over and not begun: given back"
    until(lambda: "somebody is at this machine" in answer(scene, "explain", queued))
    nodes = json.loads(answer(scene, "status", "--json"))["nodes"]
    (obstacle,) = nodes[0]["obstacles"]
    assert (obstacle["gate"], obstacle["figure"], obstacle["opens_at"]) == ("input", 0, 0.01)
    scene.release(1)
    scene.until_state(running, "done")
    assert (view := scene.job(queued)).state == "waiting" and view.attempts == 1, "nor handed over again"
    desk.leaves()
    scene.until_state(queued, "done")

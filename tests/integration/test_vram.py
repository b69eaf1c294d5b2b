"""Devices are never overbooked: the whole chain over a stub driver, with a foreign process that comes and
goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from node_scene import CONFIG, NodeScene, configure, until
from nvml_stub import Nvml, device, nvml, nvml_library  # noqa: F401 - fixtures

from conductor.base.settings.settings import Settings
from conductor.model.spec import Needs
from conductor.ports import Ledger

TEN_GIB = Needs(vram_mib=10240)


@pytest.fixture
def scene(ledger: Ledger, project: Settings) -> Iterator[NodeScene]:
    config = CONFIG.replace("gpu.workers = 2", "gpu.workers = 3\ngpu.depth = 6")
    it = NodeScene(ledger, configure(project, config.replace("cpu.workers = 1", "cpu.workers = 0")))
    yield it
    it.close()


def watch(scene: NodeScene, jobs: list[str]) -> Counter[str]:
    """Until all are done: the most jobs that any device held at one time."""
    most: Counter[str] = Counter()

    def all_done() -> bool:
        held = Counter(d for r in scene.ledger.handover.reservations() for d in r.devices)
        most.update({key: max(0, n - most[key]) for key, n in held.items()})
        return all(scene.job(job).state == "done" for job in jobs)

    until(all_done, 60.0, every_s=0.005)
    return most


@pytest.mark.parametrize("count", [1, 2])
def test_twelve_jobs_of_10_gib_are_never_more_than_two_on_a_device_of_24(
    scene: NodeScene,
    nvml: Nvml,  # noqa: F811
    count: int,
):
    nvml.show(*(device(i) for i in range(count)))
    scene.node(nvml.env)
    jobs = [scene.put(n, 0.2, lane="gpu", needs=TEN_GIB) for n in range(12)]
    scene.run("conduct", env=nvml.env)
    assert watch(scene, jobs) == {f"gpu{i}": 2 for i in range(count)}


def test_nothing_starts_while_a_foreign_process_holds_the_memory(scene: NodeScene, nvml: Nvml):  # noqa: F811
    nvml.show(device(0))
    scene.node(nvml.env)
    first = scene.waits(1, lane="gpu", needs=TEN_GIB)
    conduct = scene.run("conduct")
    scene.until_begun(1)

    nvml.show(device(0, used_mib=20000))
    until(lambda: (r := scene.report()) and r.devices[0].vram_used_mib == 20000)
    second = scene.put(2, 0.0, lane="gpu", needs=TEN_GIB)
    scene.release(1)
    scene.until_state(first, "done")
    until(lambda: "Held gpu" in conduct.said)
    assert scene.job(second).state == "waiting"

    nvml.show(device(0))
    scene.until_state(second, "done")

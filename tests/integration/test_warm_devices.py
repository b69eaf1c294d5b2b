"""What workers keep on a device between jobs, and what they fail to give back: the whole chain on a stub
driver.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from node_scene import until
from nvml_stub import Nvml, device, nvml, nvml_library  # noqa: F401 - fixtures
from vram_scene import VramScene

from conductor.base.settings.settings import Settings
from conductor.ports import Ledger

#: A task that says which model it wants, and keeps it as a task of ONNX does.
TASKS = """
@task("vram.model", lane="gpu", warm="onnx:{model}", timeout_s=60.0)
def model(args, ctx):
    made_by = ctx.warm("session of " + args["model"], lambda: ctx.job_id)
    take(args["state"], args["mib"], visible())
    while not os.path.exists(args["until"]) and not ctx.should_stop():
        time.sleep(0.01)
    take(args["state"], args.get("leaves", 0), visible())
    return {"made_by": made_by, "pid": os.getpid()}
"""


@pytest.fixture
def scene(ledger: Ledger, project: Settings, nvml: Nvml) -> Iterator[VramScene]:  # noqa: F811
    nvml.show(device(0))
    it = VramScene(ledger, project, nvml, tasks=TASKS)
    yield it
    it.close()


def both_idle_with(scene: VramScene, mib: int) -> tuple[int, int]:
    """Both workers of gpu0 idle, each keeping so much; the pids of their children."""
    jobs = [scene.hold(n, 8192, args={"leaves": mib}) for n in (1, 2)]
    for job in jobs:
        scene.until_state(job, "running")
    scene.release(1, 2)
    for job in jobs:
        scene.until_state(job, "done")
    until(lambda: (d := scene.device()) and d.ours and sorted(d.ours.values()) == [mib, mib])
    first, second = (scene.receipts(job)[0].result["pid"] for job in jobs)
    return first, second


def test_what_an_idle_worker_keeps_gives_way_to_a_job_that_needs_the_room(scene: VramScene):
    scene.node(scene.stub.env)
    scene.run("conduct")
    pids = both_idle_with(scene, 6144)

    big = scene.hold(3, 20480)

    held = scene.until_state(big, "running").reservation
    assert held is not None
    seen = until(lambda: d if (d := scene.device()) and d.ours == {held.worker: 20480} else None)
    assert seen.vram_used_mib == 20480, "and never more than there is"
    scene.release(3)
    scene.until_state(big, "done")
    # The one that gave way is as good as before, with a fresh child.
    again = [scene.hold(n, 8192) for n in (4, 5)]
    for job in again:
        scene.until_state(job, "running")
    scene.release(4, 5)
    for job in again:
        scene.until_state(job, "done")
    assert {scene.receipts(job)[0].result["pid"] for job in again} != set(pids)


def test_where_there_is_room_for_both_what_is_warm_stays(scene: VramScene):
    scene.node(scene.stub.env)
    scene.run("conduct")
    pids = both_idle_with(scene, 2048)
    small = scene.hold(3, 8192)
    scene.until_state(small, "running")
    until(lambda: (d := scene.device()) and d.ours and sorted(d.ours.values()) == [2048, 8192])
    scene.release(3)
    scene.until_state(small, "done")
    assert scene.receipts(small)[0].result["pid"] in pids


def test_a_job_goes_where_its_model_is_warm_and_the_report_says_so(scene: VramScene):
    scene.stub.show(device(0), device(1))
    scene.node(scene.stub.env)
    scene.run("conduct")
    # gpu0 is taken, so the model is made on gpu1.
    other = scene.hold(1, 20480)
    scene.until_state(other, "running")
    first = scene.hold(2, 8192, task="vram.model", args={"model": "yolo"})
    scene.release(2)
    assert scene.until_state(first, "done").state == "done"
    scene.release(1)
    scene.until_state(other, "done")
    warm = until(lambda: {q.queue: q.warm for q in r.queues if q.warm} if (r := scene.report()) else None)
    assert warm == {"gpu-here-gpu1": ("onnx:yolo",)}
    # What a body held counts until the driver says that it is gone: until then gpu0 takes nobody.
    until(lambda: (r := scene.report()) and all(d.vram_used_mib < 20480 for d in r.devices))

    # One after the other: in one tick the first would be packed beside the second, whose model stays.
    plain = scene.hold(3, 8192)
    assert devices_of(scene, plain) == ("gpu0",)
    wanting = scene.hold(4, 8192, task="vram.model", args={"model": "yolo"})
    assert devices_of(scene, wanting) == ("gpu1",)
    scene.release(3, 4)
    scene.until_state(wanting, "done")


def test_a_child_whose_vram_does_not_come_back_is_replaced_before_the_next_job(scene: VramScene):
    node = scene.node(scene.stub.env)
    scene.run("conduct")
    pids: list[int] = []
    for n, leaves in ((1, 100), (2, 100), (3, 2048), (4, 100)):
        # One at a time, each of them behind a job that keeps the other worker busy.
        job = scene.hold(n, 4096, args={"leaves": leaves})
        if n == 1:
            busy = scene.hold(99, 4096)
            scene.until_state(busy, "running")
        scene.release(n)
        scene.until_state(job, "done")
        pids.append(scene.receipts(job)[0].result["pid"])
    assert pids[0] == pids[1] == pids[2] != pids[3]
    assert "its VRAM is 1948 MiB above what it was at first (workers.leak_vram_mib)" in log_of(scene), (
        node.said
    )
    scene.release(99)


def log_of(scene: VramScene) -> str:
    return "".join(log.read_text() for log in scene.settings.logs_dir.glob("worker-here-gpu*"))


@pytest.mark.slow
def test_a_device_that_keeps_a_dead_job_s_memory_is_quarantined_with_the_reason_until_it_gives_it_back(
    scene: VramScene,
):
    scene.node(scene.stub.env)
    conduct = scene.run("conduct")
    job = scene.hold(1, 8192)
    scene.until_state(job, "running")
    until(lambda: (d := scene.device()) and d.ours and sum(d.ours.values()) == 8192)
    (pid,) = [int(word[1:].split(":")[0]) for word in scene.stub.lines()[0].split() if word.startswith("+")]

    # Its process dies, and the driver keeps what it held.
    scene.stub.show(device(0, used_mib=8192))
    os.kill(pid, signal.SIGKILL)

    seen = until(lambda: d if (d := scene.device()) and d.quarantined else None)
    assert seen.quarantined is not None
    assert f" ({job[:8]}) ended (pid {pid} is gone), since " in seen.quarantined
    waits = scene.hold(2, 4096)
    until(lambda: "Held gpu" in conduct.said)
    explained = scene.run("explain", waits)
    explained.wait()
    assert "quarantined: keeps 8.0 GiB after " in explained.said and f" ({job[:8]}) ended" in explained.said
    assert "not used: keeps 8.0 GiB" in said(scene, "status")

    scene.stub.show(device(0))

    scene.release(1, 2)
    scene.until_state(waits, "done")


def said(scene: VramScene, *words: str) -> str:
    command = scene.run(*words)
    command.wait()
    return command.said


def test_a_device_is_kept_out_and_taken_back_by_the_operator_s_word(scene: VramScene):
    scene.node(scene.stub.env)
    scene.run("conduct")
    assert "here/gpu0 is paused" in said(scene, "pause", "gpu0")
    job = scene.hold(1, 4096)
    scene.release(1)
    until(
        lambda: (
            "quarantined: by the operator, until `conductor resume here/gpu0`" in said(scene, "explain", job)
        )
    )
    assert "here/gpu0 is used again" in said(scene, "resume", "here/gpu0")
    scene.until_state(job, "done")


def devices_of(scene: VramScene, job_id: str) -> tuple[str, ...]:
    held = scene.until_state(job_id, "running").reservation
    assert held is not None
    return held.devices

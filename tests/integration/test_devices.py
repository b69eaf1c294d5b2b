"""Jobs that want several devices at once, over the whole chain: node, ledger, conductor, worker, stub
driver.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from builders import a_reservation
from msgspec import structs
from node_scene import until
from nvml_stub import Nvml, device, divided, nvml, nvml_library  # noqa: F401 - fixtures
from vram_scene import VramScene

from conductor.base.settings.settings import Settings
from conductor.model.decision import Admission
from conductor.model.receipt import Receipt
from conductor.ports import Ledger


@pytest.fixture
def scene(ledger: Ledger, project: Settings, nvml: Nvml) -> Iterator[VramScene]:  # noqa: F811
    nvml.show(device(0), device(1))
    it = VramScene(ledger, project, nvml)
    yield it
    it.close()


def test_a_job_of_two_devices_is_charged_run_and_measured_on_both(scene: VramScene):
    scene.node(scene.stub.env)
    job = scene.hold(1, 10240, devices=2)
    conduct = scene.run("conduct")

    held = scene.until_state(job, "running").reservation
    assert held is not None
    assert (held.queue, held.devices, held.vram_mib) == ("gpu-here-gpu0", ("gpu0", "gpu1"), 10240)
    for index in (0, 1):
        assert until(lambda i=index: (d := scene.device(i)) and d.ours) == {held.worker: 10240}
    until(lambda: (r := scene.job(job).reservation) and r.usage and r.usage.vram_mib == 10240)
    # Another that wants both fits beside it (20 GiB of 24 on each), a third does not.
    others = [scene.hold(n, 10240, devices=2) for n in (2, 3)]
    scene.until_state(others[0], "running")
    until(lambda: "Held gpu" in conduct.said)
    assert scene.job(others[1]).state == "waiting"

    scene.release(1, 2, 3)

    scene.until_state(job, "done")
    (receipt,) = scene.receipts(job)
    assert receipt.devices == ("gpu0", "gpu1")
    assert receipt.result["visible"] == "GPU-stub-0,GPU-stub-1"
    assert (receipt.usage.vram_mib, receipt.usage.vram_on) == (10240, {"gpu0": 10240, "gpu1": 10240})
    for other in others:
        scene.until_state(other, "done")
    assert all(set(scene.receipts(j)[0].devices) == {"gpu0", "gpu1"} for j in others)


def test_jobs_of_one_and_of_two_devices_never_wait_for_each_other_for_ever(scene: VramScene):
    scene.node(scene.stub.env)
    # Each of them nearly fills its devices: every order of queues and devices is played through.
    jobs = [scene.hold(n, 20480, devices=1 + n % 2) for n in range(12)]
    scene.release(*range(12))

    scene.run("conduct")

    for job in jobs:
        scene.until_state(job, "done", limit_s=40.0)
    ran = [scene.receipts(job)[0] for job in jobs]
    assert [len(receipt.devices) for receipt in ran] == [1 + n % 2 for n in range(12)]
    for a in ran:
        for b in ran:
            if a is not b and set(a.devices) & set(b.devices):
                # Not the receipts' times: a successor's body begins while the outputs of the one before it
                # are published.
                a_s, b_s = a.result, b.result
                assert a_s["ended"] <= b_s["began"] or b_s["ended"] <= a_s["began"], "they overlapped"


@pytest.mark.slow
def test_a_body_that_takes_what_others_were_promised_is_stopped_and_the_honest_one_goes_on(scene: VramScene):
    scene.stub.show(device(0))
    scene.node(scene.stub.env)
    scene.run("conduct")
    honest = scene.hold(1, 8192)
    scene.until_state(honest, "running")

    # It says 4 GiB and takes all that there is, as far as 276 MiB.
    liar = scene.hold(2, 4096, takes=16108)

    failed = until(lambda: scene.receipts(liar))[0]
    assert (failed.cause, failed.usage.vram_mib) == ("cuda_oom", 16108)
    assert failed.message == "held 15.7 GiB of gpu0 where 4.0 GiB were reserved, and it was full"
    # Its next attempt asks for what it took, which does not fit beside the honest one.
    scene.release(1, 2)
    scene.until_state(honest, "done")
    scene.until_state(liar, "done")
    assert scene.receipts(honest)[0].outcome == "ok"


def test_what_a_body_holds_beyond_its_word_is_harmless_where_nobody_needs_it(scene: VramScene):
    scene.stub.show(device(0))
    scene.node(scene.stub.env)
    scene.run("conduct")
    job = scene.hold(1, 4096, takes=6000)
    scene.until_state(job, "running")
    until(lambda: (r := scene.job(job).reservation) and r.usage and r.usage.vram_mib == 6000)
    scene.release(1)
    scene.until_state(job, "done")
    assert len(scene.receipts(job)) == 1


RUNS_OUT_ONCE = """
@task("vram.once", lane="gpu", timeout_s=60.0, retry={"cuda_oom": 1})
def once(args, ctx):
    if ctx.attempt == 1:
        raise RuntimeError("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size)")
    return {}
"""


@pytest.mark.slow
def test_beside_a_desktop_one_out_of_memory_does_not_make_a_job_unschedulable(
    ledger: Ledger,
    project: Settings,
    nvml: Nvml,  # noqa: F811
):
    nvml.show(device(0, used_mib=300))
    scene = VramScene(ledger, project, nvml, tasks=RUNS_OUT_ONCE)
    try:
        job = scene.hold(1, 20_000, task="vram.once")

        assert scene.run("conduct", "--until-done", env=nvml.env).wait(60.0) == 0

        first, second = sorted(scene.receipts(job), key=lambda receipt: receipt.attempt)
        assert (first.cause, second.outcome) == ("cuda_oom", "ok")
        assert second.asked is not None and second.asked.vram_mib == 24_576 - 512 - 300
    finally:
        scene.close()


def test_a_job_lands_on_the_card_that_was_decided_for_whatever_order_the_driver_lists(
    ledger: Ledger,
    project: Settings,
    nvml: Nvml,  # noqa: F811
):
    large, small = device(0, total_mib=24_576), device(1, total_mib=12_288)
    nvml.show(small, large)
    scene = VramScene(ledger, project, nvml)
    try:
        scene.node(nvml.env)
        scene.run("conduct", env=nvml.env)
        first = scene.hold(1, 12_000)
        assert scene.until_state(first, "running").reservation.devices == ("gpu1",)  # type: ignore[union-attr]

        # The one that runs holds what it took by its process, wherever its card is listed.
        nvml.swap()

        until(lambda: (r := scene.report()) and [d.vram_total_mib for d in r.devices] == [12_288, 24_576])
        assert [d.uuid for d in scene.report().devices] == ["GPU-stub-1", "GPU-stub-0"]  # type: ignore[union-attr]
        others = [scene.hold(n, 11_900) for n in (2, 3)]
        scene.until_state(others[0], "running")
        scene.release(1, 2, 3)
        for job in (first, *others):
            scene.until_state(job, "done")
            (receipt,) = scene.receipts(job)
            assert (receipt.devices, receipt.uuids) == (("gpu1",), ("GPU-stub-0",))
            assert receipt.result["visible"] == "GPU-stub-0"
    finally:
        scene.close()


def test_what_was_handed_over_for_a_card_that_is_gone_goes_back_unbegun(
    ledger: Ledger,
    project: Settings,
    nvml: Nvml,  # noqa: F811
):
    nvml.show(device(0))
    scene = VramScene(ledger, project, nvml)
    try:
        job = scene.hold(1, 4096)
        # Before the node reports: nobody knows yet which cards it has.
        epoch = ledger.leadership.lead("before", 60.0)
        assert epoch is not None
        for_another = a_reservation(
            job, state="admitted", worker=None, node="here", queue="gpu-here-gpu0", vram_mib=4096,
            devices=("gpu0",), uuids=("GPU-gone",),
        )  # fmt: skip
        class_id = scene.job(job).class_id
        admission = Admission(reservation=structs.replace(for_another, class_id=class_id), backlog="night")
        assert ledger.handover.admit(epoch, [admission]) == (None,)
        ledger.leadership.resign("before")
        scene.release(1)

        node = scene.node(nvml.env)
        until(lambda: "not begun: it was admitted for gpu0 (GPU-gone), which is GPU-stub-0 now" in node.said)
        scene.run("conduct", env=nvml.env)

        scene.until_state(job, "done")
        (receipt,) = scene.receipts(job)
        assert (receipt.uuids, receipt.result["visible"]) == (("GPU-stub-0",), "GPU-stub-0")
        assert scene.job(job).failures == {}, "it cost the job nothing"
    finally:
        scene.close()


@pytest.mark.slow
@pytest.mark.parametrize("lists", [True, False])
def test_a_device_of_unknown_size_is_used_as_declared(
    ledger: Ledger,
    project: Settings,
    nvml: Nvml,  # noqa: F811
    lists: bool,
):
    """Unified memory tells no size; under WSL nobody is told who holds what."""
    nvml.show(device(0, used_mib=None, lists=lists))
    scene = VramScene(ledger, project, nvml, more="[devices.gpu0]\nvram_mib = 24576\n")
    try:
        scene.node(nvml.env)
        scene.run("conduct", env=nvml.env)
        jobs = [scene.hold(n, 10_240) for n in range(3)]
        for job in jobs[:2]:
            scene.until_state(job, "running", limit_s=40.0)
        assert scene.job(jobs[2]).state == "waiting", "two of them fill what is declared"
        shown = scene.device()
        assert shown is not None and (shown.vram_total_mib, shown.is_declared, shown.quarantined) == (
            24576,
            True,
            None,
        )

        scene.release(0, 1, 2)

        for job in jobs:
            scene.until_state(job, "done")
        (receipt,) = scene.receipts(jobs[0])
        assert receipt.usage.vram_mib == (10_240 if lists else None), "what is not told is not zero"
    finally:
        scene.close()


def test_a_device_whose_size_nobody_tells_ends_a_run_with_what_to_do(
    ledger: Ledger,
    project: Settings,
    nvml: Nvml,  # noqa: F811
):
    nvml.show(device(0, used_mib=None))
    scene = VramScene(ledger, project, nvml)
    try:
        scene.hold(1, 4096)
        conduct = scene.run("conduct", "--until-done", env=nvml.env)
        assert conduct.wait(60.0) == 1
        assert "say it in conductor.toml, devices.gpu0.vram_mib = …" in conduct.said
    finally:
        scene.close()


def test_jobs_run_on_the_slices_of_a_divided_card(
    ledger: Ledger,
    project: Settings,
    nvml: Nvml,  # noqa: F811
):
    nvml.show(*divided(0, 9856, 9856))
    scene = VramScene(ledger, project, nvml)
    try:
        scene.node(nvml.env)
        scene.run("conduct", env=nvml.env)
        jobs = [scene.hold(n, 8192) for n in range(2)]
        scene.release(0, 1)

        for job in jobs:
            scene.until_state(job, "done")
        ran = [scene.receipts(job)[0] for job in jobs]
        assert {receipt.result["visible"] for receipt in ran} <= {"MIG-stub-0-0", "MIG-stub-0-1"}
        assert [receipt.uuids for receipt in ran] == [(receipt.result["visible"],) for receipt in ran]
    finally:
        scene.close()


UNDER_DECLARED = """
@task("vram.batch", lane="gpu", timeout_s=60.0, retry={"cuda_oom": 1})
def batch(args, ctx):
    \"\"\"Says 500 MiB and takes 5,000, as far as there is room: what does not fit fails.\"\"\"
    state = Path(args["state"])
    with open(state.with_suffix(".turn"), "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        line = state.read_text().splitlines()[0].split()
        held = [word[1:].split(":") for word in line[5:] if word.startswith("+")]
        others = [(pid, mib) for pid, mib in held if int(pid) != os.getpid()]
        used = sum(int(mib) for pid, mib in others if os.path.exists(f"/proc/{pid}"))
        if used + 5000 > int(line[2]):
            raise RuntimeError("CUDA out of memory. Tried to allocate 4.88 GiB")
        take(state, 5000, visible())
    time.sleep(2.5)
    take(state, 0, visible())
    return {}
"""


def under_declared(
    ledger: Ledger, project: Settings, stub: Nvml, count: int, more: str = ""
) -> list[list[Receipt]]:
    """So many jobs of that kind, run to their end by seven workers of one device; the receipts of each."""
    stub.show(device(0))
    scene = VramScene(ledger, project, stub, more=more, tasks=UNDER_DECLARED)
    file = scene.settings.project / "conductor.toml"
    file.write_text(
        file.read_text().replace("gpu.workers = 2", "gpu.workers = 7").replace("depth = 4", "depth = 2")
    )
    try:
        jobs = [scene.hold(n, 500, task="vram.batch") for n in range(count)]
        assert scene.run("conduct", "--until-done", env=stub.env).wait(100.0) == 0, "none is dead"
        return [scene.receipts(job) for job in jobs]
    finally:
        scene.close()


@pytest.mark.slow
def test_a_batch_that_says_a_tenth_of_what_it_takes_does_not_kill_itself(
    ledger: Ledger,
    project: Settings,
    nvml: Nvml,  # noqa: F811
):
    ran = under_declared(ledger, project, nvml, 16, "[learning]\nis_on = false\n")

    failed = [receipt for receipts in ran for receipt in receipts if receipt.outcome == "failed"]
    assert {receipt.cause for receipt in failed} <= {"cuda_oom"}
    # With one retry each; most of those that ran out were let in before anything could be measured.
    assert len(failed) <= 16


@pytest.mark.slow
def test_the_first_of_a_kind_shows_what_it_takes_before_the_others_begin(
    ledger: Ledger,
    project: Settings,
    nvml: Nvml,  # noqa: F811
):
    ran = under_declared(ledger, project, nvml, 40)

    failed = [receipt for receipts in ran for receipt in receipts if receipt.outcome == "failed"]
    assert len(failed) <= 2, "twenty-two of forty ran out while the first seven began by their word"

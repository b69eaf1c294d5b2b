from __future__ import annotations

from conductor.base.settings.sections import GpuLane, Lanes, LaneSettings
from conductor.base.settings.settings import Settings
from conductor.model.report import Device
from conductor.node.queue_plan import node_name, plan_queues
from conductor.node.restart_backoff import LONGEST_S, Backoff

GPUS = tuple(Device(index=i, uuid=f"GPU-{i}", name="x", vram_total_mib=24576) for i in range(2))


def counts(lanes: Lanes | None = None, devices=(), cpus=4.0, **more) -> dict[str, int]:
    return {
        plan.queue: plan.workers for plan in plan_queues("here", lanes or Lanes(), devices, cpus, **more)[0]
    }


def test_each_device_has_a_queue_of_its_own_with_two_workers():
    assert counts(devices=GPUS) == {
        "gpu-here-gpu0": 2,
        "gpu-here-gpu1": 2,
        "cpu-here": 4,
        "io-here": 2,
        "cloud-here": 4,
    }


def test_without_a_device_the_gpu_lane_waits_and_says_so():
    plans, notes = plan_queues("here", Lanes(), (), 4)
    assert not [plan for plan in plans if plan.lane == "gpu"]
    assert notes == ("no device: jobs of the gpu lane wait (lanes.gpu.on_cpu = true runs them on the CPU)",)


def test_without_a_device_the_gpu_lane_runs_on_the_cpu_where_configured():
    lanes = Lanes(gpu=GpuLane(on_cpu=True))
    plans, notes = plan_queues("here", lanes, (), 4)
    assert [(plan.queue, plan.workers, plan.device) for plan in plans if plan.lane == "gpu"] == [
        ("gpu-here", 1, None)
    ]
    assert notes == ("no device: the gpu lane runs on the CPU",)
    assert "gpu-here" not in counts(lanes, GPUS)


def test_configured_counts_stand_and_zero_means_no_queue():
    lanes = Lanes(gpu=GpuLane(workers=1), cpu=LaneSettings(workers=0), io=LaneSettings(workers=7))
    assert counts(lanes, GPUS[:1]) == {"gpu-here-gpu0": 1, "io-here": 7, "cloud-here": 4}


def test_half_a_core_still_has_one_worker():
    assert counts(cpus=0.5)["cpu-here"] == 1


def test_a_filter_leaves_only_its_lanes_and_their_notes():
    assert counts(devices=GPUS, only={"cpu"}) == {"cpu-here": 4}
    assert plan_queues("here", Lanes(), (), 4, {"cpu"})[1] == ()


def test_node_names_hold_what_queues_and_keys_may_hold():
    assert node_name(Settings(node="my host.lan-1").node) == "my_host_lan_1"


def test_a_first_death_is_answered_at_once_and_a_crash_loop_ever_later():
    backoff = Backoff()
    assert backoff.died(100.0) == 0
    assert [backoff.died(0.1) for _ in range(4)] == [0, 0.25, 0.5, 1.0]
    assert backoff.is_looping
    assert max(backoff.died(0.1) for _ in range(50)) == LONGEST_S
    assert backoff.died(60.0) == 0
    assert not backoff.is_looping


def test_a_kill_from_outside_is_no_crash_loop():
    backoff = Backoff()
    delays = [backoff.died(0.1, exit_code=-9) for _ in range(50)]
    assert delays[:3] == [0, 0.25, 0.5] and max(delays) == 1.0
    assert not backoff.is_looping
    assert [backoff.died(0.1, exit_code=1) for _ in range(3)] == [0, 0.25, 0.5]
    assert backoff.is_looping

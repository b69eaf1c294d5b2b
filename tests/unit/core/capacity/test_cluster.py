"""Whose VRAM it is: what the driver lists as our workers' is no stranger's, and only what is beyond a word
is gone.
"""

from __future__ import annotations

from conductor.core.capacity.cluster import Free
from conductor.model.limits import Limits
from conductor.model.receipt import Usage
from conductor.model.snapshot import Reservation
from tests.builders import NOW, a_device, a_report, a_reservation, a_snapshot

LIMITS = Limits(vram_headroom_mib=576)  # 24000 MiB of a device to give


def free_mib(used: int, ours: dict[str, int] | None, *held: Reservation, key: str = "gpu0") -> int:
    devices = tuple(a_device(i, vram_used_mib=used, ours=ours) for i in range(2))
    snapshot = a_snapshot(nodes=(a_report(devices=devices),), reservations=held)
    return Free(snapshot, LIMITS).nodes["node1"].devices[key].vram.free


def test_what_a_running_job_has_taken_is_covered_by_its_reservation_and_the_rest_is_a_stranger_s():
    job = a_reservation(worker="w1", vram_mib=8000)
    assert free_mib(0, {"w1": 0}, job) == 16000
    assert free_mib(8000, {"w1": 8000}, job) == 16000
    assert free_mib(11000, {"w1": 8000}, job) == 13000


def test_a_peak_that_has_passed_hides_no_stranger():
    job = a_reservation(worker="w1", vram_mib=8000, usage=Usage(vram_mib=8000))
    assert free_mib(12000, {"w1": 2000}, job) == 24000 - 8000 - 10000
    assert free_mib(12000, None, job) == 24000 - 8000 - 4000, (
        "the best that can be said without the driver's list"
    )


def test_what_idle_workers_keep_warm_is_free_for_it_gives_way():
    job = a_reservation(worker="w1", vram_mib=8000)
    assert free_mib(14000, {"w1": 8000, "w2": 6000}, job) == 16000


def test_what_a_body_holds_beyond_its_word_is_gone():
    liar = a_reservation(worker="w1", vram_mib=4000)
    assert free_mib(9000, {"w1": 9000}, liar) == 24000 - 4000 - 5000


def test_a_reading_from_before_the_attempt_says_nothing_of_it():
    job = a_reservation(worker="w1", vram_mib=4000, started_at=NOW)
    assert free_mib(9000, {"w1": 9000}, job) == 20000, "that was the job before it"


def test_of_a_job_on_two_devices_each_has_its_own_measure_where_the_driver_lists_nobody():
    usage = Usage(vram_mib=8000, vram_on={"gpu0": 8000, "gpu1": 1000})
    job = a_reservation(devices=("gpu0", "gpu1"), vram_mib=8000, usage=usage)
    assert free_mib(8000, None, job) == 16000
    assert free_mib(8000, None, job, key="gpu1") == 16000 - 7000

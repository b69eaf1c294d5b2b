"""VRAM claims: read by siblings, and a lock between whoever ends an idle child and the next job in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.adapters.files.vram_claims import OwnVramClaim, VramClaim, VramClaims, is_child
from conductor.model.report import Device, QueueReport
from conductor.node.health.idle_cache import UNTOLD_S, to_end, with_warm

#: Leads a group of its own and says `workers.isolation.child_main` in its words, as a child does.
CHILD = [sys.executable, "-c", "import time; time.sleep(60)", "workers.isolation.child_main"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(CHILD, process_group=0)
    while not is_child(process.pid):  # It has still our words until it has become what it is to be.
        assert process.poll() is None
    yield process
    process.kill()
    process.wait()


def test_a_vram_claim_is_read_as_it_was_written_last(tmp_path: Path):
    own, vram_claims = (
        OwnVramClaim(tmp_path, VramClaim(worker="w1", queue="gpu-a-gpu0")),
        VramClaims(tmp_path),
    )
    assert vram_claims.read() == {"w1": VramClaim(worker="w1", queue="gpu-a-gpu0")}
    own.put(VramClaim(worker="w1", job_id="abcdefgh", reserved={"gpu0": 8192}))
    own.put(VramClaim(worker="w1", job_id="abc"))
    assert vram_claims.read() == {"w1": VramClaim(worker="w1", job_id="abc")}
    own.close()
    assert vram_claims.read() == {}
    assert VramClaims(tmp_path / "none").read() == {}


def test_the_child_of_an_idle_worker_can_be_ended_and_that_of_a_busy_one_not(
    tmp_path: Path, child: subprocess.Popen[bytes]
):
    vram_claim = VramClaim(worker="w1", child=child.pid)
    own, vram_claims = OwnVramClaim(tmp_path, vram_claim), VramClaims(tmp_path)
    with own.busy():
        assert not vram_claims.end_idle(vram_claim)
        assert child.poll() is None
    assert vram_claims.end_idle(vram_claim)
    assert child.wait(5) == -9
    assert not vram_claims.end_idle(vram_claim)
    own.close()


def test_a_pid_that_is_another_s_now_is_never_killed(tmp_path: Path):
    stranger = subprocess.Popen(["sleep", "60"], process_group=0)
    vram_claim = VramClaim(worker="w1", child=stranger.pid)
    own = OwnVramClaim(tmp_path, vram_claim)
    assert not VramClaims(tmp_path).end_idle(vram_claim)
    assert not VramClaims(tmp_path).end_idle(VramClaim(worker="w1", child=os.getpid()))
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    own.close()


def test_vram_claims_of_an_earlier_node_s_dead_are_swept_and_one_that_finishes_its_job_keeps_its_own(
    tmp_path: Path,
):
    dead, alive = (
        OwnVramClaim(tmp_path, VramClaim(worker="dead")),
        OwnVramClaim(tmp_path, VramClaim(worker="alive")),
    )
    vram_claims = VramClaims(tmp_path)
    with alive.busy():
        vram_claims.sweep()
        assert set(vram_claims.read()) == {"alive"}
    dead.close()
    alive.close()


def test_who_is_idle_with_vram_for_too_long_is_to_end_and_soon_where_the_driver_tells_nothing():
    def a_device(ours: dict[str, int] | None) -> list[Device]:
        return [Device(index=0, uuid="u", name="n", vram_total_mib=24576, vram_used_mib=6000, ours=ours)]

    idle = VramClaim(worker="w1", device="gpu0", child=7, job_id="abcdefgh", since=1000.0)
    told, untold = a_device({"w1": 6000}), a_device(None)
    assert to_end([idle], told, 300.0, 1300.0) == []
    assert to_end([idle], told, 300.0, 1301.0) == [idle]
    assert to_end([idle], a_device({"w2": 6000}), 300.0, 1301.0) == [], "it holds nothing"
    assert to_end([idle], untold, 300.0, 1000.0 + UNTOLD_S + 1) == [idle]
    busy = VramClaim(
        worker="w1", device="gpu0", child=7, job_id="abcdefgh", since=1000.0, reserved={"gpu0": 100}
    )
    assert to_end([busy], told, 300.0, 9999.0) == []


def test_a_queue_reports_what_its_living_children_keep(child: subprocess.Popen[bytes]):
    queues = (QueueReport(queue="q", lane="gpu", workers=2), QueueReport(queue="r", lane="gpu", workers=1))
    vram_claims = {
        "w1": VramClaim(worker="w1", queue="q", child=child.pid, warm=("onnx:b", "onnx:a")),
        "w2": VramClaim(worker="w2", queue="r", child=2**22 + 1, warm=("onnx:c",)),
    }
    assert [q.warm for q in with_warm(queues, vram_claims)] == [("onnx:a", "onnx:b"), ()]

"""A device of which the driver tells neither use nor holders (unified memory, WSL): nobody is blamed, room
is made.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import a_device, a_report, a_reservation

from conductor.adapters.files.vram_claims import OwnVramClaim, VramClaim, folder_of, is_child
from conductor.adapters.host import nvml_probe
from conductor.adapters.host.nvml_probe import RawDevice, RawGpus
from conductor.base.settings.settings import Settings
from conductor.core.needs.running_usage import held_by_kind
from workers.isolation.device_sharers import rivals
from workers.isolation.usage import Meter
from workers.isolation.vram_claim import Claim

CHILD = [sys.executable, "-c", "import time; time.sleep(60)", "workers.isolation.child_main"]
SILENT = RawDevice(index=0, uuid="GPU-0", total_bytes=24 << 30, is_declared=True)


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml_probe, "read", lambda only=None: RawGpus(devices=(SILENT,)))
    monkeypatch.setattr(nvml_probe, "held_by", lambda pids: None)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(CHILD, process_group=0)
    while not is_child(process.pid):
        assert process.poll() is None
    yield process
    process.kill()
    process.wait()


def test_an_attempt_is_not_measured_not_ended_and_its_loss_is_its_own(tmp_path: Path):
    vram_claims = tmp_path / "vram_claims"
    own = OwnVramClaim(
        vram_claims, VramClaim(worker="w1", device="gpu0", child=os.getpid(), reserved={"gpu0": 500})
    )
    meter = Meter(
        lambda: (), ("gpu0",), 500, 512, rivals=lambda device, pid: rivals(vram_claims, device, pid)
    )
    meter.pid = os.getpid()

    assert meter.sample().vram_mib is None
    assert (meter.beyond, meter.is_others_fault()) == (None, False)
    held = a_reservation(vram_mib=500, kind="k", worker="w1")
    reports = [a_report(devices=(a_device(vram_used_mib=None),))]
    assert held_by_kind(held, [held, a_reservation("job-00000002", vram_mib=500, kind="k")], reports) == 0
    own.close()


def test_what_an_idle_sibling_may_keep_gives_way_to_a_job_that_begins(
    project: Settings, child: subprocess.Popen[bytes]
):
    idle = VramClaim(worker="w2", queue="q", device="gpu0", child=child.pid, job_id="an-earlier-one")
    sibling = OwnVramClaim(folder_of(project.layout), idle)
    claim = Claim(folder_of(project.layout), project.limits.vram_headroom_mib, "w1", "q", "gpu0")

    claim.take("job-1", 1, "media.render · a.mp4", {"gpu0": 4096}, os.getpid())

    assert child.wait(5) == -9
    claim.close()
    sibling.close()


def test_a_sibling_that_has_run_nothing_keeps_nothing(project: Settings, child: subprocess.Popen[bytes]):
    sibling = OwnVramClaim(
        folder_of(project.layout), VramClaim(worker="w2", queue="q", device="gpu0", child=child.pid)
    )
    claim = Claim(folder_of(project.layout), project.limits.vram_headroom_mib, "w1", "q", "gpu0")

    claim.take("job-1", 1, "media.render · a.mp4", {"gpu0": 4096}, os.getpid())

    assert child.poll() is None
    claim.close()
    sibling.close()

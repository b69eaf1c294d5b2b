"""The probes against the real things: a real NVML-shaped library in a real process, real folders, real
hangs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from builders import memory
from nvml_stub import Nvml, device, divided, nvml, nvml_library  # noqa: F401 - fixtures

from conductor.adapters.host import host_probe
from conductor.adapters.host.disk_probe import DiskProbe
from conductor.adapters.host.nvml_probe import RawDevice, RawGpus, by_uuid, parse
from conductor.base.settings.sections import Root
from conductor.model.report import Device

ASK = """
import sys, msgspec
from conductor.adapters.host import nvml_probe
for line in sys.stdin:
    word, *rest = line.split() or [""]
    if word == "declared":
        nvml_probe.know(None, {key: int(mib) for key, mib in (pair.split("=") for pair in rest)})
    if word == "free":
        answer = {"free": nvml_probe.free_mib()}
    elif word == "uuids":
        answer = {"uuids": nvml_probe.uuids()}
    elif word.isdigit():
        answer = {"vram": nvml_probe.held_by([int(word), *map(int, rest)])}
    else:
        answer = {"devices": nvml_probe.parse(nvml_probe.read())}
    print(msgspec.json.encode(answer).decode(), flush=True)
"""


class Prober:
    """A process that sees the stub, asked over pipes: it keeps the library loaded, as a node does."""

    def __init__(self, stub: Nvml) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", ASK],
            env={**os.environ, **stub.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, line: str) -> dict[str, object]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline())

    def devices(self) -> tuple[tuple[Device, ...], tuple[str, ...]]:
        return msgspec.convert(self._ask("")["devices"], tuple[tuple[Device, ...], tuple[str, ...]])

    def declared(self, **mib: int) -> None:
        self._ask("declared " + " ".join(f"{key}={size}" for key, size in mib.items()))

    def free(self) -> object:
        return self._ask("free")["free"]

    def uuids(self) -> object:
        return self._ask("uuids")["uuids"]

    def held_by(self, *pids: int) -> object:
        return self._ask(" ".join(map(str, pids)))["vram"]

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def prober(nvml: Nvml) -> Iterator[Prober]:  # noqa: F811
    it = Prober(nvml)
    yield it
    it.close()


# ── devices ───────────────────────────────────────────────────────────────────────────────────────────────


def test_vram_that_moves_is_seen_by_the_next_reading(prober: Prober, nvml: Nvml):  # noqa: F811
    nvml.show(device(0), device(1, total_mib=81920, used_mib=500))
    devices, notes = prober.devices()
    assert [(d.key, d.uuid, d.vram_total_mib, d.vram_used_mib) for d in devices] == [
        ("gpu0", "GPU-stub-0", 24576, 0),
        ("gpu1", "GPU-stub-1", 81920, 500),
    ]
    assert notes == ()

    nvml.show(device(0, used_mib=20000), device(1, total_mib=81920, used_mib=500))

    assert [d.vram_used_mib for d in prober.devices()[0]] == [20000, 500]


def test_a_host_without_a_driver_has_no_devices_and_a_note():
    answer = subprocess.run(
        [sys.executable, "-c", ASK],
        input="\n",
        capture_output=True,
        text=True,
        check=True,
        env=_without_nvml(),
    )
    assert '"devices":[[],["no NVIDIA driver on this host"]]' in answer.stdout


def test_memory_that_nvml_will_not_tell_is_unknown_and_not_zero(prober: Prober, nvml: Nvml):  # noqa: F811
    nvml.show(device(0, used_mib=None))
    (found,), _ = prober.devices()
    assert (found.vram_total_mib, found.vram_used_mib) == (0, None)
    assert found.quarantined == (
        "the driver does not tell how much memory it has: say it in conductor.toml, devices.gpu0.vram_mib = …"
    )


def test_a_device_of_unknown_size_is_used_as_it_is_declared(prober: Prober, nvml: Nvml):  # noqa: F811
    nvml.show(device(0, used_mib=None), device(1, used_mib=500))
    prober.declared(gpu0=65536, gpu1=8192)

    unified, told = prober.devices()[0]

    assert (unified.vram_total_mib, unified.vram_used_mib, unified.quarantined) == (65536, None, None)
    assert unified.is_declared
    assert (told.vram_total_mib, told.is_declared) == (24576, False), "what the driver tells counts"
    assert prober.free() == {"gpu1": 24076}, "of the other nobody knows"


def test_what_processes_hold_on_a_declared_device_is_in_use(prober: Prober, nvml: Nvml):  # noqa: F811
    nvml.show(device(0, used_mib=None, processes=[(11, 100), (12, 30)]))
    prober.declared(gpu0=65536)
    assert prober.devices()[0][0].vram_used_mib == 130
    assert prober.free() == {"gpu0": 65406}

    nvml.show(device(0, used_mib=None, processes=[(11, 100), (12, None)]))

    assert prober.devices()[0][0].vram_used_mib is None, "of one it is not told"


def test_a_driver_that_lists_no_processes_tells_of_none(prober: Prober, nvml: Nvml):  # noqa: F811
    nvml.show(device(0, used_mib=700, processes=[(11, 100)], lists=False))
    assert prober.devices()[0][0].vram_used_mib == 700
    assert prober.held_by(11) is None


def test_the_slices_of_a_divided_card_are_devices_and_the_card_is_none(prober: Prober, nvml: Nvml):  # noqa: F811
    nvml.show(*divided(0, 19968, 9856), device(1))
    devices, notes = prober.devices()

    assert [(d.key, d.uuid, d.vram_total_mib, d.is_slice) for d in devices] == [
        ("gpu0", "MIG-stub-0-0", 19968, True),
        ("gpu1", "MIG-stub-0-1", 9856, True),
        ("gpu2", "GPU-stub-1", 24576, False),
    ]
    assert notes == ()
    assert prober.uuids() == {"gpu0": "MIG-stub-0-0", "gpu1": "MIG-stub-0-1", "gpu2": "GPU-stub-1"}

    lines = nvml.lines()
    nvml.show(*lines[:2], lines[2] + " 11:100 12:30", *lines[3:])

    assert prober.held_by(11, 12) == {"gpu1": 130}, "by its own handle"


def test_a_divided_card_without_slices_is_said(prober: Prober, nvml: Nvml):  # noqa: F811
    nvml.show(*divided(0))
    assert prober.devices() == (
        (),
        ("Stub-0 (GPU-stub-0) is divided (MIG) and has no slices: nothing runs there",),
    )


def test_the_number_of_a_divided_card_shows_its_slices():
    raw = RawGpus(
        devices=tuple(
            RawDevice(index=i, place=place, uuid=uuid, total_bytes=1 << 30)
            for i, (place, uuid) in enumerate([(0, "MIG-a"), (0, "MIG-b"), (1, "GPU-c")])
        )
    )
    assert by_uuid(raw, "0") == "MIG-a,MIG-b"
    assert [d.uuid for d in parse(raw, "0")[0]] == ["MIG-a", "MIG-b"]
    assert [d.uuid for d in parse(raw, "MIG-b,1")[0]] == ["MIG-b", "GPU-c"]


def test_a_lost_device_is_quarantined_and_the_others_go_on(prober: Prober, nvml: Nvml):  # noqa: F811
    nvml.show(device(0), device(1, is_lost=True))
    devices, _ = prober.devices()
    assert [d.quarantined for d in devices] == [None, "GPU is lost"]


def test_a_driver_that_fails_and_comes_back_is_found_again(prober: Prober, nvml: Nvml):  # noqa: F811
    nvml.show(device(0))
    assert len(prober.devices()[0]) == 1
    nvml.show("driver: lost")
    assert prober.devices() == ((), ("NVML does not answer: Unknown Error",))
    nvml.show(device(0))
    assert len(prober.devices()[0]) == 1


def test_vram_of_a_process_tree_is_told_per_device(prober: Prober, nvml: Nvml):  # noqa: F811
    nvml.show(device(0, processes=[(11, 100), (12, 30), (99, 5000)]), device(1, processes=[(12, 4)]))
    assert prober.held_by(11, 12) == {"gpu0": 130, "gpu1": 4}
    assert prober.held_by(11) == {"gpu0": 100}


def test_vram_of_a_process_is_unknown_where_nvml_does_not_say(prober: Prober, nvml: Nvml):  # noqa: F811
    nvml.show(device(0, processes=[(11, 100), (12, None)]))
    assert prober.held_by(11, 12) is None
    assert prober.held_by(77) is None
    nvml.show("driver: lost")
    assert prober.held_by(11) is None


def test_cuda_visible_devices_of_the_node_hides_the_others():
    raw = RawGpus(
        devices=tuple(RawDevice(index=i, uuid=f"GPU-{i}abc", total_bytes=1 << 30) for i in range(3))
    )
    assert [d.index for d in parse(raw, "2,GPU-0")[0]] == [0, 2]
    assert parse(raw, "")[0] == ()
    assert parse(raw, "")[1] == ("CUDA_VISIBLE_DEVICES hides 3 of 3 devices",)


def _without_nvml() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}


# ── disks ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def probes() -> Iterator[list[DiskProbe]]:
    made: list[DiskProbe] = []
    yield made
    for probe in made:
        probe.close()


def test_free_space_is_what_a_user_may_take(tmp_path: Path, probes: list[DiskProbe]):
    probe = DiskProbe({"scratch": Root(path=tmp_path)})
    probes.append(probe)
    (volume,) = probe.read()
    facts = os.statvfs(tmp_path)
    assert volume.is_writable and volume.fault is None
    assert volume.total_bytes == facts.f_blocks * facts.f_frsize
    assert volume.free_bytes == pytest.approx(facts.f_bavail * facts.f_frsize, abs=256 << 20)


def test_a_missing_marker_is_a_fault_and_the_folder_is_not_made(tmp_path: Path, probes: list[DiskProbe]):
    nas = tmp_path / "nas"
    probe = DiskProbe({"nas": Root(path=nas, marker=".conductor-mount")})
    probes.append(probe)
    (volume,) = probe.read(make=True)
    assert volume.fault == f"not mounted: marker .conductor-mount is missing in {nas}"
    assert volume.free_bytes is None and not volume.is_writable and not nas.exists()

    nas.mkdir()
    (nas / ".conductor-mount").touch()
    assert probe.read()[0].fault is None


def test_a_root_without_a_marker_is_made_once_at_start(tmp_path: Path, probes: list[DiskProbe]):
    scratch = tmp_path / "a" / "scratch"
    probe = DiskProbe({"scratch": Root(path=scratch)})
    probes.append(probe)
    assert probe.read(make=True)[0].fault is None
    scratch.rmdir()
    assert probe.read()[0].fault == f"{scratch} is not there"


def test_a_root_that_cannot_be_made_says_why(tmp_path: Path, probes: list[DiskProbe]):
    (tmp_path / "file").touch()
    probe = DiskProbe({"scratch": Root(path=tmp_path / "file" / "scratch")})
    probes.append(probe)
    assert probe.read(make=True)[0].fault == f"{tmp_path / 'file' / 'scratch'}: Not a directory"


HANGING = """
import os, sys, time, json
sys.path.insert(0, %r)
import disk_child
look = disk_child.look
def hang(path, marker, make):
    while os.path.exists(path + ".hangs"):
        time.sleep(0.02)
    return look(path, marker, make)
disk_child.look = hang
disk_child.main()
"""


def test_a_folder_that_hangs_is_a_fault_and_the_others_are_still_read(
    tmp_path: Path, probes: list[DiskProbe]
):
    scratch, nas = tmp_path / "scratch", tmp_path / "nas"
    scratch.mkdir()
    nas.mkdir()
    (tmp_path / "nas.hangs").touch()
    adapters = str(Path(host_probe.__file__).parent)
    command = (sys.executable, "-I", "-c", HANGING % adapters)
    probe = DiskProbe({"nas": Root(path=nas), "scratch": Root(path=scratch)}, limit_s=0.5, command=command)
    probes.append(probe)

    began = time.monotonic()
    hanging, fine = probe.read()

    assert hanging.fault == f"{nas} did not answer for 0.5 s"
    assert fine.fault is None
    assert time.monotonic() - began < 5

    (tmp_path / "nas.hangs").unlink()
    assert _until(lambda: all(v.fault is None for v in probe.read()))


def test_a_probe_child_that_is_killed_is_replaced(tmp_path: Path, probes: list[DiskProbe]):
    probe = DiskProbe({"scratch": Root(path=tmp_path)})
    probes.append(probe)
    probe.read()
    assert probe._child is not None
    probe._child.send_signal(signal.SIGKILL)
    probe._child.wait()
    assert "ended without an answer" in str(probe.read()[0].fault)
    assert probe.read()[0].fault is None


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting takes Linux and root")
def test_a_full_and_a_read_only_disk_are_seen_as_such(tmp_path: Path, probes: list[DiskProbe]):
    mount = shutil.which("mount")
    small = tmp_path / "small"
    small.mkdir()
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", small]).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        probe = DiskProbe({"scratch": Root(path=small)})
        probes.append(probe)
        assert probe.read()[0].free_bytes == 1 << 20
        (small / "big").write_bytes(bytes(1 << 20))
        assert probe.read()[0].free_bytes == 0
        subprocess.run([mount, "-o", "remount,ro", small], check=True)
        assert probe.read()[0].fault == f"{small} is mounted read-only"
    finally:
        subprocess.run(["umount", small], check=True)


# ── host ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_this_host_has_memory_cores_and_a_boot_id():
    facts = host_probe.read()
    ram = facts.measured["ram"]
    assert ram.total and ram.free and ram.free <= ram.total
    assert 0 < facts.cpu_count <= (os.cpu_count() or 1)
    assert host_probe.boot_id() == host_probe.boot_id() != ""


def test_limits_of_the_cgroup_and_of_those_above_it_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    group = tmp_path / "a" / "b"
    group.mkdir(parents=True)
    (tmp_path / "a" / "memory.max").write_text(f"{512 << 20}\n")
    (tmp_path / "a" / "memory.current").write_text(f"{400 << 20}\n")
    (tmp_path / "a" / "memory.stat").write_text(f"anon 1\ninactive_file {100 << 20}\n")
    (group / "memory.max").write_text("max\n")
    (group / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "own").write_text("0::/a/b\n")
    groups = host_probe.own_groups(tmp_path, tmp_path / "own")
    assert groups == (group, tmp_path / "a", tmp_path)
    monkeypatch.setattr(host_probe, "own_groups", lambda cgroup: groups)

    facts = host_probe.read(tmp_path)

    assert facts == host_probe.HostFacts(measured=memory(512, 212), cpu_count=0.5)


def _until(is_true, limit_s: float = 10.0) -> bool:
    deadline = time.monotonic() + limit_s
    while not is_true():
        if time.monotonic() > deadline:
            return False
    return True

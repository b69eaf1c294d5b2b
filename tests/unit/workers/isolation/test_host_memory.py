"""Of those that hold more than they reserved the one with most is ended, and only when the host is short
of memory.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from workers.isolation import host_memory
from workers.isolation.host_memory import BEYOND_FOLDER, HostMemory, own_mib
from workers.isolation.resident_memory import resident_mib

HEADROOM_MIB = 4096
SPARE, SHORT = 5000, 4000


class MemoryHost:
    def __init__(self) -> None:
        self.available: int | None = SHORT

    def tell(self) -> int | None:
        return self.available


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> MemoryHost:
    monkeypatch.setattr(host_memory, "own_mib", lambda pids: pids[0])  # A pid stands for what it holds here.
    monkeypatch.setattr(host_memory, "ROUND_S", 0.0)
    return MemoryHost()


def a_body(folder: Path, host: MemoryHost, name: str, word_mib: int) -> HostMemory:
    return HostMemory(folder, name, word_mib, HEADROOM_MIB, host.tell)


def look(body: HostMemory, held_mib: int) -> str:
    return body.look([held_mib], held_mib)


def test_who_holds_most_beyond_its_word_goes_and_honest_neighbours_stay(tmp_path: Path, host: MemoryHost):
    wild, loose, honest = (
        a_body(tmp_path, host, name, word) for name, word in (("w", 300), ("l", 2000), ("h", 9000))
    )
    said = [(look(wild, 8000), look(loose, 4000), look(honest, 9100)) for _ in range(3)]

    words = "held 7.8 GiB of memory where 300 MiB were reserved, and 3.9 GiB were left"
    assert {round[0] for round in said[1:]} == {words}
    assert {round[1:] for round in said} == {("", "")}


def test_nobody_goes_while_the_host_has_its_headroom_or_it_is_not_known(tmp_path: Path, host: MemoryHost):
    wild = a_body(tmp_path, host, "w", 300)
    for available in (SPARE, None):
        host.available = available
        assert [look(wild, 8000) for _ in range(3)] == ["", "", ""]
    host.available = SHORT
    assert look(wild, 8000)


def test_all_say_theirs_before_anybody_goes(
    tmp_path: Path, host: MemoryHost, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host_memory, "ROUND_S", 3600.0)
    assert look(a_body(tmp_path, host, "w", 300), 8000) == ""


def test_once_the_worst_is_gone_the_next_is_looked_at(tmp_path: Path, host: MemoryHost):
    wild, loose = a_body(tmp_path, host, "w", 300), a_body(tmp_path, host, "l", 300)
    look(wild, 8000)
    assert look(loose, 4000) == ""
    wild.close()
    assert look(loose, 4000)
    loose.close()
    assert list((tmp_path / BEYOND_FOLDER).iterdir()) == []


def test_what_several_share_and_what_lies_in_files_counts_once_or_not():
    code = (
        "import os, time\n"
        "held = b'x' * (200 << 20)\n"
        "pids = [os.getpid()]\n"
        "for _ in range(3):\n"
        "    pid = os.fork()\n"
        "    if not pid: time.sleep(3600)\n"
        "    pids.append(pid)\n"
        "print(*pids, flush=True); time.sleep(3600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, process_group=0) as program:
        assert program.stdout is not None
        try:
            pids = [int(pid) for pid in program.stdout.readline().split()]
            assert (resident_mib(pids) or 0) > 750
            assert 180 < (own_mib(pids) or 0) < 300
        finally:
            os.killpg(program.pid, signal.SIGKILL)

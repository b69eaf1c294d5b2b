"""A process that gets away from everything by which it could be found, but for its cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.adapters.host import cgroup
from tests.worker_scene import is_alive, wait_file, wait_until

_why_none = cgroup.why_none()
needs_cgroups = pytest.mark.skipif(bool(_why_none), reason=f"no cgroup for a child: {_why_none}")


def getting_away(pid_file: Path) -> list[str]:
    """A program that starts it: forked twice, in a session of its own, its environment emptied, an orphan."""
    return ["sh", "-c", f"(setsid env -i sh -c 'echo $$ > {pid_file}; exec sleep 1000' &); sleep 1000"]


def the_stray(pid_file: Path) -> int:
    """Once it is what it is going to be."""
    stray = int(wait_file(pid_file))
    wait_until(lambda: Path(f"/proc/{stray}/cmdline").read_bytes().startswith(b"sleep"), "it is away")
    return stray


def folders_of(worker: int) -> list[Path]:
    return [folder for folder, pid, _ in cgroup.ours() if pid == worker]


def wait_gone(pid: int) -> None:
    wait_until(lambda: not is_alive(pid), f"{pid} is gone")

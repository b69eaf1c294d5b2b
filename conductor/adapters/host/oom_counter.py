"""How often the kernel killed for want of memory around here: cgroup v2, v1, else the whole host's
counter.
"""

from __future__ import annotations

from pathlib import Path


def kills() -> int | None:
    """Since the group (or the host) began; None where that cannot be read. Only a growth says something."""
    for file in _event_files():
        try:
            for line in file.read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        except (OSError, ValueError):
            continue
    return None


def has_grown(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after > before


def _event_files() -> list[Path]:
    files: list[Path] = []
    try:
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                files.append(Path(f"/sys/fs/cgroup{path}/memory.events"))
            elif "memory" in controllers.split(","):
                files.append(Path(f"/sys/fs/cgroup/memory{path}/memory.oom_control"))
    except (OSError, ValueError):
        return []
    return [*files, Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat")]

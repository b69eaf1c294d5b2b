"""File systems that stamp a file with a time nobody can set whenever it is written to."""

from __future__ import annotations

import os
from pathlib import Path

#: The others (FAT, exFAT, SMB, FUSE, 9p, …) take that time from a client, from the time that can be set, or
#: have none.
STAMPING = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "zfs", "f2fs", "tmpfs", "overlay", "nfs", "nfs4"}
)
#: With it an NFS client does not ask the server anew when a file is opened.
UNASKED = "nocto"
MOUNTS = Path("/proc/self/mountinfo")


def stamps_changes(device: int) -> bool:
    """Of the file system with that number (`st_dev`), as it is mounted now."""
    try:
        return is_stamping(device, MOUNTS.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return False


def is_stamping(device: int, mounts: str) -> bool:
    """`mounts`: as in /proc/self/mountinfo. What does not stand there is a subvolume or a layer: btrfs and
    overlays give files numbers that no mount has. Pure."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        mount, _, kind = line.partition(" - ")
        if mount.split(" ")[2:3] == [number] and not _keeps(*kind.split(" ")):
            return False
    return True


def _keeps(kind: str, source: str = "", options: str = "") -> bool:
    return kind in STAMPING and UNASKED not in options.split(",")

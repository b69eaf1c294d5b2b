"""The probe process: answers one question about one folder per line, and may hang in the kernel for it.

Started by path with bare `python -I -S`, so it imports nothing of ours: it is small and up in milliseconds.
Ends when its standard input does.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import Any


def look(path: str, marker: str | None, make: bool) -> dict[str, Any]:
    """Facts of one folder, or {"fault": why it cannot be used}."""
    if marker is not None and not os.path.lexists(os.path.join(path, marker)):  # noqa: PTH118
        return {"fault": f"not mounted: marker {marker} is missing in {path}"}
    try:
        # With a marker the folder is somebody else's to provide: never made up here.
        if make and marker is None:
            os.makedirs(path, exist_ok=True)  # noqa: PTH103
        if not os.path.isdir(path):  # noqa: PTH112
            return {"fault": f"{path} is not there"}
        facts, status = os.statvfs(path), os.stat(path)  # noqa: PTH116
    except OSError as e:
        return {"fault": f"{path}: {e.strerror}"}
    return {
        "filesystem": str(status.st_dev),
        "total": facts.f_blocks * facts.f_frsize,
        # What is kept back for root is not ours to use, even where we are root.
        "free": facts.f_bavail * facts.f_frsize,
        "is_read_only": bool(facts.f_flag & os.ST_RDONLY),
        "is_writable": os.access(path, os.W_OK | os.X_OK),
    }


def root_id_of(path: str, draws: bool) -> str:
    """The name of what lies there, drawn by the first node that looks: hosts that read the same one see
    the same files. Empty where there is none."""
    file = os.path.join(path, ".tmp", "root.id")  # noqa: PTH118
    try:
        if draws and not os.path.exists(file):  # noqa: PTH110
            draw_id(file)
        with open(file) as source:  # noqa: PTH123
            return source.read(64)
    except OSError:
        return ""


def draw_id(file: str) -> None:
    """Whole, and never over another host's."""
    os.makedirs(os.path.dirname(file), exist_ok=True)  # noqa: PTH103, PTH120
    draft = f"{file}.{os.urandom(8).hex()}"
    try:
        with open(draft, "x") as sink:  # noqa: PTH123
            sink.write(os.urandom(16).hex())
            sink.flush()
            os.fsync(sink.fileno())
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)  # noqa: PTH108


def trial(path: str) -> dict[str, Any]:
    """Writes a byte, as a job would: many a fault shows only when something is to be on disk. {} or
    {"fault": why}.
    """
    folder = os.path.join(path, ".tmp")  # noqa: PTH118
    name = os.path.join(folder, f".try-{os.getpid()}")  # noqa: PTH118
    try:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, b"?")
            os.fsync(fd)
        finally:
            os.close(fd)
            os.unlink(name)  # noqa: PTH108
    except OSError as e:
        # A full disk is the scratch gate's to name.
        return (
            {}
            if e.errno in (errno.ENOSPC, errno.EDQUOT)
            else {"fault": f"{path} cannot be written to: {e.strerror}"}
        )
    return {}


def main() -> None:
    for line in sys.stdin:
        question = json.loads(line)
        answer = look(question["path"], question["marker"], question["make"])
        if question["is_suspect"] and "fault" not in answer and not answer["is_read_only"]:
            answer |= trial(question["path"])
        if "fault" not in answer:
            answer["root_id"] = root_id_of(question["path"], question["is_node"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

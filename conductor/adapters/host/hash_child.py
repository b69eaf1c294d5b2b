"""The background reader's process: answers one question about one file per line, behind all other work.

`{"path"}` → `{"state"}`; `{"path", "state"}` → `{"sha256"}` of the file in that very state; `{}` where there
is no such file. Started by path with bare `python -I -S`, so it imports nothing of ours. Ends when its
standard input does, also while it reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import stat
import sys
from typing import Any

CHUNK = 1 << 20
#: A tenth of what a job gets of a core that both want, and a later place in the queue of a disk. With the
#: least there is (19) next to nothing was read on a host whose cores are all taken.
NICE = 10


def answer(path: str, state: list[int] | None, asks: select.poll) -> dict[str, Any]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        # Opened first: that is when an NFS client asks its server how the file is now.
        now = state_of(fd)
        if now is None or state is None:
            return {} if now is None else {"state": now}
        digest = hashlib.sha256()
        while now == state and (chunk := os.read(fd, CHUNK)):
            digest.update(chunk)
            if any(event & select.POLLHUP for _, event in asks.poll(0)):
                sys.exit(0)
        return {"sha256": digest.hexdigest()} if state_of(fd) == state else {}
    except OSError:
        return {}
    finally:
        os.close(fd)


def state_of(fd: int) -> list[int] | None:
    """As `conductor.base.files.fingerprint.FileState`; None: no regular file."""
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        return None
    return [facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


def main() -> None:
    os.nice(NICE)
    asks = select.poll()
    asks.register(sys.stdin.fileno(), 0)
    for line in sys.stdin:
        question = json.loads(line)
        sys.stdout.write(json.dumps(answer(question["path"], question.get("state"), asks)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

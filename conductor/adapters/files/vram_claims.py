"""A worker's claim of VRAM: what it holds on its host at this moment, in a small file that its siblings and
its node read.

Locked while an attempt runs: whoever gets the lock may end the child of an idle worker, and with it all that
it keeps warm, and hits no body. Local files, so that making room costs no round trip and needs no Redis.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from conductor.base.files.layout import Layout
from conductor.base.files.safe_open import make_own

SUFFIX = ".vram_claim"


class VramClaim(msgspec.Struct, frozen=True, kw_only=True):
    worker: str
    queue: str = ""
    #: That its queue is fed for; empty: its jobs hold no VRAM.
    device: str = ""
    #: Pid of the child; 0: none yet.
    child: int = 0
    #: The attempt in hand, or the last one; empty: none so far.
    job_id: str = ""
    attempt: int = 0
    #: Its task and a file's name.
    about: str = ""
    #: Device → MiB reserved for the attempt in hand; empty: idle, or an attempt without VRAM.
    reserved: dict[str, int] = {}
    #: Epoch seconds, this host's: when it last began or ended something.
    since: float = 0.0
    #: Keys of what the child keeps for the next jobs.
    warm: tuple[str, ...] = ()


def folder_of(layout: Layout) -> Path:
    return layout.state_dir / "vram_claims"


class OwnVramClaim:
    """A worker's hold on its own. `put` writes only what changed."""

    def __init__(self, folder: Path, vram_claim: VramClaim) -> None:
        make_own(folder)
        self.file = folder / f"{vram_claim.worker}{SUFFIX}"
        self._fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._shown: VramClaim | None = None
        self.put(vram_claim)

    def put(self, vram_claim: VramClaim) -> None:
        if vram_claim != self._shown:
            text = msgspec.json.encode(vram_claim)
            # One write, then the cut: a reader meanwhile finds something that does not decode, and looks
            # again.
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))
            self._shown = vram_claim

    @contextmanager
    def busy(self) -> Generator[None]:
        """Waits for a sibling that is ending our child at this moment."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        self.file.unlink(missing_ok=True)
        os.close(self._fd)


class VramClaims:
    """All vram_claims of a host. Files that have not changed since are not read again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[tuple[int, int, int], VramClaim]] = {}

    def read(self) -> dict[str, VramClaim]:
        """Worker → vram_claim; one that is being written keeps its last words."""
        found: dict[str, tuple[tuple[int, int, int], VramClaim]] = {}
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    self._look(entry, found)
        self._known = found
        return {name: vram_claim for name, (_, vram_claim) in found.items()}

    def _look(
        self, entry: os.DirEntry[str], found: dict[str, tuple[tuple[int, int, int], VramClaim]]
    ) -> None:
        name, before = entry.name.removesuffix(SUFFIX), self._known.get(entry.name.removesuffix(SUFFIX))
        with suppress(OSError):
            facts = entry.stat()
            stamp = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
            if before is not None and before[0] == stamp:
                found[name] = before
                return
            try:
                found[name] = (stamp, msgspec.json.decode(Path(entry.path).read_bytes(), type=VramClaim))
            except msgspec.DecodeError:
                if before is not None:
                    found[name] = ((0, 0, 0), before[1])

    def remove(self, worker: str) -> None:
        """Of a worker that died."""
        (self._folder / f"{worker}{SUFFIX}").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Claims of workers that died with an earlier node: those that still finish a job hold their
        locks.
        """
        for worker in self.read():
            file = self._folder / f"{worker}{SUFFIX}"
            with suppress(OSError), file.open("rb") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.unlink()

    def end_idle(self, vram_claim: VramClaim) -> bool:
        """Kill the child of a worker that has nothing in hand. False when it has, or there is none (any
        more).
        """
        try:
            fd = os.open(self._folder / f"{vram_claim.worker}{SUFFIX}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Read again under the lock: it may have taken a fresh child.
            now = msgspec.json.decode(os.pread(fd, 1 << 16, 0), type=VramClaim)
            if now.child != vram_claim.child or not is_child(now.child):
                return False
            os.killpg(now.child, signal.SIGKILL)
        except (OSError, msgspec.DecodeError):
            return False
        finally:
            os.close(fd)
        return True


def is_child(pid: int) -> bool:
    """A worker's child leads a process group of its own, and says so in its words: a reused pid does not."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return pid > 1 and os.getpgid(pid) == pid and b"workers.isolation.child_main" in words
    except OSError:
        return False

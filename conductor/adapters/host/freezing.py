"""The word of a node that bodies on its host are to stand still, and the notes of workers whose bodies do.

A word counts as long as the node that gave it lives: nobody stays frozen for a node that is gone. A note
names the processes that a worker has stopped: whoever finds it when that worker is dead ends them, so that
none stays stopped for ever. Pids are never taken alone: a process is known by its start too.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from conductor.adapters.host.known_process import KnownProcess, is_there, of_process
from conductor.base.files.safe_open import make_own
from conductor.base.logs.events import emit_event


class FreezeWord(msgspec.Struct, frozen=True, kw_only=True):
    node: KnownProcess
    #: A clause: «somebody is at this machine».
    why: str


class FrozenNote(msgspec.Struct, frozen=True, kw_only=True):
    worker: KnownProcess
    processes: tuple[KnownProcess, ...] = ()


# ── the node's word ───────────────────────────────────────────────────────────────────────────────────────


def word_file(state_dir: Path, node: str) -> Path:
    return state_dir / f"{node}.freeze"


def give_word(file: Path, why: str) -> None:
    if (node := of_process(os.getpid())) is not None:
        _write(file, FreezeWord(node=node, why=why))


def take_word_back(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)


def word(file: Path) -> str | None:
    """Why bodies are to stand still; None: they are not, or who said so is gone."""
    try:
        said = msgspec.json.decode(file.read_bytes(), type=FreezeWord)
    except (OSError, msgspec.DecodeError):
        return None
    return said.why if is_there(said.node) else None


# ── the workers' notes ────────────────────────────────────────────────────────────────────────────────────


def note_folder(state_dir: Path, node: str) -> Path:
    return state_dir / "frozen" / node


def put_note(file: Path, processes: Iterable[KnownProcess]) -> None:
    if (worker := of_process(os.getpid())) is not None:
        _write(file, FrozenNote(worker=worker, processes=tuple(processes)))


def remove_note(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)


def end_leftovers(folder: Path) -> None:
    """What dead workers had stopped is killed: nobody waits for it, and nobody would tell it to go on."""
    for file in folder.glob("*.json"):
        try:
            note = msgspec.json.decode(file.read_bytes(), type=FrozenNote)
        except (OSError, msgspec.DecodeError):
            continue
        if is_there(note.worker):
            continue  # It sees that its node is gone, and thaws them itself.
        for process in note.processes:
            if is_there(process):
                words = "pid {pid} was left frozen by a worker that is gone: killed"
                emit_event("process.left_frozen", words, pid=process.pid)
                with suppress(OSError):
                    os.kill(process.pid, signal.SIGKILL)
        remove_note(file)


def _write(file: Path, value: msgspec.Struct) -> None:
    """Whole or not at all."""
    make_own(file.parent)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_bytes(msgspec.json.encode(value))
    draft.replace(file)

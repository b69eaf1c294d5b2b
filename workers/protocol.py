"""What parent and child say to each other: one JSON object a line over a socket pair. No Redis, no pickle.

Two pipes go beside it. `tickets`: a child takes one byte before each body, so that the parent, by taking bytes back,
knows which bodies have not begun and now never will. `stop`: readable when the body that runs is to leave.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any

import msgspec

from conductor.model.calls import Call
from conductor.model.causes import Cause
from conductor.model.spec import TaskDecl, Value


class Open(Value, frozen=True, kw_only=True, tag="open", tag_field="say"):
    """First word to a fresh child: the settings (less the way to Redis) as JSON values. Said again before its first
    job where other devices are to be seen."""

    settings: dict[str, Any]
    #: CUDA_VISIBLE_DEVICES.
    visible: str = ""


class Run(Value, frozen=True, kw_only=True, tag="run", tag_field="say"):
    """Run one attempt. `line` is the manifest line."""

    line: str
    decl: TaskDecl
    attempt: int
    devices: tuple[str, ...] = ()
    #: Reserved on each of them; None without one.
    vram_mib: int | None = None
    timeout_s: float = 3600.0
    #: So many bodies of this child had ended badly, as far as its parent had heard when it gave this one. Where another
    #: has since, this one is passed over: what lies behind a failure runs only if it is given again.
    failed: int = 0


class Ready(Value, frozen=True, kw_only=True, tag="ready", tag_field="say"):
    pid: int


class Progress(Value, frozen=True, kw_only=True, tag="progress", tag_field="say"):
    fraction: float
    note: str = ""


class Passed(Value, frozen=True, kw_only=True, tag="passed", tag_field="say"):
    """What was to run next did not begin: no ticket for it, or a body before it did not end well."""


class Ended(Value, frozen=True, kw_only=True, tag="ended", tag_field="say"):
    """The body returned (`cause` is None) or raised."""

    result: dict[str, Any] = {}
    cause: Cause | None = None
    message: str = ""
    rate_key: str = ""
    retry_after_s: float | None = None
    #: What calls of APIs came to.
    calls: tuple[Call, ...] = ()
    #: When the body began (epoch seconds), and how long it took.
    began_at: float | None = None
    seconds: float = 0.0
    #: Size of its log when it ended: what comes after was printed by the next.
    log_bytes: int | None = None
    #: The child's own peak in this attempt; what its programs took is sampled from outside.
    rss_mib: int | None = None
    #: Of the child and of the programs it waited for.
    cpu_s: float | None = None
    #: What the child holds now that the body has ended; said now and then.
    rss_now_mib: int | None = None
    #: What it keeps for the next jobs, by the keys their tasks declare; said when it changed.
    warm: tuple[str, ...] | None = None
    #: Source files the body's code came from, said when they changed: the parent watches them.
    files: tuple[str, ...] | None = None


ToChild = Open | Run
ToParent = Ready | Progress | Passed | Ended

_encoder = msgspec.json.Encoder()

#: A child that says more in one line than this has lost its mind (a result belongs into a file).
MAX_LINE = 8 << 20


class Garbled(Exception):
    """The other side said something that is not in the protocol."""


class Channel:
    """One end of the pair. Blocking; `receive` hands out one message at a time."""

    def __init__(self, sock: socket.socket, incoming: type[Any] | Any) -> None:
        self._sock = sock
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(incoming)
        self._buffer = bytearray()

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: ToChild | ToParent) -> None:
        """Raises `OSError` when the other side is gone."""
        self._sock.sendall(_encoder.encode(message) + b"\n")

    def receive(self, limit_s: float | None = None) -> Any | None:
        """The next message. None when none came in time. Raises `EOFError` when the other side is gone."""
        deadline = None if limit_s is None else time.monotonic() + limit_s
        while (end := self._buffer.find(b"\n")) < 0:
            if deadline is not None:
                left = max(0.0, deadline - time.monotonic())
                if not select.select([self._sock], [], [], left)[0]:
                    return None
            self._read()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            return self._decoder.decode(line)
        except msgspec.DecodeError as e:
            raise Garbled(str(e)) from None

    def has_buffered(self) -> bool:
        return b"\n" in self._buffer

    def close(self) -> None:
        self._sock.close()

    def _read(self) -> None:
        try:
            chunk = self._sock.recv(1 << 16)
        except ConnectionError:
            chunk = b""
        if not chunk:
            raise EOFError
        self._buffer += chunk
        if len(self._buffer) > MAX_LINE:
            raise Garbled(f"a message of more than {MAX_LINE >> 20} MiB")

"""What parent and child say to each other: one JSON object a line over a socket pair. No Redis, no pickle.

What a child says of an attempt names it (`job_id`, `attempt`), and counts for no other. Two pipes go beside
it. `tickets`: a child takes one byte before each body, so that the parent, by taking bytes back, knows which
bodies have not begun and now never will. `stop`: readable when the body that runs is to leave.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from conductor.model.calls import Call
from conductor.model.causes import Cause
from conductor.model.media import CountedMedia
from conductor.model.review import ReviewAsked
from conductor.model.spec import TaskDecl, Value


class Open(Value, frozen=True, kw_only=True, tag="open", tag_field="say"):
    """First word to a fresh child: the settings (less the way to Redis) as JSON values; None to a copy of its
    parent, which has them. Said again before its first job where other devices are to be seen."""

    settings: dict[str, Any] | None
    #: CUDA_VISIBLE_DEVICES.
    visible: str = ""


class Run(Value, frozen=True, kw_only=True, tag="run", tag_field="say"):
    """Run one attempt. `line` is the manifest line."""

    line: str
    decl: TaskDecl
    job_id: str
    attempt: int
    token: str = ""
    devices: tuple[str, ...] = ()
    #: Reserved on each of them; None without one.
    vram_mib: int | None = None
    #: Of several that could do it, the one that it was admitted for.
    engine: str = ""
    timeout_s: float = 3600.0
    #: So many bodies of this child had broken off the row (`Ended.breaks_off`), as far as its parent had
    #: heard when it gave this one. Where another has since, this one is passed over: it runs only if it is
    #: given again.
    broke_off: int = 0


class Ready(Value, frozen=True, kw_only=True, tag="ready", tag_field="say"):
    pid: int


class BodyProgress(Value, frozen=True, kw_only=True, tag="progress", tag_field="say"):
    job_id: str
    attempt: int
    fraction: float
    note: str = ""


class Passed(Value, frozen=True, kw_only=True, tag="passed", tag_field="say"):
    """What was to run next did not begin: no ticket for it, or a body before it did not end well."""

    job_id: str
    attempt: int


class BodyEnded(Value, frozen=True, kw_only=True, tag="ended", tag_field="say"):
    """The body returned (`cause` is None) or raised."""

    job_id: str
    attempt: int
    result: dict[str, Any] = {}
    #: Path of an output → what was counted in it.
    media: dict[str, CountedMedia] = {}
    #: What it shows to a person, who has to accept it.
    review: ReviewAsked | None = None
    cause: Cause | None = None
    message: str = ""
    #: «KeyError at render.py:17»; empty where no line of the task's own is to blame.
    raised_at: str = ""
    rate_key: str = ""
    retry_after_s: float | None = None
    #: It will not go away by itself.
    is_lasting: bool = False
    stays_with: str = ""
    #: What calls of APIs came to.
    calls: tuple[Call, ...] = ()
    #: When the body began (epoch seconds), and how long it took.
    began_at: float | None = None
    seconds: float = 0.0
    #: For so long of these it could have run, and others had the cores.
    run_delay_s: float = 0.0
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
    #: Processes that the body left running, and that were ended.
    left_running: tuple[str, ...] = ()
    #: What it changed of the child that cannot be put back: the child is to be replaced.
    unclean: str = ""

    @property
    def breaks_off(self) -> bool:
        """What was given behind it does not begin: the next may fail alike, or find what this one left."""
        return self.cause is not None or bool(self.unclean)


ToChild = Open | Run
ToParent = Ready | BodyProgress | Passed | BodyEnded

_encoder = msgspec.json.Encoder()

#: A child that says more in one line than this has lost its mind (a result belongs into a file).
MAX_LINE = 8 << 20
#: Who has begun to say something says the rest within so long: a line that stays half is none.
HALF_LINE_S = 60.0
_CHUNK = 1 << 16
#: More than a socket holds.
_MOST_PEEKED = 1 << 22
#: How the line of an `Ended` begins: no newline is within a line, and the tag goes first.
_AN_END = b'\n{"say":"ended"'
#: The socket itself blocks: who waits for nothing but the other side's next word asks the kernel once.
_NOW = socket.MSG_DONTWAIT


class Garbled(Exception):
    """The other side said something that is not in the protocol."""


class Channel:
    """One end of the pair. `send` never waits: what the other side does not take yet lies here, and goes on
    its way whenever this end is looked after (`flush`, `settle`, `receive`). So two that have much to say to
    each other cannot wait for each other. Words may be sent from several threads; one reads."""

    def __init__(self, sock: socket.socket, incoming: type[Any] | Any) -> None:
        self._sock = sock
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(incoming)
        self._buffer = bytearray()
        #: So much of it was looked through and holds no end of a line.
        self._looked = 0
        #: When the last of what lies there came (monotonic); 0: nothing does.
        self._half_since = 0.0
        self._unsent = bytearray()
        self._sending = threading.Lock()

    def fileno(self) -> int:
        return self._sock.fileno()

    # ── what is said ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def send(self, message: ToChild | ToParent) -> None:
        """Raises `OSError` when the other side is gone."""
        with self._sending:
            self._unsent += _encoder.encode(message) + b"\n"
            self._push()

    def offer(self, message: ToChild | ToParent) -> None:
        """Said if the other side takes it now; not worth waiting for. Raises as `send`."""
        with self._sending:
            self._push()
            if not self._unsent:
                self._unsent += _encoder.encode(message) + b"\n"
                # Nothing of it, or all: what is left of a part goes first next time.
                if not self._push():
                    self._unsent.clear()

    def flush(self) -> None:
        """What the other side takes now. That it is gone shows where it is listened to."""
        with self._sending, suppress(OSError):
            self._push()

    def settle(self) -> None:
        """Until all is said; what comes in meanwhile is kept for `receive`. Raises `OSError`, `EOFError`."""
        while self._unsent:
            readable, writable, _ = select.select([self._sock], [self._sock], [])
            if readable:
                self.fill()
            if writable:
                with self._sending:
                    self._push()

    def _push(self) -> int:
        """How many bytes went. Where the other side is gone, nothing is left to say."""
        sent = 0
        try:
            while self._unsent:
                count = self._sock.send(self._unsent, _NOW)
                del self._unsent[:count]
                sent += count
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()
            raise
        return sent

    # ── what is heard ─────────────────────────────────────────────────────────────────────────────────────

    def receive(self, limit_s: float | None = None) -> Any | None:
        """The next message. None when none came in time (None: waits for its first byte as long as it takes).

        Raises `EOFError` when the other side is gone, `Garbled`."""
        until = None if limit_s is None else time.monotonic() + limit_s
        while not self.has_buffered():
            if until is not None or self._unsent or self._half_since:
                limits = [at for at in (until, self.half_until()) if at is not None]
                left = max(0.0, min(limits) - time.monotonic()) if limits else None
                readable, writable, _ = select.select(
                    [self._sock], [self._sock] if self._unsent else [], [], left
                )
                if writable:
                    self.flush()
                if not readable:
                    self.check_half()
                    if until is not None and time.monotonic() >= until:
                        return None
                    continue
                self.fill()
            else:
                self._add(self._recv(0))
        return self.next()

    def next(self) -> Any | None:
        """The next message of those that came in; None when none is whole. Raises `Garbled`."""
        if not self.has_buffered():
            return None
        end = self._buffer.index(b"\n", self._looked)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._looked = 0
        self._half_since = time.monotonic() if self._buffer else 0.0
        try:
            return self._decoder.decode(line)
        except msgspec.DecodeError as e:
            raise Garbled(str(e)) from None

    def has_buffered(self) -> bool:
        end = self._buffer.find(b"\n", self._looked)
        self._looked = len(self._buffer) if end < 0 else end
        return end >= 0

    def fill(self) -> bool:
        """Take in what is there now, and never wait. Was there anything? Raises `EOFError`, `Garbled`."""
        try:
            chunk = self._recv(_NOW)
        except BlockingIOError:
            return False
        self._add(chunk)
        return True

    def half_until(self) -> float | None:
        """Until when (monotonic) the rest of half a line has to be here; None where none lies here."""
        return self._half_since + HALF_LINE_S if self._half_since and not self.has_buffered() else None

    def check_half(self) -> None:
        """Nothing more is there to be read now: raises `Garbled` where half a line has lain here for too
        long.
        """
        until = self.half_until()
        if until is not None and time.monotonic() >= until:
            raise Garbled(f"half a line, and nothing more for {HALF_LINE_S:g} s")

    def unheard_ends(self) -> int:
        """Of bodies, said (or begun to be said) and not yet looked at. Any thread's."""
        try:
            there = self._sock.recv(_MOST_PEEKED, _NOW | socket.MSG_PEEK)
        except OSError:
            there = b""
        return (b"\n" + bytes(self._buffer) + there).count(_AN_END)

    def last_words(self) -> Iterator[Any]:
        """What is still to be heard of one that is gone, less what nobody can make out."""
        with suppress(EOFError, Garbled):
            while self.fill():
                pass
        while self.has_buffered():
            with suppress(Garbled):
                yield self.next()

    def close(self) -> None:
        self._sock.close()

    def _recv(self, flags: int) -> bytes:
        try:
            chunk = self._sock.recv(_CHUNK, flags)
        except ConnectionError:
            chunk = b""
        if not chunk:
            raise EOFError
        return chunk

    def _add(self, chunk: bytes) -> None:
        self._half_since = time.monotonic()
        self._buffer += chunk
        if len(self._buffer) > MAX_LINE and not self.has_buffered():
            raise Garbled(f"a message of more than {MAX_LINE >> 20} MiB")

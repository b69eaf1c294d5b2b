"""Is somebody at this machine: for how long there was no input. A node-side gate of the whole host.

Three witnesses, and whoever saw input last is believed. Keyboards and mice themselves (evdev), where this
user may read them: that there was an event, and never which. The graphical sessions of logind, by the hint
that their desktops give. Terminals, by when they were typed into.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from conductor.model.signal import Sensed, Signal

#: What the kernel knows as input devices, and where their events are read.
DEVICES = Path("/proc/bus/input/devices")
EVENTS = Path("/dev/input")
#: Terminals that somebody has opened, by number.
TERMINALS = Path("/dev/pts")
LOGINCTL = "loginctl"
#: It answers in some milliseconds, or hangs with the bus that it asks.
ANSWERS_S = 2.0
#: Sessions come and go slowly.
LIST_EVERY_S = 10.0
GRAPHICAL = frozenset({"x11", "wayland", "mir"})
NOBODY = float("inf")
_CHUNK = 1 << 16


class Person:
    """`idle_minutes`: without input for so long nobody is there."""

    name = "input"

    def __init__(
        self,
        idle_minutes: float,
        *,
        devices: Path = DEVICES,
        events: Path = EVENTS,
        terminals: Path = TERMINALS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock`: epoch seconds."""
        self._idle_minutes = idle_minutes
        self._keys = KeyEvents(devices, events, clock)
        self._logind = Logind(clock)
        self._terminals = terminals
        self._clock = clock

    def sense(self) -> Sensed:
        terminals = last_typed(self._terminals)
        now = self._clock()
        idle_s: dict[str, float] = {}
        if (sessions_s := self._logind.idle_s()) is not None:
            idle_s[LOGINCTL] = sessions_s
        if terminals is not None:
            idle_s["terminals"] = max(0.0, now - terminals)
        # Of what was before it first looked, it knows nothing: then another witness speaks, if there is one.
        if (keys_s := self._keys.idle_s(is_alone=not idle_s)) is not None:
            idle_s["keyboard and mouse"] = keys_s
        if not idle_s:
            words = (
                "whether somebody is at this machine cannot be told: no keyboard or mouse is readable in "
                f"{EVENTS}, {LOGINCTL} does not answer, and no terminal is open"
            )
            return Sensed(untold=(words,))
        minutes = min(idle_s.values()) / 60
        by = f"by {' and '.join(idle_s)}"
        if [*idle_s] == ["terminals"]:
            by += " alone: who types into none of them is not seen"
        told = f"no input at all, {by}" if minutes == NOBODY else f"no input for {minutes:.1f} min, {by}"
        return Sensed(signals=(self._signal(minutes),), told=told)

    def _signal(self, minutes: float) -> Signal:
        return Signal(
            gate=self.name,
            figure=round(minutes, 1) if minutes < self._idle_minutes else minutes,
            closes_at=self._idle_minutes,
            opens_at=self._idle_minutes,
            is_floor=True,
            unit="min without input",
            words="somebody is at this machine",
            is_yielding=True,
        )


class KeyEvents:
    """Keyboards and mice, by the events that they send. They are held open: what was pressed between two
    looks waits there to be read."""

    def __init__(self, devices: Path, events: Path, clock: Callable[[], float]) -> None:
        self._devices = devices
        self._events = events
        self._clock = clock
        #: Name → descriptor.
        self._open: dict[str, int] = {}
        self._since = clock()
        self._last: float | None = None

    def idle_s(self, *, is_alone: bool) -> float | None:
        """None: none of them may be read, or no event came yet. `is_alone`: then by when this began to
        look."""
        self._follow(handlers(_text(self._devices)))
        if not self._open:
            return None
        moved = [name for name in list(self._open) if self._has_moved(name)]  # All of them are read.
        if moved:
            self._last = self._clock()
        last = self._since if self._last is None and is_alone else self._last
        return None if last is None else max(0.0, self._clock() - last)

    def _follow(self, names: Iterable[str]) -> None:
        """Keyboards are plugged in and out."""
        there = set(names)
        for name in self._open.keys() - there:
            os.close(self._open.pop(name))
        for name in there - self._open.keys():
            with suppress(OSError):
                self._open[name] = os.open(self._events / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def _has_moved(self, name: str) -> bool:
        found = False
        try:
            while os.read(self._open[name], _CHUNK):
                found = True
        except BlockingIOError:
            pass
        except OSError:  # It was pulled out.
            os.close(self._open.pop(name))
        return found


def handlers(text: str) -> Iterator[str]:
    """«event3» of each keyboard and mouse in what /proc/bus/input/devices says."""
    for line in text.splitlines():
        head, _, words = line.partition("Handlers=")
        if head == "H: ":
            names = words.split()
            if any(name == "kbd" or name.startswith("mouse") for name in names):
                yield from (name for name in names if name.startswith("event"))


class Logind:
    """The graphical sessions on the screen, by `loginctl`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sessions: tuple[str, ...] | None = None
        self._listed_at = -LIST_EVERY_S

    def idle_s(self) -> float | None:
        """None: it does not answer."""
        if time.monotonic() - self._listed_at >= LIST_EVERY_S or self._sessions is None:
            listed = _asked("list-sessions", "--no-legend")
            self._sessions = (
                None if listed is None else tuple(line.split()[0] for line in listed.splitlines() if line)
            )
            self._listed_at = time.monotonic()
        if not self._sessions:
            return None if self._sessions is None else NOBODY
        wanted = [f"--property={name}" for name in ("Type", "Class", "State", "IdleHint", "IdleSinceHint")]
        shown = _asked("show-session", *wanted, *self._sessions)
        if shown is None:
            self._listed_at = -LIST_EVERY_S  # One of them may be gone.
            return None
        return session_idle_s(shown, self._clock())


def session_idle_s(text: str, now: float) -> float:
    """What `loginctl show-session` says: for how long the session on the screen that was used last has been
    idle. The hint is the desktop's: most give it after some minutes, so until then nobody is idle."""
    idle_s = NOBODY
    for block in text.split("\n\n"):
        found = {name: value for name, _, value in (line.partition("=") for line in block.splitlines())}
        if _is_on_screen(found):
            since = found.get("IdleSinceHint", "")
            is_idle = found.get("IdleHint") == "yes" and since.isdigit()
            idle_s = min(idle_s, max(0.0, now - int(since) / 1e6) if is_idle else 0.0)
    return idle_s


def _is_on_screen(session: Mapping[str, str]) -> bool:
    is_users = session.get("Class", "").startswith("user")
    return is_users and session.get("State") == "active" and session.get("Type") in GRAPHICAL


def _asked(*words: str) -> str | None:
    program = shutil.which(LOGINCTL)
    if program is None:
        return None
    try:
        asked = subprocess.run(
            [program, *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWERS_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout


def last_typed(terminals: Path) -> float | None:
    """Epoch seconds; the kernel notes it every eight seconds. None: no terminal is open."""
    times: list[float] = []
    with suppress(OSError), os.scandir(terminals) as entries:
        for entry in entries:
            if entry.name.isdigit():
                with suppress(OSError):
                    times.append(entry.stat().st_atime)
    return max(times, default=None)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""What bodies share and may leave changed: umask, folder, environment, signals, limits, descriptors, threads
and more.

After each body all of it is as before. What can be put back exactly is; for the rest the child has to go, and
`put_right` says why. Looked at after every body, also of those that take a millisecond: it costs some
microseconds.
"""

from __future__ import annotations

import gc
import importlib
import locale
import os
import resource
import signal
import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

#: A pool's threads end on their own once nobody holds the pool: so long they are waited for.
_FAREWELL_S = 0.2
#: A listing of the descriptors costs as much as all else: the lowest free number tells nearly as well.
_LIST_EVERY_S = 0.02
_DESCRIPTORS = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
_LIMITS = tuple(
    getattr(resource, f"RLIMIT_{name}")
    for name in ("AS", "CORE", "CPU", "DATA", "FSIZE", "MEMLOCK", "NOFILE", "NPROC", "STACK")
    if hasattr(resource, f"RLIMIT_{name}")
)
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_SIGNALS = tuple(int(number) for number in sorted(signal.valid_signals()))
#: As `signal.getsignal`, without making an enum of each answer: sixty of them after each body.
_handler: Callable[[int], Any] = importlib.import_module("_signal").getsignal


class Aspect(NamedTuple):
    """One thing that can be read, compared and put back."""

    name: str
    read: Callable[[], Any]
    #: Given what `read` said before. What it cannot do shows when it is read again.
    put_back: Callable[[Any], object]


class ProcessState:
    """`settle` once all is as it should be; `put_right` after each body."""

    def __init__(self) -> None:
        #: Where words of bodies go, should one of them have led its own elsewhere.
        self._streams = tuple(os.dup(number) for number in (0, 1, 2))
        streams = Aspect("its standard streams", _streams, self._put_streams_back)
        self._aspects = (*_ASPECTS, streams)
        self._before: tuple[Any, ...] = ()
        self._threads: set[threading.Thread] = set()
        self._descriptors: set[int] = set()
        self._lowest = -1
        self._listed_at = 0.0

    def settle(self) -> None:
        """As it is now, every body is to find it: its own module has been imported by now."""
        self._before = tuple(aspect.read() for aspect in self._aspects)
        self._count()

    def put_right(self, *, keeps: bool = False, has_imported: bool = False) -> str:
        """After a body; why its process has to go, or nothing. `keeps`: it made what stays warm for later
        jobs, and its threads and files with it. `has_imported`: descriptors may be those of a library."""
        before = self._before
        # None of what it put in place may live on in a name of ours: it holds what has to be closed.
        changed = [n for n, aspect in enumerate(self._aspects) if aspect.read() != before[n]]
        found = [self._put_back(n, self._aspects[n]) for n in changed]
        if keeps:
            self._count()
        else:
            found += [self._threads_left(), self._descriptors_left(has_imported)]
        return " and ".join(filter(None, found))

    def _put_back(self, n: int, aspect: Aspect) -> str:
        with suppress(OSError, ValueError, TypeError, locale.Error):
            aspect.put_back(self._before[n])
        return "" if aspect.read() == self._before[n] else f"changed {aspect.name}"

    def _put_streams_back(self, before: Any) -> None:
        for number, kept in enumerate(self._streams):
            os.dup2(kept, number)

    def _count(self) -> None:
        self._threads = set(threading.enumerate())
        self._descriptors = _open_descriptors()
        self._lowest = _lowest_free()

    # ── threads, descriptors ──────────────────────────────────────────────────────────────────────────────

    def _threads_left(self) -> str:
        if threading.active_count() == len(self._threads):
            return ""
        until = time.monotonic() + _FAREWELL_S
        gc.collect()
        for thread in (new := set(threading.enumerate()) - self._threads):
            if _is_somebodys(thread):
                thread.join(max(0.0, until - time.monotonic()))
        left = sorted(thread.name for thread in new if thread.is_alive() and _is_somebodys(thread))
        self._threads = set(threading.enumerate())
        return f"left {_these('thread', left)} running" if left else ""

    def _descriptors_left(self, has_imported: bool) -> str:
        now = time.monotonic()
        if _lowest_free() == self._lowest and now - self._listed_at < _LIST_EVERY_S:
            return ""
        self._listed_at = now
        if _open_descriptors() == self._descriptors:
            return ""
        # What lies in a cycle is open until somebody looks for cycles.
        gc.collect()
        left = sorted(
            name
            for number in _open_descriptors() - self._descriptors
            if (name := _name_of(number)) and not (has_imported and not _is_file(number))
        )
        self._descriptors, self._lowest = _open_descriptors(), _lowest_free()
        return f"left {_these('descriptor', left)} open" if left else ""


def _is_somebodys(thread: threading.Thread) -> bool:
    """Not a stand-in for a thread that is not Python's, and not an installed library's own helper (tqdm
    has one).
    """
    if type(thread).__name__ == "_DummyThread":
        return False
    module = sys.modules.get(type(thread).__module__)
    return not (thread.daemon and "site-packages" in (getattr(module, "__file__", None) or ""))


def _these(what: str, names: list[str]) -> str:
    """«the thread Thread-3», «4 descriptors (a, b, …)»."""
    if len(names) == 1:
        return f"the {what} {names[0]}"
    return f"{len(names)} {what}s ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


def _open_descriptors() -> set[int]:
    # Between two bodies: no Path for each. The listing had the lowest free one itself.
    with suppress(OSError):
        return {int(name) for name in os.listdir(_DESCRIPTORS)} - {_lowest_free()}  # noqa: PTH208
    return set()


def _lowest_free() -> int:
    try:
        number = os.dup(0)
    except OSError:
        return -1  # None is free any more.
    os.close(number)
    return number


def _name_of(number: int) -> str:
    """Empty when it is not open."""
    try:
        os.fstat(number)
        return os.readlink(f"{_DESCRIPTORS}/{number}") if sys.platform == "linux" else str(number)  # noqa: PTH115
    except OSError:
        return ""


def _is_file(number: int) -> bool:
    """A file or folder of somebody's, where libraries keep devices, sockets and queues."""
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


# ── what can be read and put back
# ─────────────────────────────────────────────────────────────────────────────


def _umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return now


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  after every body
    except OSError:
        return ""  # It was removed.


#: Decoding the environment costs more than all else together: what lies below is compared.
_environ: dict[bytes, bytes] = vars(os.environ)["_data"]


def _environment() -> dict[bytes, bytes]:
    return dict(_environ)


def _put_environment_back(before: dict[bytes, bytes]) -> None:
    for name in _environ.keys() - before.keys():
        del os.environb[name]
    for name, value in before.items():
        if _environ.get(name) != value:
            os.environb[name] = value
    time.tzset()


def _handlers() -> tuple[Any, ...]:
    return tuple(map(_handler, _SIGNALS))


def _put_handlers_back(before: Iterable[Any]) -> None:
    for number, handler in zip(_SIGNALS, before, strict=True):
        if _handler(number) != handler and handler is not None:
            signal.signal(number, handler)


def _blocked() -> set[Any]:
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())


def _block(before: set[Any]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _timers() -> tuple[bool, ...]:
    return tuple(signal.getitimer(which)[0] > 0 for which in _TIMERS)


def _stop_timers(before: Any) -> None:
    for which in _TIMERS:
        signal.setitimer(which, 0)


def _limits() -> tuple[tuple[int, int], ...]:
    return tuple(map(resource.getrlimit, _LIMITS))


def _put_limits_back(before: Iterable[tuple[int, int]]) -> None:
    """The hard ones go down only."""
    for which, limits in zip(_LIMITS, before, strict=True):
        if resource.getrlimit(which) != limits:
            resource.setrlimit(which, limits)


def _place() -> tuple[Any, ...]:
    """Of the process among others: its turn, its cores."""
    cores = frozenset(os.sched_getaffinity(0)) if sys.platform == "linux" else frozenset[int]()
    return os.getpriority(os.PRIO_PROCESS, 0), cores


def _put_place_back(before: tuple[Any, ...]) -> None:
    priority, cores = before
    if cores:
        os.sched_setaffinity(0, cores)
    os.setpriority(os.PRIO_PROCESS, 0, priority)


def _identity() -> tuple[int, ...]:
    return os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getpgrp()


def _locale() -> str:
    return locale.setlocale(locale.LC_ALL)


def _put_locale_back(before: str) -> None:
    locale.setlocale(locale.LC_ALL, before)


def _interpreter() -> tuple[Any, ...]:
    return (
        list(sys.path),
        list(sys.argv),
        (sys.stdin, sys.stdout, sys.stderr),
        (sys.excepthook, sys.displayhook, sys.gettrace(), sys.getprofile()),
        sys.getrecursionlimit(),
        (gc.isenabled(), gc.get_threshold()),
    )


def _put_interpreter_back(before: tuple[Any, ...]) -> None:
    sys.path[:], sys.argv[:] = before[0], before[1]
    sys.stdin, sys.stdout, sys.stderr = before[2]
    sys.excepthook, sys.displayhook, trace, profile = before[3]
    sys.settrace(trace)
    sys.setprofile(profile)
    sys.setrecursionlimit(before[4])
    is_enabled, threshold = before[5]
    (gc.enable if is_enabled else gc.disable)()
    gc.set_threshold(*threshold)


def _put_temporary_back(before: str | None) -> None:
    tempfile.tempdir = before


def _streams() -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for number in (0, 1, 2):
        try:
            facts = os.fstat(number)
            found.append((facts.st_dev, facts.st_ino))
        except OSError:
            found.append((-1, -1))
    return tuple(found)


def _nothing(before: Any) -> None:
    """It cannot be put back."""


_ASPECTS = (
    Aspect("its umask", _umask, os.umask),
    Aspect("its working folder", _folder, os.chdir),
    Aspect("its environment", _environment, _put_environment_back),
    Aspect("its signal handlers", _handlers, _put_handlers_back),
    Aspect("which signals it blocks", _blocked, _block),
    Aspect("its timers", _timers, _stop_timers),
    Aspect("its limits", _limits, _put_limits_back),
    Aspect("its priority", _place, _put_place_back),
    Aspect("its user or group", _identity, _nothing),
    Aspect("its locale", _locale, _put_locale_back),
    Aspect("its interpreter", _interpreter, _put_interpreter_back),
    Aspect("its temporary folder", tempfile.gettempdir, _put_temporary_back),
    Aspect("its sockets' time limit", socket.getdefaulttimeout, socket.setdefaulttimeout),
)

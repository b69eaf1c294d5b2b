"""What others hold of a counter, as a program of the operator's tells (`[counters.NAME] command`).

The program is named in conductor.toml, gets no shell, none of the secrets, and a bounded time; what it prints
is one whole number. It runs in a thread of its own: a tick, or a report, takes what it said last and waits
for nothing.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from conductor.base.logs.events import emit_event
from conductor.base.secrets import scrub
from conductor.base.settings.sections import CounterSettings
from conductor.base.text import printable
from conductor.model.report import CounterReading

#: So much of what it says is read; the rest is thrown away.
MOST_BYTES = 4096
#: And so much of it is shown.
SHOWN = 160
#: It has ended, and something that it started keeps its output open: not waited for any longer.
AFTER_END_S = 0.2
MOST_HELD = 1_000_000_000


class CounterCommands:
    """The commands of counters, each run again and again until `close`."""

    def __init__(self, counters: Mapping[str, CounterSettings], folder: Path, env: Mapping[str, str]) -> None:
        """`folder`: where they run; `env`: what they get of the environment."""
        self._stop = threading.Event()
        self._readings: dict[str, tuple[CounterReading, float]] = {}
        self._threads = [
            threading.Thread(
                target=self._watch, args=(name, rule, folder, env), name=f"counter {name}", daemon=True
            )
            for name, rule in counters.items()
            if rule.command
        ]

    def start(self) -> CounterCommands:
        for thread in self._threads:
            thread.start()
        return self

    def close(self) -> None:
        """A command that runs is killed."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def readings(self) -> dict[str, CounterReading]:
        """Of those that have ended once, as of now."""
        now = time.monotonic()
        return {
            name: CounterReading(others=reading.others, age_s=round(now - at, 3), fault=reading.fault)
            for name, (reading, at) in sorted(self._readings.copy().items())
        }

    def _watch(self, name: str, rule: CounterSettings, folder: Path, env: Mapping[str, str]) -> None:
        while not self._stop.is_set():
            found = ask(rule.command, folder, env, rule.timeout_s, self._stop)
            if self._stop.is_set():
                return
            self._note(name, found, time.monotonic())
            self._stop.wait(rule.every_s)

    def _note(self, name: str, found: CounterReading, now: float) -> None:
        """Where it told nothing, what it told before stands, and ages."""
        before = self._readings.get(name)
        if found.fault and (before is None or before[0].fault != found.fault):
            words = "counters.{counter}: its command told nothing: {error}"
            emit_event("counter.untold", words, counter=name, error=found.fault)
        if found.fault and before is not None:
            self._readings[name] = (CounterReading(others=before[0].others, fault=found.fault), before[1])
        else:
            self._readings[name] = (found, now)


def ask(
    argv: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    timeout_s: float,
    stop: threading.Event | None = None,
) -> CounterReading:
    """Run it once. `fault` where it told nothing; it never raises."""
    try:
        child = subprocess.Popen(
            argv,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as e:
        return CounterReading(fault=f"{argv[0]} cannot be started: {e.strerror or e}")
    try:
        out, err, is_over = _heard(child, time.monotonic() + timeout_s, stop or threading.Event())
    finally:
        # Whatever it has left: nothing of it may live on.
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        code = child.wait()
    if not is_over:
        return CounterReading(fault=f"it had not ended after {timeout_s:g} s, and was killed")
    return _reading(code, out.decode(errors="replace").strip(), err.decode(errors="replace").strip())


def _reading(code: int, out: str, err: str) -> CounterReading:
    if code:
        said = _shown(err or out)
        ended = f"signal {-code}" if code < 0 else f"exit {code}"
        return CounterReading(fault=f"{ended}: {said}" if said else ended)
    if not re.fullmatch(r"\d{1,10}", out, re.ASCII) or int(out) > MOST_HELD:
        return CounterReading(
            fault=f"it printed {_shown(out)!r}, not one whole number" if out else "it printed nothing"
        )
    return CounterReading(others=int(out))


def _shown(text: str) -> str:
    line = printable(" ".join(scrub(text).split()))
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def _heard(child: subprocess.Popen[bytes], until: float, stop: threading.Event) -> tuple[bytes, bytes, bool]:
    """(what it printed, what it said of errors, did it end by itself); no more of either than is looked
    at.
    """
    assert child.stdout is not None and child.stderr is not None, "both are pipes"
    heard = {child.stdout: bytearray(), child.stderr: bytearray()}
    with selectors.DefaultSelector() as selector, child.stdout, child.stderr:
        for pipe in heard:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map() and (left := until - time.monotonic()) > 0 and not stop.is_set():
            ready = selector.select(min(left, AFTER_END_S))
            if not ready and child.poll() is not None:
                break
            for key, _ in ready:
                pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
                if piece := os.read(key.fd, 65536):
                    heard[pipe] += piece[: MOST_BYTES - len(heard[pipe])]
                else:
                    selector.unregister(pipe)
        # Its output is closed: most end in a moment.
        while child.poll() is None and time.monotonic() < until and not stop.is_set():
            stop.wait(0.01)
        # Before the pipes are closed: that ends a flooder, too.
        is_over = child.poll() is not None
    return bytes(heard[child.stdout]), bytes(heard[child.stderr]), is_over

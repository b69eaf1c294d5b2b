"""A channel that is a program of the operator's: conductor.toml names it, and it gets each message on stdin.

Nothing of a message becomes an argument of it, no shell reads it, and it has none of the secrets.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from conductor.base.secrets import scrub
from conductor.base.text import printable
from conductor.model.alerts import AlertMessage

#: So much of its last line is shown.
SHOWN = 160


class LocalCommand:
    def __init__(self, argv: Sequence[str], folder: Path, env: Mapping[str, str], timeout_s: float) -> None:
        """`folder`: where it runs; `env`: what it gets of the environment."""
        self._argv = tuple(argv)
        self._folder = folder
        self._env = dict(env)
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        return "command"

    def send(self, message: AlertMessage) -> str:
        try:
            child = subprocess.Popen(
                self._argv,
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as e:
            return f"{self._argv[0]} cannot be started: {e.strerror or e}"
        try:
            _, err = child.communicate(as_json(message), timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            return f"it had not ended after {self._timeout_s:g} s, and was killed"
        finally:
            # Whatever it has left: nothing of it may live on.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            for pipe in (child.stdin, child.stderr):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
        return "" if child.returncode == 0 else _fault(child.returncode, err)


def as_json(message: AlertMessage) -> bytes:
    """One object with every field, and a newline."""
    return msgspec.json.encode(_whole(message)) + b"\n"


def _whole(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return {name: _whole(getattr(value, name)) for name in value.__struct_fields__}
    return [_whole(item) for item in value] if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType]


def _fault(code: int, err: bytes) -> str:
    ended = f"signal {-code}" if code < 0 else f"exit {code}"
    lines = scrub(err.decode(errors="replace")).strip().splitlines()
    return f"{ended}: {printable(lines[-1])[:SHOWN]}" if lines else ended

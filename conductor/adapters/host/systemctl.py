"""systemctl: what a service manager knows of one unit."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

LIMIT_S = 20.0
FIELDS = ("LoadState", "ActiveState", "SubState", "UnitFileState", "StatusText", "NRestarts")


class Systemctl:
    """Of the system, or of this user."""

    def __init__(self, is_user: bool) -> None:
        self._scope = ("--user",) if is_user else ()

    def command(self, *words: str) -> str:
        """For people to type."""
        return " ".join(("systemctl", *self._scope, *words))

    def properties(self, unit: str) -> dict[str, str]:
        """`FIELDS` of it; empty where no service manager answers."""
        said = self._ask("show", unit, f"--property={','.join(FIELDS)}")
        pairs = (line.partition("=") for line in (said or "").splitlines())
        return {name: value for name, _, value in pairs if name in FIELDS}

    def disable(self, unit: str) -> bool:
        """No start at boot any more. False where no service manager answers."""
        return self._ask("disable", unit) is not None

    def reload(self) -> bool:
        """Read all unit files anew. False where no service manager answers."""
        return self._ask("daemon-reload") is not None

    def _ask(self, *words: str) -> str | None:
        if (program := shutil.which("systemctl")) is None:
            return None
        argv: Sequence[str] = (program, *self._scope, "--no-pager", *words)
        try:
            done = subprocess.run(
                argv, capture_output=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None

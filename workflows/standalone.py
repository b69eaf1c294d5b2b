"""For `python workflows/NAME/plan.py` in a shell that knows nothing: the project's own environment is used,
or the reader is told in one sentence what to do. Imports the standard library only."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("conductor", "msgspec", "orjson")
_AGAIN = "WORKFLOWS_STANDALONE"


def ensure_environment() -> None:
    """Go on where everything is there; else start again with the project's own Python; else say what is
    missing.
    """
    if all(importlib.util.find_spec(name) for name in NEEDED):
        return
    python = ROOT / ".venv" / "bin" / "python"
    if python.exists() and _AGAIN not in os.environ:
        os.environ[_AGAIN] = "1"
        os.execv(python, [str(python), *sys.argv])
    sys.exit(
        "Conductor is not installed in this Python: run ./scripts/demo once, or activate its "
        "environment (.venv)"
    )

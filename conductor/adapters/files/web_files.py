"""Where the web process says how it is reached: for those who ask it, and need not know how it is made."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from conductor.adapters.redis.valkey_folder import fits, runtime_dir


def web_url_file(state_dir: Path) -> Path:
    """Holds the address of the page while the process runs."""
    return state_dir / "web.url"


def web_socket(state_dir: Path) -> Path:
    """The socket that only the project's owner can open: in the state folder, where the name fits."""
    near = state_dir / "web.sock"
    if fits(near):
        return near
    return runtime_dir() / (hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:16] + "-web.sock")

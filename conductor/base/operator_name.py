"""Who sits at this terminal, for records that people read."""

from __future__ import annotations

import getpass
import socket


def operator_name() -> str:
    """«anna@studio1»."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return socket.gethostname()

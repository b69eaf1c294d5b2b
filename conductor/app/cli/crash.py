"""What is left for the developer when a command meets an error nobody foresaw: the trace, in a file."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from pathlib import Path

from conductor.base.secrets import scrub
from conductor.base.text import printable


def sentence(error: Exception) -> str:
    """What to tell the user: the error's own words and where its trace lies."""
    words = printable(scrub(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__))
    where = write_trace(error)
    return f"unexpected error: {words}. " + (
        f"The trace is in {where}" if where else "Its trace could not be written."
    )


def write_trace(error: Exception) -> Path | None:
    text = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {' '.join(map(ascii, sys.argv))}\n"
    text = scrub(text + "".join(traceback.format_exception(error)) + "\n")
    for folder in (logs_folder, fresh_folder):
        try:
            file = folder() / "crashes.log"
            with file.open("a", encoding="utf-8", errors="backslashreplace") as f:
                f.write(text)
        except Exception:  # noqa: BLE001  what broke the command may break this: there is another folder
            continue
        return file
    return None


def logs_folder() -> Path:
    from conductor.base.settings.settings import load
    from conductor.record.project_folder import refuse_no_project

    settings = load()
    refuse_no_project(settings)
    folder = settings.logs_dir
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fresh_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="conductor-"))

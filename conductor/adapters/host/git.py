"""The only file that asks git: which commit a folder stands at."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

#: A repository on a slow disk; then it is not said.
LIMIT_S = 5.0


def commit_of(folder: Path, without: Path) -> str | None:
    """The commit's full name, with «+changes» where a tracked file differs from it, those below `without`
    aside. None: no repository, no commit yet, or no git."""
    try:
        commit = _git(folder, "rev-parse", "--verify", "HEAD").strip()
        changed = _git(
            folder, "diff", "--name-only", "HEAD", "--", ".", f":(exclude,top){_below(folder, without)}"
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return f"{commit}+changes" if changed.strip() else commit


def _below(folder: Path, without: Path) -> str:
    """As the repository names it."""
    top = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
    place = without.resolve()
    return place.relative_to(top).as_posix() if place.is_relative_to(top) else ".git"


def _git(folder: Path, *words: str) -> str:
    # A repository may name a program that watches its files: nobody asked for that one to run.
    argv = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *words]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    return subprocess.run(
        argv, env=environment, capture_output=True, check=True, encoding="utf-8", timeout=LIMIT_S
    ).stdout

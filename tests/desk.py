"""A desk with somebody at it, or nobody: a program in the place of `loginctl`."""

from __future__ import annotations

import os
from pathlib import Path


class Desk:
    """`env` is for the node that is to see it. Nobody is there at first."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "session"
        program = folder / "bin/loginctl"
        program.parent.mkdir()
        program.write_text(
            f'#!/bin/sh\ncase $1 in list-sessions) echo "3 1000 ann";; *) cat {self._state};; esac\n'
        )
        program.chmod(0o755)
        self.env = {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
        self.leaves()

    def comes(self) -> None:
        self._says("no", 0)

    def leaves(self) -> None:
        self._says("yes", 1_000_000)

    def _says(self, hint: str, since: int) -> None:
        draft = self._state.with_suffix(".draft")
        draft.write_text(f"Type=x11\nClass=user\nState=active\nIdleHint={hint}\nIdleSinceHint={since}\n")
        draft.replace(self._state)

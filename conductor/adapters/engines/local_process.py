"""A submission as a process of this host, tied to the life of the process that started it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Protocol

from conductor.adapters.host import die_with_parent
from conductor.model.engine import Submission


class LocalProcess(Protocol):
    """Of a started submission; `subprocess.Popen` is one."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def send_signal(self, sig: int, /) -> None: ...


def start_process(submission: Submission, environment: Mapping[str, str]) -> LocalProcess:
    """Tied to this process's life, in a session of its own. Raises `OSError`."""
    with ExitStack() as stack:
        output: int | IO[bytes] = subprocess.DEVNULL
        if submission.output:
            output = stack.enter_context(Path(submission.output).open("ab"))
        return subprocess.Popen(
            [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), *submission.argv],
            cwd=submission.folder,
            env={**environment, **submission.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

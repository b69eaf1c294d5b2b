"""Slurm's programs on this host: run within a time limit, and what they say of the way to the controller told
apart from what they say of what it was asked.
"""

from __future__ import annotations

import os
import subprocess

from conductor.base.errors import Unreachable

_AWAY = ("contact", "connect", "timed out", "communication", "zero bytes", "message", "standby",
         "temporarily", "protocol", "incompatible", "unspecified")  # fmt: skip


class SlurmPrograms:
    """`patience_s`: for one of them."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s

    def ask(self, program: str, *arguments: str) -> str:
        """What it prints. Raises `Unreachable` also where it failed."""
        done = self.run(program, *arguments)
        if done.returncode:
            raise Unreachable(f"{program}: {words_of(done)}")
        return done.stdout.decode("latin-1")

    def run(self, program: str, *arguments: str, script: str = "") -> subprocess.CompletedProcess[bytes]:
        """Raises `Unreachable` where nobody answered the question."""
        # Filters that a person has set for the own terminal would hide what is there.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
        try:
            done = subprocess.run(
                [program, *arguments], input=script.encode(), capture_output=True, timeout=self._patience_s,
                env={**environment, "SLURM_TIME_FORMAT": "%s", "LC_ALL": "C"},
            )  # fmt: skip
        except OSError as e:
            raise Unreachable(f"{program} of Slurm cannot be started here: {e.strerror}") from e
        except subprocess.TimeoutExpired as e:
            raise Unreachable(f"{program} of Slurm gave no answer within {self._patience_s:g} s") from e
        if done.returncode and any(word in words_of(done).lower() for word in _AWAY):
            raise Unreachable(f"{program}: {words_of(done)}")
        return done


def words_of(done: subprocess.CompletedProcess[bytes]) -> str:
    """What it said, without the names of programs."""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return "; ".join(line.rpartition("error: ")[2].removeprefix("allocation failure: ") for line in lines)

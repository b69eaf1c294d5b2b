"""The ways by which `conductor smoke` hands its jobs in and looks: the commands, or HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from conductor.analysis.smoke.run import BACKLOG
from conductor.base.errors import ConductorError, Unreachable
from conductor.base.files.safe_open import make_own
from conductor.client import Client
from conductor.model.ledger_entries import JobState
from conductor.model.spec import JobSpec, to_line
from conductor.ports import Ledger

#: A command that takes longer than this is no smoke run any more.
COMMAND_S = 120.0


class CommandDoor:
    """`conductor dispatch` and `conductor verify` in processes of their own, as somebody types them; it looks
    at the ledger."""

    def __init__(self, ledger: Ledger, project: Path, manifest: Path) -> None:
        self._ledger = ledger
        self._project = project
        self._manifest = manifest

    def counts(self) -> dict[JobState, int]:
        return self._ledger.tallies.counts(BACKLOG)

    def put(self, specs: Sequence[JobSpec]) -> None:
        self._write(specs)
        self._run("dispatch", str(self._manifest), "--target", f"backlog:{BACKLOG}")

    def verify(self) -> bool:
        self._run("verify", str(self._manifest))
        return True

    def clean(self, specs: Sequence[JobSpec]) -> None:
        try:
            states = self._ledger.jobs.states([spec.id for spec in specs])
            for job_id, state in states.items():
                if state not in ("done", "cancelled"):
                    self._ledger.commands.cancel(job_id)
            self._ledger.bell.ring()
        finally:
            self._manifest.unlink(missing_ok=True)

    def _write(self, specs: Sequence[JobSpec]) -> None:
        make_own(self._manifest.parent)
        self._manifest.write_bytes(b"".join(to_line(spec) + b"\n" for spec in specs))

    def _run(self, *words: str) -> None:
        argv = [sys.executable, "-P", "-m", "conductor", *words]
        env = {**os.environ, "CONDUCTOR_PROJECT": str(self._project)}
        try:
            ended = subprocess.run(
                argv, env=env, capture_output=True, text=True, timeout=COMMAND_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unreachable(f"`conductor {words[0]}` did not end within {COMMAND_S:g} s") from None
        if ended.returncode:
            last = (ended.stderr or ended.stdout).strip().splitlines()[-1:] or ["it said nothing"]
            raise ConductorError(f"`conductor {words[0]}` ended with {ended.returncode}: {last[0]}")


class HttpDoor(CommandDoor):
    """Handed in by the client of the HTTP API, over its owner's socket, and looked at through it; the page's
    looks are half a second apart, and so are these figures."""

    def __init__(self, ledger: Ledger, project: Path, manifest: Path, client: Client) -> None:
        super().__init__(ledger, project, manifest)
        self._client = client

    def counts(self) -> dict[JobState, int]:
        return self._client.status().backlogs.get(BACKLOG, {})

    def put(self, specs: Sequence[JobSpec]) -> None:
        self._write(specs)
        said = self._client.submit(*specs, backlog=BACKLOG)
        if said.exit_code:
            raise ConductorError(f"the dispatch by HTTP ended with {said.exit_code}: {said.said}")

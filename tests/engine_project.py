"""A project of its own beside a real engine: its Redis over TCP, its commands, a conductor to be killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from free_ports import a_free_port

from conductor.adapters.redis.valkey_binary import find_binary

REDIS = """
[redis]
url = "redis://127.0.0.1:{port}"
is_volatile_ok = true

"""


class EngineProject:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._conductor: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, engine: str) -> Generator[Self]:
        """`engine`: its table of the settings."""
        port = a_free_port()
        (folder / "conductor.toml").write_text(REDIS.format(port=port) + engine)
        command = [find_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        redis, project = subprocess.Popen(command, stdout=subprocess.DEVNULL), cls(folder)
        try:
            yield project
        finally:
            project.close()
            redis.kill()
            redis.wait()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-P", "-m", "conductor", *words)
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)

    def conduct(self) -> None:
        with (self.folder / "conduct.out").open("ab") as out:
            command = (sys.executable, "-P", "-m", "conductor", "conduct")
            self._conductor = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out)

    def jobs(self, state: str) -> list[str]:
        rows = json.loads(self.run("jobs", f"state:{state}", "--json").stdout)
        return [row["job_id"] for row in rows["rows"]]

    def kill_conductor(self) -> None:
        assert self._conductor is not None
        self._conductor.kill()
        self._conductor.wait()

    def dispatch(self, seconds: int, count: int) -> None:
        options = ("--mode", "sleep", "--seconds", str(seconds), "--count", str(count))
        assert self.run("plan", "system_test", *options, "-o", "manifests/a.jsonl").returncode == 0
        dispatched = self.run("dispatch", "manifests/a.jsonl")
        assert dispatched.returncode == 0, dispatched.stderr

    def close(self) -> None:
        if self._conductor is not None:
            self._conductor.terminate()
            self._conductor.wait()

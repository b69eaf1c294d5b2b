"""The peers' environment, made on first use and byte-compiled, and the one Valkey that all of a run share."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from conductor.adapters.redis.valkey_binary import find_binary

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "benchmarks" / "peer_apps" / "requirements.txt"
START_S = 15.0


def python_of_peers() -> Path:
    """Its interpreter. Another list of requirements makes another environment."""
    mark = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = ROOT / ".conductor" / f"peers-{mark}"
    python, finished = folder / "bin" / "python", folder / "finished"
    if not finished.exists():
        print(f"installing the peers into {folder} (once)", file=sys.stderr)
        _install(folder, python)
        finished.touch()
    return python


def _install(folder: Path, python: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    venv = [uv, "venv", "--quiet", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]
    subprocess.run([*venv, str(folder)], check=True)
    pip = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install"]
    subprocess.run([*pip, "--quiet", "-r", str(REQUIREMENTS)], check=True)
    # Workers that compile their imports first are measured at that.
    subprocess.run([str(python), "-m", "compileall", "-q", str(folder / "lib")], check=False)


@contextmanager
def shared_valkey(folder: Path) -> Generator[str]:
    """The URL of a server with an append-only file, fsynced each second, for everybody alike."""
    socket = folder / "valkey.sock"
    words = [
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--dir",
        str(folder),
        "--appendonly",
        "yes",
        "--save",
        "",
    ]
    server = subprocess.Popen([str(find_binary()), *words], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while not socket.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"Valkey did not start within {START_S:g} s")
            time.sleep(0.01)
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait()


def emptied(url: str) -> None:
    with Redis.from_url(url) as client:
        client.flushall()


def is_rewriting(client: Redis) -> bool:
    found: dict[str, int] = client.info("persistence")  # pyright: ignore[reportAssignmentType]
    return bool(
        found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"] or found["rdb_bgsave_in_progress"]
    )

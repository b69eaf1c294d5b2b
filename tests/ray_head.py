"""A real Ray for tests: a head with two cores on loopback. Its environment is made by hand, since Ray weighs
400 MB, and takes ten seconds and half a gigabyte to start:

    python -m venv FOLDER && FOLDER/bin/pip install "ray[default]"
    RAY_FOR_TESTS=FOLDER scripts/test tests/contract/test_engines.py -k ray
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from free_ports import a_free_port

VARIABLE = "RAY_FOR_TESTS"
START_S = 120.0


def ray_program() -> Path | None:
    """None: nobody has made an environment for it."""
    folder = os.environ.get(VARIABLE)
    return Path(folder) / "bin" / "ray" if folder else None


@contextmanager
def running_ray(program: Path, folder: Path) -> Generator[str]:
    """Yields the address of its dashboard."""
    port, dashboard = a_free_port() + 10_000, a_free_port() + 10_000
    options = {
        "port": port, "dashboard-host": "127.0.0.1", "dashboard-port": dashboard, "num-cpus": 2,
        "node-ip-address": "127.0.0.1", "object-store-memory": 100_000_000, "temp-dir": folder,
    }  # fmt: skip
    with (folder / "ray.out").open("wb") as out:
        head = subprocess.Popen(
            [program, "start", "--head", "--block", "--disable-usage-stats",
             *(f"--{name}={value}" for name, value in options.items())],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{dashboard}"
    try:
        _await(head, f"{url}/api/cluster_status?format=0", folder / "ray.out")
        yield url
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(START_S)
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(folder) in " ".join(process.cmdline()):
                    process.kill()


def _await(head: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Until it knows its nodes."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and head.poll() is None:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(address, timeout=5.0) as answer:
            if b'"CPU"' in answer.read():
                return
        time.sleep(0.2)
    raise AssertionError(f"Ray did not start: {log.read_text()[-2000:]}")

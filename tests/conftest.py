"""Shared fixtures: a real Valkey per test session, both ledgers, a project folder of one's own."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
from postgres_server import PostgresServer, binaries, running_postgres
from ray_head import VARIABLE, ray_program, running_ray
from slurm_daemons import SlurmDaemons, is_unpacked, running_slurm

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.redis import valkey
from conductor.base import secrets
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.ports import Ledger


def pytest_configure() -> None:
    """What the developer's own shell says about a Conductor of theirs is not for the tests."""
    for name in [name for name in os.environ if name.startswith("CONDUCTOR_")]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def no_secret_outlives_its_test() -> Generator[None]:
    """A process masks what it has once loaded as a secret: the next test's words may be spelled alike."""
    known, before = secrets._known, set(secrets._known)  # pyright: ignore[reportPrivateUsage]
    yield
    known.clear()
    known |= before


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, dealt out: each process of xdist begins with an equal part of the list, and one
    that had all of them would wait most of the time. Who has nothing left helps with the short ones."""
    long = [item for item in items if item.get_closest_marker("slow")]
    short = iter([item for item in items if not item.get_closest_marker("slow")])
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    left, dealt = len(items), list[pytest.Item]()
    for n in range(processes):
        mine, size = long[n::processes], left // (processes - n)
        dealt += [*mine, *islice(short, max(0, size - len(mine)))]
        left -= size
    items[:] = [*dealt, *short]


#: Of each log, where a test has failed.
SHOWN_BYTES = 6000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the processes of a failed test said is shown with it: its folder is gone when somebody looks."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.when == "call" and report.failed and isinstance(folder, Path):
        for log in sorted((*folder.rglob("*.out"), *folder.rglob("*.log"))):
            with suppress(OSError):
                said = log.read_bytes()[-SHOWN_BYTES:].decode("utf-8", "replace")
                report.sections.append((f"the end of {log.relative_to(folder)}", said))
    return report


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the session (for each process of xdist); `redis_url` is the one that tests want."""
    settings = Settings(state_dir=tmp_path_factory.mktemp("valkey"))
    with valkey.session(settings.valkey) as url:
        yield url


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """The URL of a real, empty Valkey."""
    from redis import Redis

    with Redis.from_url(valkey_url, protocol=2, driver_info=None) as client:
        client.flushall()
    return valkey_url


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the session; a test that has it has a database of its own by `postgres.database()`."""
    tools = binaries()
    if tools is None:
        words = "no PostgreSQL is installed (initdb is neither in /usr/lib/postgresql nor on PATH)"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    with running_postgres(tools) as server:
        yield server


@pytest.fixture(scope="session")
def slurm_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmDaemons]:
    """One pair of daemons for the session; `slurm` is what tests want."""
    if not is_unpacked():
        words = (
            "no Slurm is unpacked here: scripts/slurm-for-tests brings it (Debian's packages, not installed)"
        )
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    with running_slurm(tmp_path_factory.mktemp("slurm")) as daemons:
        yield daemons


@pytest.fixture
def slurm(slurm_session: SlurmDaemons, monkeypatch: pytest.MonkeyPatch) -> SlurmDaemons:
    """A real Slurm without jobs, which this process's `sbatch` and `squeue` talk to."""
    for name, value in slurm_session.environment.items():
        monkeypatch.setenv(name, value)
    slurm_session.make_ready()
    return slurm_session


@pytest.fixture(scope="session")
def ray_url() -> Iterator[str]:
    """Of a real Ray, where somebody has made an environment for it."""
    program = ray_program()
    if program is None:
        pytest.skip(
            f"{VARIABLE} names no environment with Ray in it (tests/ray_head.py says how to make one)"
        )
    # Ray's sockets need a short path.
    room = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
    with room as folder, running_ray(program, Path(folder)) as url:
        yield url


@pytest.fixture
def ledger(redis_url: str) -> Iterator[Ledger]:
    from conductor.adapters.open_ledger import connect, redis_ledger

    with connect(redis_url) as client:
        yield redis_ledger(client)


@pytest.fixture
def no_thread_falls(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user would see a traceback."""
    fallen: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: fallen.append(repr(args.exc_value)))
    yield
    assert fallen == []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_700_000_000.0)


@pytest.fixture
def memory_ledger(clock: ManualClock) -> Ledger:
    """The in-memory twin, on the `clock` fixture."""
    from conductor.adapters.memory import memory_ledger

    return memory_ledger(clock)


@pytest.fixture
def project(tmp_path: Path, redis_url: str) -> Settings:
    """A project folder with a conductor.toml, as `settings.load` sees it; no disk space is set aside."""
    (tmp_path / CONFIG_NAME).write_text(
        f"""\
[redis]
url = "{redis_url}"

[roots.scratch]
path = ".conductor/scratch"
headroom_bytes = 0

[roots.published]
path = "published"
headroom_bytes = 0
""",
        encoding="utf-8",
    )
    settings = load(tmp_path)
    for root in settings.roots.values():
        root.path.mkdir(parents=True)
    return settings

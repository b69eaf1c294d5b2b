"""A project with a real Valkey, nodes and conductors as real processes; whoever dies without a supervisor is
restarted.

The processes know nothing of the test. They are found again by a mark in their environment, like an outsider
would.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from redis import Redis
from redis.exceptions import RedisError

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.redis import client as redis_client
from conductor.adapters.redis import valkey
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dispatch import dispatch
from conductor.model.spec import JobSpec
from tests.chaos.jobs import BACKLOG, TASKS, write_manifest
from tests.patience import rest

REPOSITORY = Path(__file__).resolve().parents[2]
HOOKS = Path(__file__).with_name("hooks")
MARK = "CHAOS_MARK"

CONFIG = """\
task_modules = ["chaos_tasks"]
[redis]
{redis}
[lanes]
gpu.workers = 0
cpu.workers = {cpu}
cpu.depth = {depth}
io.workers = {io}
io.depth = {depth}
cloud.workers = 0
[timing]
tick_s = 0.5
lease_s = 1.5
admitted_grace_s = 1.0
report_every_s = 0.5
report_ttl_s = 3.0
[breaker]
first_probe_s = 1.0
[limits]
ram_headroom_mib = 0
[web]
is_on = false
[dashboard]
is_on = false
[rates.api]
requests_per_min = 100000
[roots.scratch]
path = ".conductor/scratch"
headroom_bytes = 0
[roots.published]
path = "published"
headroom_bytes = 0
"""


@dataclass(frozen=True)
class Proc:
    """One process of the world. `kind`: conductor, node, fork server, worker, body, program."""

    pid: int
    kind: str
    name: str = ""


@dataclass
class Role:
    """A process that the world keeps alive, as a service manager would."""

    name: str
    words: tuple[str, ...]
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0


@dataclass
class ChaosWorld:
    settings: Settings
    mark: str
    env: dict[str, str]
    roles: list[Role] = field(default_factory=list["Role"])
    manifests: list[Path] = field(default_factory=list[Path])

    @property
    def folder(self) -> Path:
        return self.settings.project

    # ── Redis, raw ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def redis(self) -> Redis:
        return redis_client.connect(self.redis_url, socket_timeout=5.0)

    @property
    def redis_url(self) -> str:
        return self.settings.redis.url or valkey.place_of(self.settings.valkey).url

    def asked(self, question: Callable[[Redis], Any], limit_s: float = 60.0) -> Any:
        """The answer, as soon as there is a server to give one."""
        deadline = time.monotonic() + limit_s
        while True:
            try:
                with self.redis as client:
                    return question(client)
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def counts(self) -> dict[str, int]:
        raw: dict[bytes, bytes] = self.asked(lambda r: r.hgetall(f"conductor:count:{BACKLOG}"))
        return {letter.decode(): int(n) for letter, n in raw.items()}

    def active(self) -> list[dict[str, Any]]:
        with suppress(RedisError), self.redis as client:
            values: Any = client.hvals("conductor:reservations")
            return [msgspec.json.decode(text) for text in values]
        return []

    def state(self, job_id: str) -> str:
        text: bytes | None = self.asked(lambda r: r.hget("conductor:state", job_id))
        return (text or b"?").decode().split("|")[0]

    # ── processes ─────────────────────────────────────────────────────────────────────────────────────────

    def keep(self, name: str, *words: str, **env: str) -> Role:
        role = Role(name, words, env)
        self.roles.append(role)
        self.start(role)
        return role

    def start(self, role: Role) -> None:
        role.starts += 1
        argv, folder = self.call_of(role)
        with (self.folder / f"{role.name}.out").open("ab") as sink:
            role.process = subprocess.Popen(
                argv,
                cwd=folder,
                env={**self.env, **role.env},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    def call_of(self, role: Role) -> tuple[list[str], Path]:
        """What is called for it, and in which folder."""
        return [sys.executable, "-P", "-m", "conductor", *role.words], self.folder

    def mend(self) -> int:
        """Start what has died; how many."""
        dead = [role for role in self.roles if role.process is None or role.process.poll() is not None]
        for role in dead:
            self.start(role)
        return len(dead)

    def processes(self) -> list[Proc]:
        """Everything alive that carries the mark, by pid."""
        needle = f"{MARK}={self.mark}".encode()
        found: list[Proc] = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if needle not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if words != [""]:
                    found.append(_proc(int(entry.name), words))
        return sorted(found, key=lambda proc: proc.pid)

    def of_kind(self, kind: str) -> list[Proc]:
        return [proc for proc in self.processes() if proc.kind == kind]

    def valkey_pid(self) -> int | None:
        with suppress(OSError, ValueError):
            return int(valkey.place_of(self.settings.valkey).pid_file.read_text())
        return None

    def local_roots(self) -> dict[str, dict[str, Path]]:
        """Root → host → its folder, of roots that hosts do not share. Here one machine plays all hosts."""
        return {}

    # ── the course of things ──────────────────────────────────────────────────────────────────────────────

    def dispatch(self, specs: Sequence[JobSpec], name: str = "chaos") -> None:
        manifest = write_manifest(self.folder / f"{name}.jsonl", specs)
        self.manifests.append(manifest)
        self.command("dispatch", str(manifest), "--target", f"backlog:{BACKLOG}")

    def put(self, *specs: JobSpec) -> None:
        """As `dispatch`, without a process of its own."""
        manifest = write_manifest(self.folder / f"put{len(self.manifests)}.jsonl", specs)
        self.manifests.append(manifest)
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        sys.modules.pop("chaos_tasks", None)
        with connect(self.redis_url) as client:
            catalogue = load_catalogue(("workers.tasks.declared", "chaos_tasks"))
            dispatch(redis_ledger(client), manifest, BACKLOG, catalogue, self.settings.receipts_dir)

    def command(self, *words: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "conductor", *words],
            cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert may_fail or done.returncode == 0, f"conductor {' '.join(words)}: {done.stdout}{done.stderr}"
        return done

    def until(self, what: Callable[[], Any], why: str, limit_s: float = 30.0) -> Any:
        """The first true answer; meanwhile what dies is started again."""
        began = time.monotonic()
        while not (answer := what()):
            if time.monotonic() > began + limit_s:
                raise AssertionError(f"not in {limit_s:g} s: {why}\n{self.story()}")
            self.mend()
            rest(began, 0.02)
        return answer

    def until_reported(self, nodes: Iterable[str]) -> None:
        """Workers start only when something is handed over."""
        keys = [f"conductor:node:{node}" for node in nodes]
        if keys:
            self.until(lambda: self.asked(lambda r: r.exists(*keys)) == len(keys), "the nodes report", 120.0)

    def is_over(self) -> bool:
        counts = self.counts()
        return sum(counts.values()) > 0 and not any(counts.get(letter, 0) for letter in "war")

    def stop(self, limit_s: float = 30.0) -> None:
        """SIGTERM to the conductors, then to the nodes: both drain."""
        for word in ("conduct", "node"):
            going = [r.process for r in self.roles if r.words[0] == word and r.process is not None]
            for process in going:
                process.send_signal(signal.SIGTERM)
            for process in going:
                process.wait(limit_s)
        self.roles = []

    def left(self, limit_s: float = 3.0) -> list[Proc]:
        """Processes still there although everything was stopped."""
        deadline = time.monotonic() + limit_s
        while (
            found := [p for p in self.processes() if "valkey-server" not in p.name]
        ) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def story(self) -> str:
        lines = [f"counts {self.counts()}", *(f"active {a}" for a in self.active()[:10])]
        for file in (*sorted(self.folder.glob("*.out")), *sorted(self.settings.logs_dir.glob("node*.jsonl"))):
            lines += [f"== {file.name}", file.read_text(errors="replace")[-1500:]]
        return "\n".join(lines)

    def kill_all(self) -> None:
        """Whoever was just being started is found on the second look."""
        processes = [role.process for role in self.roles if role.process is not None]
        self.roles = []
        while found := self.processes():
            for proc in found:
                with suppress(OSError):
                    os.kill(proc.pid, signal.SIGKILL)
            for process in processes:
                process.wait()


def _proc(pid: int, words: list[str]) -> Proc:
    if "die_with_parent.py" in " ".join(words[:6]):
        return Proc(pid, "starting")
    if "workers.isolation.child_main" in words:
        return Proc(pid, "body")
    if "workers" in words and "--name" in words:
        return Proc(pid, "worker", words[words.index("--name") + 1])
    if "workers" in words and "--fork-server" in words:
        return Proc(pid, "fork server")
    for word, kind in (("conduct", "conductor"), ("node", "node")):
        if "conductor" in words and word in words:
            return Proc(pid, kind)
    return Proc(pid, "program", " ".join(words).strip())


@contextmanager
def a_world(
    folder: Path,
    *,
    nodes: int = 2,
    conductors: int = 2,
    cpu: int = 2,
    io: int = 1,
    depth: int = 4,
    appendfsync: str = "everysec",
    redis_url: str | None = None,
    is_hooked: bool = False,
    env: Mapping[str, str] | None = None,
) -> Iterator[ChaosWorld]:
    """Everything up and reporting, on `redis_url` or a Valkey of its own. At the end all that carries the
    mark is gone, however the block ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    redis = f'appendfsync = "{appendfsync}"' if redis_url is None else f'url = "{redis_url}"'
    (folder / CONFIG_NAME).write_text(CONFIG.format(cpu=cpu, io=io, depth=depth, redis=redis))
    (folder / "chaos_tasks.py").write_text(TASKS)
    settings, mark = load(folder), secrets.token_hex(8)
    own = {name: value for name, value in os.environ.items() if not name.startswith("CONDUCTOR_")}
    # This very checkout, whatever is installed; the hooks only where a test asks for them.
    path = os.pathsep.join([*([str(HOOKS)] if is_hooked else []), str(REPOSITORY)])
    world = ChaosWorld(
        settings, mark, {**own, MARK: mark, "NO_COLOR": "1", "PYTHONPATH": path, **(env or {})}
    )
    with valkey.session(settings.valkey) if redis_url is None else nullcontext():
        try:
            for n in range(nodes):
                world.keep(f"node{n}", "node", CONDUCTOR_NODE=f"n{n}")
            for n in range(conductors):
                world.keep(f"conductor{n}", "conduct", "--backlog", f"backlog:{BACKLOG}")
            world.until_reported(f"n{n}" for n in range(nodes))
            yield world
        finally:
            world.kill_all()

"""Hosts that share a Redis (by TCP, TLS and the shipped users) and a NAS, and nothing else; the chaos runs on
them.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from redis.exceptions import RedisError

from conductor.adapters.open_ledger import redis_ledger
from conductor.adapters.redis.valkey_binary import find_binary
from conductor.base.settings.settings import CONFIG_NAME, load
from conductor.model.spec import JobSpec
from conductor.views.status import gather
from tests.chaos.jobs import BACKLOG, EFFECTS, TASKS, write_manifest
from tests.chaos.world import CONFIG, MARK, REPOSITORY, ChaosWorld, Proc, Role
from tests.hosts import certificates
from tests.hosts.network import REDIS, Host, Network, a_network

PORT = 6390
#: What lies between a host and Redis.
DELAY_MS, LOSS_PERCENT = 20, 1
NAS_MARKER = ".nas"
#: Fewer than so many wait: the next lot comes.
FEW = 20


@dataclass
class HostsWorld(ChaosWorld):
    """`settings` are those of the first host; a role runs on the host that its CONDUCTOR_NODE names."""

    network: Network = field(kw_only=True)
    nas: Path = field(kw_only=True)
    #: Of Redis's users.
    passwords: dict[str, str] = field(kw_only=True)
    authority: Path = field(kw_only=True)
    server: subprocess.Popen[bytes] | None = None
    #: Dispatched one lot after the other, each when little waits: what is hit waits for no backlog then.
    lots: list[Sequence[JobSpec]] = field(default_factory=list[Sequence[JobSpec]])

    @property
    def hosts(self) -> list[Host]:
        return [*self.network.hosts.values()]

    @property
    def socket(self) -> Path:
        return self.network.folder / "redis" / "v.sock"

    @property
    def redis_url(self) -> str:
        return f"unix://admin:{self.passwords['admin']}@{self.socket}"

    def url(self, user: str) -> str:
        at = f"{user}:{self.passwords[user]}@{REDIS}:{PORT}"
        return f"rediss://{at}/0?ssl_ca_certs={self.authority}"

    def serve(self) -> None:
        """Redis is somebody else's service here: whoever looks after it starts it again."""
        folder = self.socket.parent
        folder.mkdir(exist_ok=True)
        words = (
            f"--port 0 --unixsocket {self.socket} --aclfile {folder / 'users.acl'} --appendonly yes "
            "--auto-aof-rewrite-min-size 8mb --maxmemory-policy noeviction --save"
        )
        with (folder / "log").open("ab") as log:
            argv = [str(find_binary()), *words.split(), ""]
            self.server = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log, start_new_session=True)

    def valkey_pid(self) -> int | None:
        return self.server.pid if self.server is not None and self.server.poll() is None else None

    def mend(self) -> int:
        if self.valkey_pid() is None:
            self.serve()
        self.feed()
        return super().mend()

    def feed(self) -> None:
        """The next lot, where it is its time; once more where Redis is away."""
        if not self.lots or self.waiting() >= FEW:
            return
        manifest = write_manifest(self.nas / f"lot{len(self.lots)}.jsonl", self.lots[0])
        words = ("dispatch", str(manifest), "--target", f"backlog:{BACKLOG}")
        if self.command(*words, may_fail=True).returncode == 0:
            self.manifests.append(manifest)
            self.lots.pop(0)

    def waiting(self) -> int:
        """Redis may be away: then nobody can say, and it counts as many."""
        with suppress(RedisError), self.redis as client:
            return int(client.hget(f"conductor:count:{BACKLOG}", "w") or 0)
        return FEW

    def is_over(self) -> bool:
        return not self.lots and super().is_over()

    # ── processes ─────────────────────────────────────────────────────────────────────────────────────────

    def call_of(self, role: Role) -> tuple[list[str], Path]:
        return self.on(self.network.hosts[role.env["CONDUCTOR_NODE"]], *role.words)

    def on(self, host: Host, *words: str) -> tuple[list[str], Path]:
        return host.command([sys.executable, "-P", "-m", "conductor", *words]), host.folder

    def env_of(self, host: Host, user: str) -> dict[str, str]:
        return {
            "CONDUCTOR_NODE": host.name,
            "CONDUCTOR_REDIS__URL": self.url(user),
            "HOST_CLOCK": str(host.clock),
        }

    def keep_node(self, host: Host, **env: str) -> Role:
        return self.keep(f"node-{host.name}", "node", **self.env_of(host, "worker"), **env)

    def keep_conductor(self, host: Host) -> Role:
        words = ("conduct", "--backlog", f"backlog:{BACKLOG}")
        return self.keep(f"conductor-{host.name}", *words, **self.env_of(host, "conductor"))

    def host_of(self, proc: Proc) -> str:
        with suppress(OSError):
            for variable in Path(f"/proc/{proc.pid}/environ").read_bytes().split(b"\0"):
                if variable.startswith(b"CONDUCTOR_NODE="):
                    return variable.partition(b"=")[2].decode()
        return ""

    def processes_of(self, host: Host) -> list[Proc]:
        return [proc for proc in self.processes() if self.host_of(proc) == host.name]

    # ── the course of things ──────────────────────────────────────────────────────────────────────────────

    def command(self, *words: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
        """On the first host, as who may do all but administer."""
        return self.command_on(self.hosts[0], *words, may_fail=may_fail)

    def command_on(self, host: Host, *words: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
        argv, folder = self.on(host, *words)
        env = {**self.env, **self.env_of(host, "conductor")}
        done = subprocess.run(
            argv, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert may_fail or done.returncode == 0, f"conductor {' '.join(words)}: {done.stdout}{done.stderr}"
        return done

    def put(self, *specs: JobSpec) -> None:
        self.dispatch(specs, f"put{len(self.manifests)}")

    def dispatch(self, specs: Sequence[JobSpec], name: str = "chaos") -> None:
        manifest = write_manifest(self.nas / f"{name}.jsonl", specs)
        self.manifests.append(manifest)
        self.command("dispatch", str(manifest), "--target", f"backlog:{BACKLOG}")

    def status(self) -> dict[str, Any]:
        return json.loads(self.command("status", "--json", may_fail=True).stdout)

    def notes(self) -> tuple[str, ...]:
        """What `conductor status` would say, without a process of its own for each look."""
        with self.redis as client:
            return gather(redis_ledger(client)).notes

    def heal_all(self) -> None:
        for host in self.hosts:
            self.network.heal(host)
            host.set_ahead(0)

    def stop(self, limit_s: float = 30.0) -> None:
        self.heal_all()
        self.mend()
        super().stop(limit_s)
        self.asked(lambda r: r.ping())

    def kill_all(self) -> None:
        super().kill_all()
        if self.server is not None:
            self.server.kill()
            self.server.wait()

    def local_roots(self) -> dict[str, dict[str, Path]]:
        """Root → host → its folder, of roots that each host has for itself."""
        return {"scratch": {host.name: host.folder / "scratch" for host in self.hosts}}


@contextmanager
def a_hosts_world(
    folder: Path,
    names: Sequence[str],
    *,
    conductors: int = 2,
    nodes: Sequence[str] | None = None,
    cpu: int = 1,
    io: int = 1,
    depth: int = 4,
    lease_s: float = 3.0,
    clock_stub: Path | None = None,
    changed: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    is_calm: bool = False,
) -> Iterator[HostsWorld]:
    """All nodes report. `changed`: host → words of its conductor.toml, and what stands there instead.
    `is_calm`: a network without delay and loss. At the end nothing that carries the mark is left.
    """
    with a_network(folder) as network:
        nas = folder / "nas"
        nas.mkdir(parents=True)
        (nas / NAS_MARKER).touch()
        (nas / "published").mkdir()
        (nas / "published" / NAS_MARKER).touch()
        for name in names:
            host = network.add(name)
            furnish(host, nas, cpu=cpu, io=io, depth=depth, lease_s=lease_s, changed=changed.get(name, {}))
        mark = secrets.token_hex(8)
        own = {name: value for name, value in os.environ.items() if not name.startswith("CONDUCTOR_")}
        env = {**own, MARK: mark, "NO_COLOR": "1", "PYTHONPATH": str(REPOSITORY)}
        if clock_stub is not None:
            env["LD_PRELOAD"] = str(clock_stub)
        first = network.hosts[names[0]]
        passwords = users_of(folder, first, env)
        authority, certificate, key = certificates.make(folder / "certificates", REDIS)
        world = HostsWorld(
            load(first.folder), mark, env, network=network, nas=nas, passwords=passwords, authority=authority
        )
        world.serve()
        gate = open_gate(world, certificate, key, is_calm)
        try:
            assert gate.stdout is not None
            assert gate.stdout.readline() == b"listening\n"
            for name in names if nodes is None else nodes:
                world.keep_node(network.hosts[name])
            for host in world.hosts[:conductors]:
                world.keep_conductor(host)
            count = len(names if nodes is None else nodes)
            world.until(lambda: len(live(world)) >= count, "all nodes report", 90.0)
            yield world
        finally:
            world.kill_all()
            gate.kill()
            gate.wait()
            for pipe in (gate.stdin, gate.stdout):
                if pipe is not None:
                    pipe.close()


def open_gate(world: HostsWorld, certificate: Path, key: Path, is_calm: bool) -> subprocess.Popen[bytes]:
    """The way to Redis. The kernel makes it slow where it can, and the gate otherwise."""
    done = [is_calm or world.network.slow(host, DELAY_MS, LOSS_PERCENT) for host in world.hosts]
    slow = ("0", "0") if all(done) else (str(DELAY_MS / 1000), str(LOSS_PERCENT / 100))
    program = [sys.executable, "-I", str(Path(__file__).with_name("gate.py"))]
    words = [REDIS, str(PORT), str(certificate), str(key), str(world.socket), *slow, "1"]
    argv = ["ip", "netns", "exec", world.network.switch, *program, *words]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def live(world: HostsWorld) -> list[dict[str, Any]]:
    """The reports that have not run out, as Redis has them."""
    keys = world.asked(lambda r: [*r.scan_iter("conductor:node:*")])
    texts = world.asked(lambda r: r.mget(keys)) if keys else []
    return [json.loads(text) for text in texts if text]


def furnish(
    host: Host, nas: Path, *, cpu: int, io: int, depth: int, lease_s: float, changed: Mapping[str, str]
) -> None:
    """A project's folder for it, as an operator would make one on each host."""
    text = CONFIG.format(cpu=cpu, io=io, depth=depth, redis="")
    text = text.replace("lease_s = 1.5", f"lease_s = {lease_s}").replace(
        'path = ".conductor/scratch"', 'path = "scratch"'
    )
    text = text.replace('path = "published"', f'path = "{nas}/published"\nmarker = "{NAS_MARKER}"')
    # Silence is told by the alerts' look.
    shared = f'receipts_dir = "{nas}/receipts"\nmanifests_dir = "{nas}/manifests"\n'
    text = f"{shared}{text}[alerts]\nevery_s = 1.0\n"
    for words, others in changed.items():
        assert words in text
        text = text.replace(words, others)
    (host.folder / CONFIG_NAME).write_text(text)
    (host.folder / "chaos_tasks.py").write_text(TASKS)
    (host.folder / EFFECTS).symlink_to(nas / EFFECTS)


def users_of(folder: Path, host: Host, env: Mapping[str, str]) -> dict[str, str]:
    """By `conductor acl`, as the page on hosts says."""
    argv = [sys.executable, "-P", "-m", "conductor", "acl"]
    done = subprocess.run(argv, cwd=host.folder, env=dict(env), capture_output=True, text=True, check=True)
    (folder / "redis").mkdir(exist_ok=True)
    (folder / "redis" / "users.acl").write_text(done.stdout)
    return dict(re.findall(r"^  (\w+) +(\S+)$", done.stderr, re.MULTILINE))


def kill_host(world: HostsWorld, host: Host) -> list[int]:
    """The power goes: all its processes at once."""
    pids = [proc.pid for proc in world.processes_of(host)]
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return pids

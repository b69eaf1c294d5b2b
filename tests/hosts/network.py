"""Hosts as network namespaces: a switch with Redis's address, and for each host an address, a cable and a
name.

What the hosts share is the kernel and the file system. A cut is the kernel's too: frames go to a card that
nobody has, in one direction or in both, so that whoever sends hears nothing, as where a cable was pulled
further on.
"""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

REDIS = "10.77.0.1"
NOBODY = "02:00:00:00:00:99"
#: Of a host's cable: «out»: what it sends is lost; «in»: what is sent to it; «both».
Way = Literal["out", "in", "both"]
#: Before the program: a name and a boot of the host's own, seen by nobody else.
ENTER = 'hostname "$1" && mount --bind "$2" /proc/sys/kernel/random/boot_id && shift 2 && exec "$@"'
NEEDED = ("ip", "unshare", "hostname", "openssl", "cc")


def why_not() -> str:
    """Why no hosts can be made here; empty: they can."""
    if os.geteuid() != 0:
        return "hosts are network namespaces, and only root makes them"
    if missing := [word for word in NEEDED if shutil.which(word) is None]:
        return f"hosts are network namespaces, and {', '.join(missing)} is not on PATH"
    probe = f"probe-{secrets.token_hex(3)}"
    try:
        _ip("netns", "add", probe)
        try:
            _ip("-n", probe, "link", "add", "br0", "type", "bridge")
            _ip("-n", probe, "link", "add", "a0", "type", "veth", "peer", "name", "b0")
            subprocess.run(["unshare", "--uts", "--mount", "true"], check=True, capture_output=True)
        finally:
            _ip("netns", "del", probe)
    except (NetworkRefused, subprocess.CalledProcessError) as e:
        return f"this kernel makes no network namespaces for us: {e}"
    return ""


class NetworkRefused(Exception):
    """`ip` said no."""


@dataclass
class Host:
    """One of them. `folder`: its project; all that it keeps to itself lies there."""

    name: str
    namespace: str
    address: str
    folder: Path
    cuts: set[str] = field(default_factory=set[str])

    @property
    def clock(self) -> Path:
        return self.folder / ".clock"

    @property
    def boot_id(self) -> Path:
        return self.folder / ".boot_id"

    def set_ahead(self, seconds: int) -> None:
        """Its wall clock is so much ahead from now on, in processes that run, too."""
        with self.clock.open("r+b" if self.clock.exists() else "wb") as file:
            file.write(struct.pack("<q", seconds))

    def command(self, argv: Sequence[str]) -> list[str]:
        """As a command of the test's that runs `argv` on this host."""
        enter = ["unshare", "--uts", "--mount", "sh", "-c", ENTER, "sh", self.name, str(self.boot_id)]
        return ["ip", "netns", "exec", self.namespace, *enter, *argv]


class Network:
    def __init__(self, folder: Path) -> None:
        self._mark = secrets.token_hex(3)
        self.folder = folder
        self.switch = f"sw-{self._mark}"
        self.hosts: dict[str, Host] = {}
        _ip("netns", "add", self.switch)
        for words in (
            "link add br0 type bridge",
            f"addr add {REDIS}/24 dev br0",
            "link set br0 up",
            "link set lo up",
        ):
            _ip("-n", self.switch, *words.split())

    def add(self, name: str) -> Host:
        n = len(self.hosts) + 2
        host = Host(name, f"{name}-{self._mark}", f"10.77.0.{n}", self.folder / name)
        self.hosts[name] = host
        _ip("netns", "add", host.namespace)
        cable = f"link add v{n} type veth peer name eth0 netns {host.namespace}"
        for words in (cable, f"link set v{n} master br0", f"link set v{n} up"):
            _ip("-n", self.switch, *words.split())
        for words in (f"addr add {host.address}/24 dev eth0", "link set eth0 up", "link set lo up"):
            _ip("-n", host.namespace, *words.split())
        host.folder.mkdir(parents=True, exist_ok=True)
        host.boot_id.write_text(f"{secrets.token_hex(16)}\n")
        host.set_ahead(0)
        return host

    def cut(self, host: Host, way: Way = "both") -> None:
        for one, (where, card, address) in self._ends(host).items():
            if way in (one, "both"):
                host.cuts.add(one)
                _ip(
                    "-n",
                    where,
                    "neigh",
                    "replace",
                    address,
                    "lladdr",
                    NOBODY,
                    "dev",
                    card,
                    "nud",
                    "permanent",
                )

    def heal(self, host: Host) -> None:
        for one, (where, card, address) in self._ends(host).items():
            if one in host.cuts:
                _ip("-n", where, "neigh", "del", address, "dev", card)
        host.cuts.clear()

    def _ends(self, host: Host) -> dict[str, tuple[str, str, str]]:
        """Way → who sends: namespace, card, address that is sent to."""
        return {"out": (host.namespace, "eth0", REDIS), "in": (self.switch, "br0", host.address)}

    def slow(self, host: Host, delay_ms: int, loss_percent: int) -> bool:
        """By the kernel, where it can."""
        words = f"qdisc add dev eth0 root netem delay {delay_ms}ms loss {loss_percent}%"
        argv = ["ip", "netns", "exec", host.namespace, "tc", *words.split()]
        return (
            shutil.which("tc") is not None
            and subprocess.run(argv, capture_output=True, check=False).returncode == 0
        )

    def close(self) -> None:
        for namespace in (*(host.namespace for host in self.hosts.values()), self.switch):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


@contextmanager
def a_network(folder: Path) -> Generator[Network]:
    network = Network(folder)
    try:
        yield network
    finally:
        network.close()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NetworkRefused(f"ip {' '.join(words)}: {done.stderr.strip()}")

"""The systemd unit that keeps a project, or this host's node of it, running. Pure: text out of values."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from conductor.base.errors import ConfigError

#: Jobs in hand have so long after the first word to stop.
DRAIN_FOR_S = 300.0
#: After the drain: what is in hand goes back, the pages and Valkey end.
LEAVE_S = 90
#: A conductor that has not turned for so long hangs. Its longest turn reads all receipts again.
WATCHDOG_S = 180
#: The first report of a node may wait for a slow NAS.
START_S = 300

#: What a service of the system may do without: none of it touches devices, setuid helpers of drivers
#: (nvidia-modprobe makes the devices at their first use, so `NoNewPrivileges` and all that implies it would
#: take the GPUs away), memory that a compiler for GPUs writes, or the cgroups of the workers.
HARDENING = """\
ProtectSystem=full
CapabilityBoundingSet=~CAP_SYS_BOOT CAP_SYS_TIME CAP_NET_ADMIN CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_WAKE_ALARM
"""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class ServiceWish:
    """What is to run. `owner`: whose name a service of the system runs under; empty: a service of the user's
    own manager."""

    name: str
    project: Path
    python: Path
    environment_file: Path
    words: tuple[str, ...]
    owner: str = ""
    group: str = ""
    drain_for_s: float = DRAIN_FOR_S


def unit_text(wish: ServiceWish) -> str:
    """Raises `ConfigError` where a path cannot be written in a unit."""
    is_system = bool(wish.owner)
    argv = [*map(str, (wish.python, "-P", "-m", "conductor", "--project", wish.project)), *wish.words]
    argv += ["--drain-for", f"{wish.drain_for_s:g}"]
    is_node = wish.words[:1] == ("node",)
    what = "node" if is_node else "project"
    lines = [
        "[Unit]",
        f"Description=Conductor, {what} {literal(str(wish.project))}",
        *(["Wants=network-online.target", "After=network-online.target"] if is_system else []),
        f"RequiresMountsFor={quoted(str(wish.project))}",
        # `up` uses a node that is there: where the host's node is a service of its own, it comes first.
        *([] if is_node else [f"After={literal(wish.name)}-node.service"]),
        "",
        "[Service]",
        "Type=notify",
        # The conductor, which alone knows whether it ticks, is a child of the main process.
        f"NotifyAccess={'main' if is_node else 'all'}",
        f"ExecStart={command(argv)}",
        f"EnvironmentFile=-{literal(str(wish.environment_file))}",
        *([f"User={literal(wish.owner)}", f"Group={literal(wish.group)}"] if is_system else []),
        f"TimeoutStartSec={START_S}",
        f"TimeoutStopSec={int(wish.drain_for_s) + LEAVE_S}",
        f"WatchdogSec={WATCHDOG_S}",
        "# A conductor that hangs costs no job: what is in hand is finished, then all starts anew.",
        "WatchdogSignal=SIGTERM",
        "Restart=on-failure",
        "RestartSec=5",
        "# Usage and configuration: no other start can heal them.",
        "RestartPreventExitStatus=2 3",
        "# Stopped with jobs in hand, which went back.",
        "SuccessExitStatus=130",
        "# The main process alone hears of the stop and passes it on; what is left at its end is killed.",
        "KillMode=mixed",
        "# Each body lives in a cgroup of its own below this service.",
        "Delegate=yes",
        "# One body that takes too much memory ends alone.",
        "OOMPolicy=continue",
        "LimitCORE=0",
        *(HARDENING.splitlines() if is_system else []),
        "",
        "[Install]",
        f"WantedBy={'multi-user' if is_system else 'default'}.target",
        "",
    ]
    return "\n".join(lines)


def service_name(project: Path, is_node: bool, name: str | None = None) -> str:
    """«conductor-night», «conductor-night-node». Raises `ConfigError` for a name that systemd would not
    take."""
    if name is not None:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} names no service: use letters, digits, '-', '_' and '.'")
        return name
    folder = re.sub(r"[^A-Za-z0-9_-]+", "-", project.name).strip("-")[:80] or "project"
    return f"conductor-{folder}{'-node' if is_node else ''}"


def environment_text(variables: Collection[str]) -> str:
    """To begin with: the names of the secrets that the settings speak of, for a person to fill in."""
    lines = [
        "# Secrets of this service, NAME=value, one a line. Only its owner may read this file (0600).",
        *(f"#{name}=" for name in sorted(variables)),
        "",
    ]
    return "\n".join(lines)


# ── how systemd reads a value ─────────────────────────────────────────────────────────────────────────────


def literal(text: str) -> str:
    """As the whole value of a setting that is not split into words: only `%` means something."""
    if text != text.strip() or not text.isprintable() or text.endswith("\\"):
        raise ConfigError(
            f"{text!r} cannot be written in a systemd unit: rename the folder (no blanks at its ends, no "
            "line breaks or control characters, no backslash at its end)"
        )
    return text.replace("%", "%%")


def quoted(text: str) -> str:
    """As one word of several."""
    safe = literal(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{safe}"'


def command(argv: Collection[str]) -> str:
    """For ExecStart. In all words but the first a `$` would begin a variable."""
    program, *words = argv
    return " ".join([quoted(program), *(quoted(word).replace("$", "$$") for word in words)])

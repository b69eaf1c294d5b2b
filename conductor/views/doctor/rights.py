"""What `doctor` says of who could do what here: programs that manifests may start, secrets that others can
read.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from conductor.base.errors import ConfigError
from conductor.base.project import program_launchers
from conductor.base.project.ownership import refuse_foreign, who_else_reads
from conductor.base.settings.settings import CONFIG_NAME, Settings
from conductor.views.doctor.finding import DoctorFinding, bad, less, ok

#: In an address: a password before the host, or a key behind it.
_ADDRESS = r"://[^/\s\"'@]*:[^\s\"'@]+@|[?&](passw(or)?d|secret|token|(api[_-]?)?key)=[^\s\"'&]"
#: In an env file: a name that says so, with something behind it; or an address as above.
_NAMED = r"^[^#\n]*(key|token|secret|passw(or)?d|credential)\w*[ \t]*=[ \t]*[\"']?[^\s\"']"
_SECRET = re.compile(_ADDRESS, re.IGNORECASE)
_ASSIGNED = re.compile(f"{_NAMED}|{_ADDRESS}", re.IGNORECASE | re.MULTILINE)


def programs(settings: Settings) -> Iterator[DoctorFinding]:
    for name in settings.shell_programs:
        found = shutil.which(name)
        if found is None:
            yield bad("program", f"{name} is not on PATH", "install it, or take it out of shell_programs")
            continue
        try:
            refuse_foreign(Path(found).absolute())
        except ConfigError as e:
            yield less("program", f"{name}: {e}")
        if how := program_launchers.how(name) or program_launchers.how(os.path.realpath(found)):
            advice = (
                "list it for manifests that you plan yourself; for those of others: a script of yours "
                "that takes files"
            )
            yield less("program", f"{name} at {found} runs any program that a manifest names ({how})", advice)
        else:
            yield ok("program", f"{name} at {found}; it may read and write whatever you may")


def readable_secrets(settings: Settings) -> Iterator[DoctorFinding]:
    """Settings, or an env file beside them, with a password in it: its owner's to read."""
    config = settings.project / CONFIG_NAME
    for file in (config, config.with_name(CONFIG_NAME + ".restored"), *_env_files(settings.project)):
        who = who_else_reads(file)
        if who is not None and (_SECRET if file.name.startswith(CONFIG_NAME) else _ASSIGNED).search(
            _text(file)
        ):
            advice = f"chmod 600 {file}"
            yield bad("secrets", f"{file} holds a password or a key, and {who} can read it", advice)


def _env_files(project: Path) -> list[Path]:
    try:
        return sorted(
            p for p in project.iterdir() if re.fullmatch(r"(.*\.)?env(\..*)?", p.name) and p.is_file()
        )
    except OSError:
        return []


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return ""

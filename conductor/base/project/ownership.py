"""Whose a file is: settings and code are taken only from where nobody else can put them. Without it, `cd`
into a folder that somebody else has laid out, and one command there, would run that person's code.

A file is ours when it, its folder and all folders above belong to this user or to root, and nobody else can
write there; in a folder with the sticky bit (/tmp) others can add files, and cannot replace ours. Where files
come from elsewhere all the same (a container, a NAS, a clone by another user), the folder is put on a list
that only its user writes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from conductor.base.errors import ConfigError

#: Folders, as in PATH, that are trusted with all below them, whoever owns them; `*`: all. Never from
#: conductor.toml.
SAFE_FOLDERS = "CONDUCTOR_SAFE_FOLDERS"
ALL = "*"
#: A line each, `#` begins a comment: the same, for good. Below $XDG_CONFIG_HOME, else ~/.config.
SAFE_LIST = Path("conductor") / "safe_folders"
_OVERFLOW, _UID_MAP = Path("/proc/sys/kernel/overflowuid"), Path("/proc/self/uid_map")


def refuse_foreign(file: Path, *, is_alone: bool = True) -> None:
    """Raises `ConfigError` with the remedy where somebody else could have put `file` (or folder) there, or
    could write into it. Costs one lstat for it and for each folder above. What is not there is nobody's.

    `is_alone`: of a folder that others can add to (/tmp) not even what is ours is taken, for what lies beside
    it counts as well: modules. Otherwise the sticky bit will do."""
    fault = _fault(file, is_alone)
    if fault and not _is_listed(file):
        raise ConfigError(fault)


def _fault(file: Path, is_alone: bool) -> str | None:
    given = file.absolute()
    real = Path(os.path.realpath(given))
    for each in (given,) if real == given else (given, real):
        looked_into = _looked_into(each) if is_alone else ()
        for place in (each, *each.parents):
            fault = _fault_of(place, is_alone=place in looked_into, is_above=place not in (each, each.parent))
            if fault:
                return fault + _remedy(given)
    return None


def _looked_into(place: Path) -> tuple[Path, ...]:
    return (place,) if place.is_dir() else (place, place.parent)


def _fault_of(place: Path, is_alone: bool, is_above: bool) -> str | None:
    try:
        facts = place.lstat()
    except OSError:
        return None  # not there, or not to be looked at: then it is not read either
    if facts.st_uid not in _trusted() and not (is_above and _is_unmapped(facts.st_uid)):
        return (
            f"{place} belongs to {_user(facts.st_uid)}, who could run code as {_user(os.geteuid())} with it"
        )
    if stat.S_ISLNK(facts.st_mode):
        return None  # its mode says nothing; where it leads is looked at
    others = _others(facts)
    is_sticky = stat.S_ISDIR(facts.st_mode) and facts.st_mode & stat.S_ISVTX and not is_alone
    if others is None or is_sticky:
        return None
    return f"{place} can be written by {others} (`chmod go-w {place}` ends that)"


def _others(facts: os.stat_result) -> str | None:
    """Who else can write there."""
    if facts.st_mode & stat.S_IWOTH:
        return "everybody"
    if facts.st_mode & stat.S_IWGRP and not _is_private_group(facts.st_gid, facts.st_uid):
        return f"the group {_group(facts.st_gid)}"
    return None


def who_else_reads(file: Path) -> str | None:
    """Who can read `file` beside its owner and root; None: nobody, also where a folder above keeps them
    out.
    """
    try:
        mode, gid, owner = (facts := file.stat()).st_mode, facts.st_gid, facts.st_uid
        above = [folder.stat().st_mode for folder in Path(os.path.realpath(file)).parents]
    except OSError:
        return None
    if mode & stat.S_IROTH and all(each & stat.S_IXOTH for each in above):
        return "everybody"
    if mode & stat.S_IRGRP and all(each & (stat.S_IXGRP | stat.S_IXOTH) for each in above):
        return None if _is_private_group(gid, owner) else f"the group {_group(gid)}"
    return None


def _trusted() -> frozenset[int]:
    """This user and root; for root by `sudo`, who called it: what is theirs they could run as root anyway."""
    us = os.geteuid()
    caller = os.environ.get("SUDO_UID", "") if us == 0 else ""
    return frozenset({0, us, int(caller)}) if caller.isdecimal() else frozenset({0, us})


def _is_unmapped(uid: int) -> bool:
    """What root owns has the overflow uid for who sees it from within a user namespace (a rootless container,
    a sandbox). Others may stand behind it too, so it does for the folders above alone."""
    try:
        nobody = int(_OVERFLOW.read_text())
        mapped = sum(int(line.split()[2]) for line in _UID_MAP.read_text().splitlines())
    except (OSError, ValueError, IndexError):
        return False
    return uid == nobody and mapped < 2**32 - 1


def _is_private_group(gid: int, owner: int) -> bool:
    """Root's own, or the one that a user has alone, as many systems give to each (umask 002)."""
    import grp
    import pwd

    if gid == 0:
        return True
    try:
        name = pwd.getpwuid(owner).pw_name
        group = grp.getgrgid(gid)
    except KeyError:
        return gid == owner  # a container without names
    return group.gr_name == name and not set(group.gr_mem) - {name}


def _user(uid: int) -> str:
    import pwd

    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _remedy(file: Path) -> str:
    folder = file if file.is_dir() else file.parent
    listed = f" or a line in {_list()}" if _list() else ""
    return (
        f", so nothing there is read or run. If you trust all that can write there: {SAFE_FOLDERS}={folder}"
        f"{listed}; otherwise make it yours (chown, chmod)"
    )


# ── the list of those that are trusted all the same ───────────────────────────────────────────────────────


def _is_listed(file: Path) -> bool:
    real = os.path.realpath(file)
    for entry in _listed():
        if entry == ALL:
            return True
        # A relative one would be wherever somebody goes.
        base = os.path.realpath(entry).rstrip("/")
        if entry.startswith("/") and (real == base or real.startswith(base + "/")):
            return True
    return False


def _listed() -> Iterator[str]:
    yield from filter(None, os.environ.get(SAFE_FOLDERS, "").split(os.pathsep))
    file = _list()
    if file is None or not file.is_file():
        return
    if fault := _fault(file, is_alone=False):
        raise ConfigError(fault)
    try:
        lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as e:
        raise ConfigError(f"{file} cannot be read: {e.strerror}") from None
    for line in lines:
        if (entry := line.strip()) and not entry.startswith("#"):
            yield entry if entry == ALL else os.path.expanduser(entry)  # noqa: PTH111  an unknown user is no error


def _list() -> Path | None:
    """None where there is no home."""
    given = os.environ.get("XDG_CONFIG_HOME")
    if given and Path(given).is_absolute():
        return Path(given) / SAFE_LIST
    try:
        return Path.home() / ".config" / SAFE_LIST
    except RuntimeError:
        return None

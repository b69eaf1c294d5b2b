"""The files of a service on this host: its unit and its secrets. Written, compared, removed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from conductor.base.errors import ConfigError

SYSTEM_UNITS, SYSTEM_SECRETS = Path("/etc/systemd/system"), Path("/etc/conductor")


@dataclass(frozen=True, kw_only=True)
class ServicePlace:
    """Where the files of a service are."""

    unit: Path
    environment: Path


def place_of(name: str, is_user: bool) -> ServicePlace:
    if not is_user:
        return ServicePlace(unit=SYSTEM_UNITS / f"{name}.service", environment=SYSTEM_SECRETS / f"{name}.env")
    config = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(config) if config.startswith("/") else Path.home() / ".config"
    return ServicePlace(
        unit=folder / "systemd" / "user" / f"{name}.service", environment=folder / "conductor" / f"{name}.env"
    )


def install(place: ServicePlace, unit: str, secrets: str, is_forced: bool) -> bool:
    """Was the unit written; False: it is there as it should be. A file of secrets that is there stays as it
    is.

    Raises `ConfigError` where another unit stands in its place and `is_forced` is not given, or where the
    folder cannot be written.
    """
    there = read(place.unit)
    if there is not None and there != unit and not is_forced:
        raise ConfigError(
            f"{place.unit} is there already and says something else: look at both (--print), then --force "
            "writes over it, or --name gives this one another name"
        )
    try:
        write_secrets(place.environment, secrets)
        if there != unit:
            write_unit(place.unit, unit)
    except PermissionError as e:
        raise ConfigError(
            f"{e.filename} cannot be written: a service of the system is installed by root (sudo), one of "
            "your own with --user"
        ) from None
    return there != unit


def read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as e:
        raise ConfigError(f"{file} cannot be read: {e.strerror or e}") from None


def write_unit(file: Path, text: str) -> None:
    """Whole or not at all: the service manager may read it at any moment."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o644)
    draft.replace(file)


def write_secrets(file: Path, text: str) -> None:
    """From its first moment for its owner only; one that is there is closed to others."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        if file.stat().st_mode & 0o077:
            file.chmod(0o600)
        return
    with os.fdopen(made, "w", encoding="utf-8") as sink:
        sink.write(text)


def uninstall(place: ServicePlace) -> bool:
    """Was a unit there. The secrets stay: a person typed them."""
    try:
        place.unit.unlink()
    except FileNotFoundError:
        return False
    except PermissionError:
        raise ConfigError(
            f"{place.unit} cannot be removed: a service of the system is removed by root (sudo)"
        ) from None
    return True


def owner_of(folder: Path) -> tuple[str, str]:
    """Whose the folder is, by name: user and group. A number where there is no name."""
    import grp
    import pwd

    facts = folder.stat()
    try:
        user = pwd.getpwuid(facts.st_uid).pw_name
    except KeyError:
        user = str(facts.st_uid)
    try:
        group = grp.getgrgid(facts.st_gid).gr_name
    except KeyError:
        group = str(facts.st_gid)
    return user, group

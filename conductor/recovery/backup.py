"""The record in one file: settings, manifests, receipts, journal. Neither outputs nor Redis: the first are
too large, the second is rebuilt from these (`conductor rebuild`).

A .tar.gz of plain files below `manifests/`, `receipts/` and `project/`, and `conductor.toml`; streamed both
ways.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from conductor.adapters.files import archives
from conductor.adapters.files.rotation import FileBusy, one_rotation
from conductor.adapters.host.processes import live_pid
from conductor.adapters.redis import project_mark
from conductor.base import secrets
from conductor.base.errors import ConfigError, UsageError
from conductor.base.files.layout import Layout
from conductor.base.files.safe_open import usual_mode, written_whole
from conductor.base.settings.settings import CONFIG_NAME
from conductor.base.text import size as many_bytes
from conductor.model.spec import Value
from conductor.record import kept_manifests, removal_notes
from conductor.record.journal import SUFFIX, Journal
from conductor.recovery.backup_archive import members, place

#: What `restore` puts beside a conductor.toml that is there already and says something else.
BESIDE = CONFIG_NAME + ".restored"


class Moved(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What went into a backup, or came out of one."""

    file: str
    manifests: int = 0
    #: Manifests as they were dispatched.
    kept: int = 0
    receipts: int = 0
    bytes: int = 0
    notes: tuple[str, ...] = ()


# ── out ───────────────────────────────────────────────────────────────────────────────────────────────────


def backup(layout: Layout, file: Path, is_forced: bool = False) -> Moved:
    """Write it, whole or not at all; readable by its owner alone; passwords in settings are masked. Beside a
    live system it holds all that was on disk when it began.

    Raises `UsageError` when the file is there already (not `is_forced`), `ConfigError` when it cannot be
    written."""
    if file.exists() and not is_forced:
        raise UsageError(f"{file} is there already: name another file, or --force")
    with unrotated(layout.receipts_dir):
        return _written_to(file, layout)


@contextmanager
def unrotated(folder: Path) -> Generator[None]:
    """Nothing is moved into archives meanwhile: it would be saved twice, or not at all."""
    if not folder.is_dir():
        yield
        return
    try:
        with one_rotation(folder, is_shared=True):
            yield
    except FileBusy as e:
        raise UsageError(str(e)) from None


def _written_to(file: Path, layout: Layout) -> Moved:
    found, notes = contents(layout)
    counts = {"manifests": 0, "kept": 0, "receipts": 0}
    size = 0
    with written(file) as stream, tarfile.open(fileobj=stream, mode="w:gz", compresslevel=6) as archive:
        for name, path in found.items():
            with path.open("rb") as source:
                info = archive.gettarinfo(arcname=name, fileobj=source)
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                said: IO[bytes] = source
                if name == CONFIG_NAME and (masked := _without_secrets(source)) is not None:
                    info.size, said = len(masked), io.BytesIO(masked)
                    notes.append(
                        f"the passwords in {CONFIG_NAME} are not in it: put them in again after a restore"
                    )
                archive.addfile(info, said)
            size += info.size
            if name != CONFIG_NAME:
                counts[kind_of(name)] += 1
    return Moved(file=str(file), bytes=size, notes=tuple(notes), **counts)


def _without_secrets(source: IO[bytes]) -> bytes | None:
    """None: there are none in it."""
    said = source.read()
    source.seek(0)
    masked = secrets.scrub(said.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return None if masked == said else masked


def contents(layout: Layout) -> tuple[dict[str, Path], list[str]]:
    """Name in the archive → file, and what had to be left out."""
    found: dict[str, Path] = {}
    notes: list[str] = []
    config = layout.project / CONFIG_NAME
    if config.is_file():
        found[CONFIG_NAME] = config
    found |= {f"manifests/{path.relative_to(layout.manifests_dir).as_posix()}": path
              for path in plain_files(layout.manifests_dir, "**/*.jsonl")}  # fmt: skip
    taken = set(found.values())
    for source in Journal(layout.receipts_dir).ledger_match(None).sources:
        manifest = source.manifest
        if not manifest.is_file():
            if source.kept is None:
                notes.append(f"{manifest} was dispatched and is not there")
        elif manifest.is_relative_to(layout.project.resolve()) and manifest not in taken:
            found[f"project/{manifest.relative_to(layout.project.resolve()).as_posix()}"] = manifest
        elif (
            source.kept is None
            and manifest not in taken
            and not manifest.is_relative_to(layout.manifests_dir.resolve())
        ):
            notes.append(f"{manifest} was dispatched and lies outside of the project: keep it yourself")
    # Last: of what is appended to meanwhile it has the more.
    for pattern in (project_mark.FILE, f"*{SUFFIX}", f"*{removal_notes.SUFFIX}", "*.jsonl"):
        found |= {f"receipts/{path.name}": path for path in plain_files(layout.receipts_dir, pattern)}
    folder = layout.receipts_dir / archives.FOLDER
    found |= {f"receipts/{archives.FOLDER}/{path.name}": path
              for path in plain_files(folder, f"*{archives.PACKED}")}  # fmt: skip
    # Behind the journal that names them: each is there before its note.
    kept = plain_files(layout.receipts_dir / kept_manifests.FOLDER, f"*{kept_manifests.SUFFIX}")
    found |= {f"receipts/{kept_manifests.FOLDER}/{path.name}": path for path in kept}
    return found, notes


def plain_files(folder: Path, pattern: str) -> Iterator[Path]:
    return (path for path in sorted(folder.glob(pattern)) if path.is_file() and not path.is_symlink())


@contextmanager
def written(file: Path) -> Generator[IO[bytes]]:
    """A new file that has its name only when all of it is on disk."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file, is_private=True) as stream:
            yield stream
    except OSError as e:
        raise ConfigError(f"cannot write {file}: {e.strerror or e}") from None


# ── back ──────────────────────────────────────────────────────────────────────────────────────────────────


def restore(layout: Layout, file: Path, is_forced: bool = False, with_settings: bool = False) -> Moved:
    """Put a backup's files where this project has its manifests and receipts. Its conductor.toml, which says
    what code runs and where, is taken only `with_settings`, and then beside one that is there.

    All of it is looked at before anything is written. Raises `UsageError` for what is no backup of ours, or
    more than one can be, where a process of the project runs here, and, unless `is_forced`, where receipts
    are there already; `ConfigError` when something cannot be written."""
    refuse_beside_work(layout)
    if not is_forced and (there := next(receipts_there(layout), None)) is not None:
        raise UsageError(
            f"{layout.receipts_dir} has receipts already ({there.name}): restore into an empty "
            "project, or --force "
            "replaces those of the same name"
        )
    wanted = sum(member.size for member in looked_at(layout, file))
    if wanted > (free := free_bytes(layout.project)):
        raise UsageError(
            f"{file} holds {many_bytes(wanted)}, and {layout.project} has room for {many_bytes(free)}"
        )
    counts = {"manifests": 0, "kept": 0, "receipts": 0}
    size, notes = 0, list[str]()
    for member, stream in members(file):
        target = place(layout, member)
        if member.name == CONFIG_NAME:
            size += put_settings(target, stream, with_settings, notes)
            continue
        with written(target) as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        target.chmod(usual_mode())
        size += member.size
        counts[kind_of(member.name)] += 1
    return Moved(file=str(file), bytes=size, notes=tuple(notes), **counts)


def refuse_beside_work(layout: Layout) -> None:
    """Receipts of today would be replaced by those of the backup, and a worker would go on in a file that
    has no name any more."""
    files = sorted([*layout.state_dir.glob("node-*.pid"), *layout.state_dir.glob("up.pid")])
    if pids := [pid for file in files if (pid := live_pid(file)) is not None]:
        raise UsageError(
            f"{layout.project} is at work here (pid {pids[0]}), and what its jobs have written down since "
            "the backup would be lost: `conductor down` first"
        )


def put_settings(target: Path, stream: IO[bytes], is_wanted: bool, notes: list[str]) -> int:
    """For its owner alone, as all that may hold a password. → bytes written."""
    if not is_wanted:
        notes.append(f"the backup's {CONFIG_NAME} was left out: it says what code runs; --settings takes it")
        return 0
    content = stream.read()
    if target.exists():
        target = target.with_name(BESIDE)
        notes.append(f"{CONFIG_NAME} was there and stays; the backup's lies beside it as {BESIDE}")
    with written(target) as out:
        out.write(content)
    return len(content)


def looked_at(layout: Layout, file: Path) -> Iterator[tarfile.TarInfo]:
    seen: set[Path] = set()
    for member, _ in members(file):
        target = place(layout, member)
        if target in seen:
            raise UsageError(f"not a backup of ours: {member.name!r} is in it twice; nothing was restored")
        seen.add(target)
        yield member


def free_bytes(folder: Path) -> int:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(there).free


def receipts_there(layout: Layout) -> Iterator[Path]:
    yield from layout.receipts_dir.glob("*.jsonl")
    yield from layout.receipts_dir.glob(f"*{SUFFIX}")


def kind_of(name: str) -> str:
    """Which count of `Moved` a file belongs to."""
    if name.endswith(kept_manifests.SUFFIX):
        return "kept"
    return "receipts" if name.startswith("receipts/") else "manifests"

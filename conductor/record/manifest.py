"""Manifests: JSONL files, one `JobSpec` a line. Streams them in, checks every line, writes them whole or
not at all.
"""

from __future__ import annotations

import codecs
import gzip
import os
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from msgspec import Struct, structs

from conductor.base.errors import ConfigError, ManifestError
from conductor.base.files.safe_open import drafted, settle
from conductor.base.settings.toml_file import encoding_of
from conductor.core.ordering.priority_inheritance import inherit_priorities
from conductor.model.spec import JobSpec, TaskDecl, from_line, to_line
from conductor.record.manifest_faults import is_sound, line_faults, rule_faults, same_file

#: A longer line is a mistake (a whole file in `args`), and would not fit the memory of everything it passes
#: through.
MAX_LINE_BYTES = 1 << 20
#: So many faults are kept in words; the rest is counted.
MAX_PROBLEMS = 1000

#: With a byte-order mark or without.
UTF_8 = ("utf-8", "utf-8-sig")

OnProgress = Callable[[int], None]
#: What is wrong with a line beyond the rules of every manifest.
LineRule = Callable[[JobSpec], Iterable[str]]


class ManifestSummary(Struct, frozen=True, kw_only=True):
    """What a sound manifest holds. `ids`: job → line; `outside`: a job waited for that is elsewhere →
    line.
    """

    path: Path
    jobs: int
    bytes: int
    tasks: Mapping[str, int]
    workflows: tuple[str, ...]
    ids: Mapping[str, int]
    outside: Mapping[str, int]
    #: `root:relative` that is read → ids of the jobs that read it.
    readers: Mapping[str, Sequence[str]]
    #: Whether its jobs differ in priority.
    has_priorities: bool = False


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────


def missing(path: Path) -> ManifestError:
    return ManifestError(f"{path} does not exist: plan it first (conductor plan --help)")


@contextmanager
def opened(path: Path) -> Generator[BinaryIO]:
    """The lines of the file, open; a `.gz` is unpacked as it is read.

    Raises `ManifestError` with one sentence when it is not a file that can be read, also where that shows
    later."""
    try:
        # A pipe that nobody writes to would not open else.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ManifestError(f"{path} is not a regular file: a manifest is read twice")
            if path.suffix != ".gz":
                _refuse_other_encodings(path, file)
                yield file
                return
            with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                yield cast("BinaryIO", unpacked)
    except FileNotFoundError:
        raise missing(path) from None
    except IsADirectoryError:
        raise ManifestError(f"{path} is a folder: name the manifest file in it") from None
    except PermissionError:
        raise ManifestError(f"{path} cannot be read: permission denied") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
        raise ManifestError(f"{path} is damaged: {e}") from None


def _refuse_other_encodings(path: Path, file: BinaryIO) -> None:
    head = file.read(4)
    file.seek(0)
    # The first letter of a manifest is ASCII: beside it, UTF-16 and UTF-32 have zero bytes, with their mark
    # or without.
    letters = head.replace(b"\0", b"")
    if encoding_of(head) not in UTF_8 or (letters != head and letters in (b"{", b'{"')):
        raise ManifestError(
            f"{path} is UTF-16 or UTF-32, as some editors save it: save it as UTF-8, or plan it again"
        )
    if b"\0" in head:
        raise ManifestError(
            f"{path} is a binary file, and no manifest: a manifest is what `conductor plan` writes"
        )


def lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(line number, line) without its end; blank lines, a byte-order mark and CR before LF are passed over.

    A line that is too long comes cut off, one byte over the limit, so that memory stays flat whatever the
    file is.
    """
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 2):
        number += 1
        if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
            _skip_to_end(file)
        if number == 1 and raw.startswith(codecs.BOM_UTF8):
            raw = raw[3:]
        if line := raw.strip(b" \t\r\n"):
            yield number, line


def _skip_to_end(file: BinaryIO) -> None:
    while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
        pass


def numbered(path: Path) -> Iterator[tuple[int, bytes, JobSpec]]:
    """(line number, line, spec) of a manifest that was checked. Raises `ManifestError` at the first bad
    line.
    """
    with opened(path) as file:
        for number, line in lines(file):
            try:
                if len(line) > MAX_LINE_BYTES:
                    raise ValueError(_too_long())
                yield number, line, from_line(line)
            except (ValueError, RecursionError) as e:
                raise ManifestError(f"{path}:{number}: {e}", (f"{path}:{number}: {e}",)) from None


def read(path: Path) -> Iterator[JobSpec]:
    """The specs of a manifest, one at a time. Raises `ManifestError` at the first bad line."""
    return (spec for _, _, spec in numbered(path))


def _too_long() -> str:
    return f"line: is longer than {MAX_LINE_BYTES >> 20} MiB"


# ── checking ──────────────────────────────────────────────────────────────────────────────────────────────


def check(
    path: Path,
    catalogue: Mapping[str, TaskDecl],
    on_progress: OnProgress | None = None,
    *,
    verb: str = "dispatched",
    rules: Sequence[LineRule] = (),
) -> ManifestSummary:
    """Read it all and raise one `ManifestError` with every fault of every line, or say what it holds.

    `verb`: what is not done with it then. `rules`: asked beside those of every manifest.

    Memory grows by an id a job (some 150 bytes), not by what the lines hold.
    """
    checker = Checker(path, catalogue, verb, rules)
    with opened(path) as file:
        for number, line in lines(file):
            checker.add(number, line)
            if on_progress and not number % 1000:
                on_progress(number)
    return checker.summary()


class Checker:
    """Fed with the lines of a manifest, in order; `summary` says what they hold, or every fault."""

    def __init__(
        self,
        path: Path,
        catalogue: Mapping[str, TaskDecl],
        verb: str = "dispatched",
        rules: Sequence[LineRule] = (),
    ) -> None:
        """`verb`: what is not done with a faulty one. `rules`: asked beside those of every manifest."""
        self.path = path
        self.rules = rules
        self.verb = verb
        self.catalogue = catalogue
        self.faults: list[str] = []
        self.fault_count = 0
        self.bad_lines: set[int] = set()
        self.jobs = 0
        self.bytes = 0
        self.tasks: Counter[str] = Counter()
        self.workflows: set[str] = set()
        self.priorities: set[int] = set()
        self.ids: dict[str, int] = {}
        self.paths: dict[str, int] = {}
        #: Id waited for before its own line came (or never comes) → first line that waits for it.
        self.ahead: dict[str, int] = {}
        self.readers: dict[str, list[str]] = {}

    def add(self, number: int, line: bytes) -> None:
        self.jobs += 1
        self.bytes += len(line) + 1
        if len(line) > MAX_LINE_BYTES:
            self.fault(number, _too_long())
            return
        try:
            spec = from_line(line)
        except (ValueError, RecursionError):
            self.faulty(number, line_faults(line, self.catalogue) or ("line: is not a job",))
            return
        if not is_sound(spec, self.catalogue):
            self.faulty(number, rule_faults(spec, self.catalogue, frozenset()) or ("line: is not a job",))
        for rule in self.rules:
            self.faulty(number, rule(spec))
        self.relate(number, spec)

    def relate(self, number: int, spec: JobSpec) -> None:
        """What only the whole manifest can tell: an id or an output twice, jobs waited for."""
        self.tasks[spec.task] += 1
        self.workflows.add(spec.workflow)
        self.priorities.add(spec.priority)
        first = self.ids.setdefault(spec.id, number)
        if first != number:
            self.fault(number, f"id: {spec.id} is already on line {first}")
            return
        for output in spec.writes:
            # A path that holds its job's id is nobody else's: no need to remember it.
            if spec.id not in output.path and self.paths.setdefault(same_file(output.path), number) != number:
                first = self.paths[same_file(output.path)]
                self.fault(number, f"writes: {output.path!r} is already written by line {first}")
        for path in spec.reads:
            if not path.startswith("/"):
                self.readers.setdefault(path, []).append(spec.id)
        for other in (*spec.after, *spec.after_ended):
            if other not in self.ids:
                self.ahead.setdefault(other, number)

    def faulty(self, number: int, faults: Iterable[str]) -> None:
        for fault in faults:
            self.fault(number, fault)

    def fault(self, number: int, what: str) -> None:
        self.fault_count += 1
        self.bad_lines.add(number)
        if len(self.faults) < MAX_PROBLEMS:
            self.faults.append(f"{self.path}:{number}: {what}")

    def summary(self, file: Path | None = None) -> ManifestSummary:
        """`file`: where the lines are, while they are not yet at their place. Raises `ManifestError`."""
        outside = {other: line for other, line in self.ahead.items() if other not in self.ids}
        # A circle needs a wait for a later line; plans write what is waited for first, and never pay for
        # this.
        if not self.fault_count and len(outside) < len(self.ahead):
            for job_id in _circle(file or self.path):
                self.fault(self.ids[job_id], f"after: {job_id} waits, through others, for itself")
        if self.fault_count:
            raise problems_found(
                self.path, tuple(self.faults), self.fault_count, len(self.bad_lines), self.verb
            )
        return ManifestSummary(
            path=self.path,
            jobs=self.jobs,
            bytes=self.bytes,
            tasks=dict(self.tasks),
            workflows=tuple(sorted(self.workflows)),
            ids=self.ids,
            outside=outside,
            readers=self.readers,
            has_priorities=len(self.priorities) > 1,
        )


def problems_found(
    path: Path, problems: tuple[str, ...], count: int, bad_lines: int, verb: str = "dispatched"
) -> ManifestError:
    """One error for all faults; what was not kept in words is counted in the last of them."""
    more = count - len(problems)
    listed = (*problems, f"{path}: and {more} more") if more > 0 else problems
    faults = "1 problem" if count == 1 else f"{count} problems in {bad_lines} line{'s' * (bad_lines != 1)}"
    return ManifestError(f"{path} has {faults}; nothing of it was {verb}", listed)


def inherited_priorities(path: Path) -> dict[str, int]:
    """Job → the priority that others of the manifest hand down to it. Only of a manifest with several
    priorities what its jobs wait for is held in memory."""
    priorities = {spec.priority for spec in read(path)}
    if len(priorities) < 2:
        return {}
    own = {spec.id: spec.priority for spec in read(path) if spec.priority}
    waits = {s.id: (*s.after, *s.after_ended) for s in read(path) if s.after or s.after_ended}
    return inherit_priorities(own, waits)


def lifted(spec: JobSpec, inherited: Mapping[str, int]) -> JobSpec:
    """The job as it is classed: with the priority that was handed down to it."""
    return structs.replace(spec, priority=inherited[spec.id]) if spec.id in inherited else spec


def _circle(path: Path) -> list[str]:
    """Ids that wait for each other in a circle, in the order of the manifest; those merely behind it are
    left out.
    """
    waits: dict[str, set[str]] = {}
    waiters: dict[str, list[str]] = {}
    for spec in read(path):
        waits[spec.id] = {*spec.after, *spec.after_ended}
        for other in waits[spec.id]:
            waiters.setdefault(other, []).append(spec.id)
    _drop_free(waits, waiters)
    # What is left waits for a circle or is on it; turned round, the same step drops those that only wait for
    # one.
    behind = {job: {w for w in waiters.get(job, ()) if w in waits} for job in waits}
    _drop_free(behind, {job: [o for o in waits[job] if o in behind] for job in waits})
    return list(behind)


def _drop_free(waits: dict[str, set[str]], waiters: Mapping[str, list[str]]) -> None:
    """Take out, again and again, whatever waits for nothing that is left."""
    for other in [o for o in waiters if o not in waits]:
        for job in waiters[other]:
            waits[job].discard(other)
    free = [job for job, others in waits.items() if not others]
    while free:
        job = free.pop()
        del waits[job]
        for waiter in waiters.get(job, ()):
            if waiter in waits:
                waits[waiter].discard(job)
                if not waits[waiter]:
                    free.append(waiter)


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────


def write(path: Path, specs: Iterable[JobSpec], checker: Checker | None = None) -> int:
    """Write a manifest atomically; the number of jobs. On an error what was there before stays.

    `checker`: each line is held to it first, and nothing is written where one has a fault: raises
    `ManifestError`."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name the file in it that is to be written, with -o")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with drafted(path.parent, f".{path.name}.") as (file, draft):
            count = _write_lines(file, specs, checker)
            settle(file)
            if checker is not None:
                checker.summary(draft)
            draft.replace(path)
    except OSError as e:
        why = "its folder is a file" if isinstance(e, FileExistsError) else e.strerror
        raise ConfigError(f"cannot write {path}: {why}; name another place with -o") from None
    return count


def _write_lines(file: BinaryIO, specs: Iterable[JobSpec], checker: Checker | None) -> int:
    count = 0
    for spec in specs:
        line = to_line(spec)
        file.write(line + b"\n")
        count += 1
        if checker is not None:
            checker.add(count, line)
    return count

"""What a job is about, for a person: its task, and the name of the file that it reads, changes or makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from conductor.model.spec import JobSpec, from_line

#: Letters of an id that stand beside what the job is about: enough for the commands that take one.
SHORT_ID = 8
#: Of a job whose line is not at hand; its id stands beside it.
NAMELESS = "a job"


def subject_of(spec: JobSpec) -> str:
    """«media.cut · clip7.mp4»; the task alone where no file is named."""
    return named(spec.task, file_of(spec))


def called(job_id: str, line: bytes, task: str) -> str:
    """«media.cut · clip7.mp4 (k3v7abcd)», of a line as the ledger keeps it."""
    return f"{subject_of_line(line, task)} ({job_id[:SHORT_ID]})"


def named(task: str, file: str) -> str:
    return f"{task} · {file}" if file else task


def file_of(spec: JobSpec) -> str:
    """The name of the file that it is about; empty: it names none."""
    paths = (*spec.inputs, *spec.reads, *spec.updates, *(output.path for output in spec.writes))
    return file_name(paths[0]) if paths else ""


def file_name(path: str) -> str:
    """Of «root:relative/path» and of an absolute path."""
    return path.rpartition(":")[2].rpartition("/")[2]


def subject_of_line(line: bytes, task: str) -> str:
    """`subject_of` of a line as the ledger keeps it; of one that cannot be read: `task`."""
    try:
        return subject_of(from_line(line))
    except (msgspec.DecodeError, ValueError):
        return task


def file_of_line(line: bytes) -> str:
    """`file_of` of a line as the ledger keeps it; of one that cannot be read: empty."""
    try:
        return file_of(from_line(line))
    except (msgspec.DecodeError, ValueError):
        return ""


def with_subjects(words: str, subjects: Mapping[str, str]) -> str:
    """A sentence in which jobs stand by the first letters of their ids, as gates say them: each is called by
    its subject, those letters beside it. `subjects`: job → «media.cut · clip7.mp4»."""
    known = {job_id[:SHORT_ID]: subject for job_id, subject in subjects.items() if subject}
    if not known:
        return words
    each = "|".join(map(re.escape, known))
    # In one pass: a file may be named like the letters of another job.
    return re.sub(rf"(?<![\w-])({each})(?![\w-])", lambda found: f"{known[found[0]]} ({found[0]})", words)


class FileNames:
    """Job → the file that it is about. Under one id a line never changes its file, so each line is read once
    for as long as it is asked for."""

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, bytes]]) -> None:
        """`read`: the lines of some jobs, those that are not known left out."""
        self._read = read
        #: Its task, and the file.
        self._known: dict[str, tuple[str, str]] = {}

    def of(self, ids: Iterable[str]) -> dict[str, str]:
        """Of all of them; empty where a job names no file, or is not known. Raises what `read` raises."""
        return {job_id: file for job_id, (_, file) in self._look(ids).items()}

    def subjects(self, ids: Iterable[str], also: Iterable[str] = ()) -> tuple[dict[str, str], dict[str, str]]:
        """The files of `ids`, and what all of `also` that are known are about, in one look."""
        ids, also = tuple(ids), tuple(also)
        found = self._look((*ids, *also))
        files = {job_id: found[job_id][1] for job_id in ids if job_id}
        return files, {job_id: named(*found[job_id]) for job_id in also if job_id and found[job_id][0]}

    def _look(self, ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        wanted = [job_id for job_id in dict.fromkeys(ids) if job_id]
        news = [job_id for job_id in wanted if job_id not in self._known]
        read = {job_id: _task_and_file(line) for job_id, line in (self._read(news) if news else {}).items()}
        found = {job_id: self._known.get(job_id) or read.get(job_id) for job_id in wanted}
        # One that is not known yet may be by the next time.
        self._known = {job_id: each for job_id, each in found.items() if each is not None}
        return {job_id: each or ("", "") for job_id, each in found.items()}


def _task_and_file(line: bytes) -> tuple[str, str]:
    try:
        spec = from_line(line)
    except (msgspec.DecodeError, ValueError):
        return "", ""
    return spec.task, file_of(spec)

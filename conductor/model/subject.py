"""What a job is about, for a person: its task, and the name of the file that it reads, changes or makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from conductor.model.spec import JobSpec, from_line

#: Letters of an id that stand beside what the job is about: enough for the commands that take one.
SHORT_ID = 8


def subject_of(spec: JobSpec) -> str:
    """«media.cut · clip7.mp4»; the task alone where no file is named."""
    return named(spec.task, file_of(spec))


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


class FileNames:
    """Job → the file that it is about. A line never changes what it is about under its id: each is read once,
    for as long as it is asked for."""

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, bytes]]) -> None:
        """`read`: the lines of some jobs, those that are not known left out."""
        self._read = read
        self._known: dict[str, str] = {}

    def of(self, ids: Iterable[str]) -> dict[str, str]:
        """Of all of them; empty where a job names no file, or is not known. Raises what `read` raises."""
        wanted = [job_id for job_id in dict.fromkeys(ids) if job_id]
        news = [job_id for job_id in wanted if job_id not in self._known]
        read = {job_id: file_of_line(line) for job_id, line in (self._read(news) if news else {}).items()}
        files = {job_id: self._known.get(job_id, read.get(job_id)) for job_id in wanted}
        # One that is not known yet may be by the next time.
        self._known = {job_id: file for job_id, file in files.items() if file is not None}
        return {job_id: file or "" for job_id, file in files.items()}

"""What a job is about, for a person: its task, and the name of the file that it reads, changes or makes."""

from __future__ import annotations

import msgspec

from conductor.model.spec import JobSpec, from_line


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
    """`subject_of` of a line as the ledger keeps it; of one that cannot be read: its task."""
    return named(task, file_of_line(line))


def file_of_line(line: bytes) -> str:
    """`file_of` of a line as the ledger keeps it; of one that cannot be read: empty."""
    try:
        return file_of(from_line(line))
    except (msgspec.DecodeError, ValueError):
        return ""
